//! Lookups with made-up answers, and waits of milliseconds.

use std::collections::VecDeque;
use std::sync::Mutex;

use cluster::{Boot, Member, NodeName};

use super::*;

const BRISK: SeedWaits = SeedWaits {
    lookup: Duration::from_millis(20),
    first: Duration::from_millis(1),
    most: Duration::from_millis(10),
};

/// How long a test waits for something that must come.
const SOON: Duration = Duration::from_secs(30);

/// A resolver that gives these answers in turn, the last one for ever.
struct Answers(Mutex<VecDeque<Result<Vec<&'static str>, io::ErrorKind>>>);

impl Answers {
    fn of(answers: &[Result<&[&'static str], io::ErrorKind>]) -> Self {
        let owned = answers.iter().map(|answer| answer.map(<[_]>::to_vec));
        Self(Mutex::new(owned.collect()))
    }
}

impl Lookup for Answers {
    async fn look_up(&self, name: &SeedName) -> io::Result<Vec<SocketAddr>> {
        let mut answers = self.0.lock().expect("not poisoned");
        let answer = match answers.len() {
            1 => answers.front().cloned(),
            _ => answers.pop_front(),
        };
        let ips = answer.expect("an answer")?;
        let addresses = ips.iter().map(|ip| ip.parse().expect("an IP"));
        Ok(addresses.map(|ip| SocketAddr::new(ip, name.port)).collect())
    }
}

/// A resolver that does not answer the first time.
#[derive(Default)]
struct SilentAtFirst(std::sync::atomic::AtomicBool);

impl Lookup for SilentAtFirst {
    async fn look_up(&self, _: &SeedName) -> io::Result<Vec<SocketAddr>> {
        if !self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(vec!["10.10.10.3:8383".parse().expect("an address")])
    }
}

/// A resolver that counts how often it is asked.
#[derive(Clone, Default)]
struct Counting(Arc<std::sync::atomic::AtomicUsize>);

impl Counting {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Lookup for Counting {
    async fn look_up(&self, _: &SeedName) -> io::Result<Vec<SocketAddr>> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let addresses = ["10.10.10.2:8383", "10.10.10.3:8383"];
        Ok(addresses
            .map(|text| text.parse().expect("an address"))
            .to_vec())
    }
}

struct Running {
    views: watch::Sender<Arc<View>>,
    found: mpsc::Receiver<FoundSeed>,
}

fn node(last: u8) -> NodeName {
    NodeName::new("example", Ipv4Addr::new(10, 10, 10, last)).expect("a name")
}

fn search(lookup: impl Lookup + 'static) -> Running {
    let (views, seen) = watch::channel(Arc::new(View::default()));
    let (found_in, found) = mpsc::channel(1);
    let name = node(2);
    let search = Search {
        number: 7,
        name: SeedName::parse("seed.example.org", 8383).expect("a name"),
        me: name.ip(),
        config: Config {
            url: cluster::HttpUrl::plain((name.ip(), 8080)),
            cluster_port: 8383,
            broadcast: None,
            subnet: cluster::Cidr::new(name.ip(), 24).expect("a range"),
            allow: vec!["10.1.0.0/16".parse().expect("a range")],
            join: Vec::new(),
            boot_stored: None,
            releases_stored: None,
            settings_stored: None,
            app_config: cluster::ConfigLines::default(),
            data: cluster::data::DataStore::default(),
            deploy_key: None,
            built_ms: 0,
            wall_ms: 0,
            name,
        },
        views: seen,
        found: found_in,
        waits: BRISK,
    };
    tokio::spawn(search.run(lookup));
    Running { views, found }
}

impl Running {
    async fn next(&mut self) -> Vec<String> {
        let found = timeout(SOON, self.found.recv()).await.expect("in time");
        let found = found.expect("it goes on");
        assert_eq!(found.name, 7);
        found.addresses.iter().map(ToString::to_string).collect()
    }

    fn see(&self, members: &[u8]) {
        let member = |last: &u8| Member {
            name: node(*last),
            boot: Boot::from_number(1),
            url: cluster::HttpUrl::plain((node(*last).ip(), 8080)),
            since_ms: 0,
            serving: None,
            keys: None,
        };
        self.views.send_replace(Arc::new(View {
            version: 1,
            members: members.iter().map(member).collect(),
        }));
    }
}

#[tokio::test]
async fn all_ipv4_addresses_that_are_allowed_are_seeds() {
    let mut running = search(Answers::of(&[Ok(&[
        "10.10.10.9",
        "fd00::1",
        "10.1.2.3",
        "10.9.0.5",
        "10.1.2.3",
    ])]));
    assert_eq!(running.next().await, ["10.1.2.3:8383", "10.10.10.9:8383"]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_looked_up_until_it_does_and_again() {
    let missing = Err(io::ErrorKind::NotFound);
    let mut running = search(Answers::of(&[
        missing,
        missing,
        Ok(&["fd00::1"]),
        Ok(&["10.10.10.3"]),
        missing,
        Ok(&["10.10.10.4"]),
    ]));
    assert_eq!(running.next().await, ["10.10.10.3:8383"]);
    assert_eq!(running.next().await, ["10.10.10.4:8383"]);
}

#[tokio::test]
async fn while_one_it_stands_for_is_a_member_it_is_not_looked_up() {
    let lookups = Counting::default();
    let mut running = search(lookups.clone());
    // This node itself does not count.
    running.see(&[2]);
    running.next().await;
    running.next().await;
    running.see(&[2, 3]);
    // One result may be on its way, and one may wait to be read.
    while timeout(BRISK.most * 20, running.found.recv()).await.is_ok() {}
    let then = lookups.count();
    tokio::time::sleep(BRISK.most * 20).await;
    assert_eq!(lookups.count(), then);
    running.see(&[2]);
    running.next().await;
    assert!(lookups.count() > then);
}

#[tokio::test]
async fn a_name_has_no_more_addresses_than_are_bounded() {
    let many: Vec<String> = (1..=200).map(|n| format!("10.1.0.{n}")).collect();
    let many: Vec<&'static str> = many.into_iter().map(|ip| &*ip.leak()).collect();
    let mut running = search(Answers::of(&[Ok(&many)]));
    assert_eq!(running.next().await.len(), ADDRESSES_MAX);
}

#[tokio::test]
async fn a_resolver_that_does_not_answer_is_given_up_and_asked_again() {
    let mut running = search(SilentAtFirst::default());
    assert_eq!(running.next().await, ["10.10.10.3:8383"]);
}

#[test]
fn names_are_told_from_mistyped_addresses() {
    let parse = |text: &str| SeedName::parse(text, 8383).map(|name| name.to_string());
    assert_eq!(parse("seed.example.org").unwrap(), "seed.example.org:8383");
    assert_eq!(parse("seed:1").unwrap(), "seed:1");
    assert_eq!(parse("a-b_c.example.").unwrap(), "a-b_c.example.:8383");
    for wrong in [
        "",
        ".",
        "a..b",
        "10.1.0",
        "10.1.0.300",
        "10.1.0.5.",
        "seed example",
        "http://seed",
        "::1",
        "seed/24",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse("seed:99999"), Err(SeedNameError::Port));
    assert!(parse(&"a".repeat(64)).is_err());
    assert!(parse(&vec!["a"; 200].join(".")).is_err());
}
