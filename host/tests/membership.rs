//! Membership of several nodes on the loopback interface of this machine:
//! real sockets, real broadcast, real time. Each bound is ten times the figure
//! that is promised.

#[path = "support/mod.rs"]
mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::release::{AppFile, Component, PathId, Plan, Request, What};
use cluster::{Cookie, Digest, Keys, Refusal, Serving, View};
use mesh::data_dir::{DataDir, DataDirError};
use mesh::membership::{Membership, MembershipConfig, SeedName, StartError, stored_releases};
use mesh::net::{AddressError, BindError};
use support::lan::{Lan, name};
use tempfile::TempDir;
use tokio::time::timeout;

/// Ten times what a join, and the end of a process, may take.
const JOIN: Duration = Duration::from_secs(5);
const KILL: Duration = Duration::from_secs(3);

impl Lan {
    fn node(&self, last: u8) -> (Membership, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        (self.node_in(last, folder.path()), folder)
    }

    fn node_in(&self, last: u8, folder: &Path) -> Membership {
        Membership::start(self.settings(last, 1, folder)).expect("started")
    }
}

fn listed(view: &View) -> Vec<u8> {
    let members = view.members.iter();
    members.map(|member| member.name.ip().octets()[3]).collect()
}

/// Waits until a node lists exactly these. Returns how long it took.
async fn lists(node: &Membership, expected: &[u8], within: Duration) -> Duration {
    lists_so(node, within, |view| listed(view) == expected).await
}

async fn lists_so(
    node: &Membership,
    within: Duration,
    done: impl FnMut(&Arc<View>) -> bool,
) -> Duration {
    let started = Instant::now();
    let mut views = node.views();
    if timeout(within, views.wait_for(done)).await.is_err() {
        panic!("after {within:?}: {:?}", node.views().borrow());
    }
    started.elapsed()
}

/// Waits until a counter has got so far; counters tell nobody when they move.
async fn counted(done: impl Fn() -> bool) {
    let counted = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    timeout(JOIN, counted).await.expect("counted in time");
}

#[tokio::test]
async fn three_nodes_find_each_other_by_broadcast() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let (b, _b) = lan.node(3);
    let (c, _c) = lan.node(4);
    for node in [&a, &b, &c] {
        let took = lists(node, &[2, 3, 4], JOIN).await;
        println!("all listed after {took:?}");
    }
}

#[tokio::test]
async fn a_node_lists_itself_as_soon_as_it_has_started() {
    let lan = Lan::new();
    let (node, _folder) = lan.node(2);
    assert_eq!(listed(&node.views().borrow()), [2]);
}

#[tokio::test]
async fn a_node_with_the_wrong_cookie_is_never_listed() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = Membership::start(lan.settings(3, 2, folder.path())).expect("started");
    let (c, _c) = lan.node(4);
    counted(|| a.counters().datagrams.refused.of(Refusal::Cookie) >= 3).await;
    lists(&a, &[2, 4], JOIN).await;
    lists(&c, &[2, 4], JOIN).await;
    assert_eq!(listed(&wrong.views().borrow()), [3]);
}

#[tokio::test]
async fn ten_thousand_garbage_datagrams_keep_nobody_from_joining() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let stranger = UdpSocket::bind("127.0.0.9:0").expect("bound");
    for n in 0..10_000_u32 {
        let garbage = vec![n as u8; (n as usize * 7) % 1500];
        // The system may have no room for it; that is garbage the less.
        let _ = stranger.send_to(&garbage, (Ipv4Addr::new(127, 0, 0, 2), lan.port));
    }
    let (b, _b) = lan.node(3);
    lists(&a, &[2, 3], JOIN).await;
    lists(&b, &[2, 3], JOIN).await;
    let refused = a.counters().datagrams.refused.total();
    println!("{refused} refused");
    assert!(refused > 100);
}

#[tokio::test]
async fn leaving_is_quick_and_the_others_know_at_once() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let (b, _b) = lan.node(3);
    lists(&a, &[2, 3], JOIN).await;
    lists(&b, &[2, 3], JOIN).await;
    let started = Instant::now();
    let leaving = async {
        b.leave().await;
        started.elapsed()
    };
    let (left, seen) = tokio::join!(leaving, lists(&a, &[2], Duration::from_secs(1)));
    println!("left in {left:?}, seen after {seen:?}");
    assert!(left < Duration::from_secs(1));
}

#[tokio::test]
async fn a_node_that_ends_without_a_word_is_missed_at_once() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let (b, _b) = lan.node(3);
    let (c, _c) = lan.node(4);
    for node in [&a, &b, &c] {
        lists(node, &[2, 3, 4], JOIN).await;
    }
    for node in [&a, &b] {
        counted(|| node.counters().callers.admitted >= 2).await;
    }
    drop(c);
    for node in [&a, &b] {
        let took = lists(node, &[2, 3], KILL).await;
        println!("missed after {took:?}");
    }
}

#[tokio::test]
async fn what_a_node_serves_is_shown_by_the_others() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let (b, _b) = lan.node(3);
    let digest = Digest::of(b"a component");
    a.releases().serves(Serving::bootstrap(digest));
    lists_so(&b, JOIN, |view| {
        let member = view.member(&name(2));
        member.is_some_and(|member| member.component() == Some(digest))
    })
    .await;
}

fn boot(node: &Membership, last: u8) -> u64 {
    let view = node.views().borrow().clone();
    view.member(&name(last)).expect("listed").boot.number()
}

/// A hundred years, in milliseconds.
const CENTURY: u64 = 3_155_760_000_000;

#[tokio::test]
async fn a_later_run_has_a_greater_boot_number_though_the_clock_was_set_back() {
    let lan = Lan::new();
    let folder = tempfile::tempdir().expect("a folder");
    let node = lan.node_in(2, folder.path());
    let first = boot(&node, 2);
    drop(node);
    let stored = std::fs::read_to_string(folder.path().join("boot")).expect("stored");
    assert_eq!(stored.trim(), first.to_string());
    let later = first + CENTURY;
    std::fs::write(folder.path().join("boot"), later.to_string()).expect("written");
    let node = lan.node_in(2, folder.path());
    assert_eq!(boot(&node, 2), later + 1);
}

#[tokio::test]
async fn a_node_whose_data_was_wiped_and_whose_clock_was_set_back_is_let_in_again() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let folder = tempfile::tempdir().expect("a folder");
    let later = boot(&a, 2) + CENTURY;
    std::fs::write(folder.path().join("boot"), later.to_string()).expect("written");
    let b = lan.node_in(3, folder.path());
    lists(&a, &[2, 3], JOIN).await;
    drop(b);
    let (b, wiped) = lan.node(3);
    lists_so(&a, JOIN, |view| {
        let member = view.member(&name(3));
        member.is_some_and(|member| member.boot.number() > later + 1)
    })
    .await;
    lists(&b, &[2, 3], JOIN).await;
    let stored = std::fs::read_to_string(wiped.path().join("boot")).expect("stored");
    assert_eq!(stored.trim(), boot(&b, 3).to_string());
}

#[tokio::test]
async fn what_keeps_a_node_from_starting_is_named_and_nothing_is_left() {
    let lan = Lan::new();
    let folder = tempfile::tempdir().expect("a folder");
    let node = lan.node_in(2, folder.path());
    let in_use = DataDir::open(folder.path()).expect_err("in use");
    assert!(matches!(in_use, DataDirError::InUse { .. }));

    let other = tempfile::tempdir().expect("a folder");
    let taken = Membership::start(lan.settings(2, 1, other.path())).expect_err("taken");
    assert!(matches!(taken, StartError::Bind(BindError::Taken { .. })));
    assert!(taken.to_string().contains("--cluster-port"), "{taken}");

    let elsewhere = MembershipConfig {
        // TEST-NET-3 (RFC 5737): no machine has it.
        name: "example@203.0.113.7".parse().expect("a name"),
        ..lan.settings(3, 1, other.path())
    };
    let elsewhere = Membership::start(elsewhere).expect_err("not here");
    assert!(matches!(
        elsewhere,
        StartError::Address(AddressError::NotHere { .. })
    ));

    drop(node);
    lan.node_in(2, folder.path());
}

#[tokio::test]
async fn the_memory_of_the_key_derivation_goes_back_to_the_system() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("readable");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size")
    };
    let before = resident();
    Keys::derive(&Cookie::parse(b"a cookie").expect("a cookie")).expect("derived");
    let after = resident();
    println!("resident before {before} KiB, after {after} KiB");
    // Other tests run meanwhile, and take much less than 64 MiB.
    assert!(after < before + 32 * 1024);
}

#[tokio::test]
async fn a_node_to_join_is_looked_up_by_its_name_and_asked() {
    let lan = Lan::new();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = MembershipConfig {
        join_names: vec![SeedName::parse("localhost", lan.port).expect("a name")],
        ..lan.settings(2, 1, folder.path())
    };
    let node = Membership::start(settings).expect("started");
    // What is bound to 127.0.0.1 hears no broadcasts: this one was meant.
    lan.reserved.set_read_timeout(Some(JOIN)).expect("set");
    let (mut buffer, at) = ([0; 2048], Ipv4Addr::new(127, 0, 0, 2));
    let (_, from) = lan.reserved.recv_from(&mut buffer).expect("asked in time");
    assert_eq!(from, (at, lan.port).into());
    drop(node);
}

#[tokio::test]
async fn three_nodes_change_their_cookie_while_they_run_and_none_is_missed() {
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let (b, _b) = lan.node(3);
    let (c, _c) = lan.node(4);
    let nodes = [&a, &b, &c];
    for node in nodes {
        lists(node, &[2, 3, 4], JOIN).await;
    }
    let (old, new) = (Keys::from_master(&[1; 32]), Keys::from_master(&[2; 32]));
    let mut views = nodes.map(Membership::views);
    let mut missed = nodes.map(Membership::views).map(|mut views| {
        tokio::spawn(async move { views.wait_for(|view| view.members.len() < 3).await.is_ok() })
    });
    let steps = [
        old.clone().accepting(&new),
        new.clone().accepting(&old),
        new.clone(),
    ];
    for keys in steps {
        for node in nodes {
            node.keyring().change(keys.clone());
        }
        for node in nodes {
            let mut views = node.views();
            let ids = Some(keys.ids());
            let all = views.wait_for(|view| view.members.iter().all(|it| it.keys == ids));
            timeout(JOIN, all).await.expect("in time").expect("it runs");
        }
    }
    let (late, _late) = {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = lan.settings(5, 2, folder.path());
        (Membership::start(settings).expect("started"), folder)
    };
    lists(&late, &[2, 3, 4, 5], JOIN).await;
    let (stranger, _stranger) = lan.node(6);
    counted(|| a.counters().datagrams.refused.of(Refusal::Cookie) >= 3).await;
    assert_eq!(listed(&stranger.views().borrow()), [6]);
    for views in &mut views {
        assert!(listed(&views.borrow_and_update()).starts_with(&[2, 3, 4]));
    }
    for missed in &mut missed {
        assert!(!missed.is_finished(), "a view had fewer than three members");
        missed.abort();
    }
    assert_eq!(a.counters().callers.refused_by.handshake, 0);
}

/// An app file of this content, always at the same path.
fn app_file(content: &str) -> AppFile {
    AppFile {
        path: PathId::of(b"/srv/app.wasm"),
        component: Component::of(content.as_bytes()),
    }
}

/// Waits until the cluster has agreed that a node is to serve this.
async fn is_to_serve(node: &Membership, content: &str) {
    let digest = Component::of(content.as_bytes()).digest;
    let mut target = node.releases().target();
    let agreed = target.wait_for(|target| target.as_ref().is_some_and(|it| it.digest == digest));
    if timeout(JOIN, agreed).await.is_err() {
        panic!("after {JOIN:?}: {:?}", node.releases().target().borrow());
    }
}

#[tokio::test]
async fn nodes_agree_on_a_file_that_changed_while_its_node_was_down_and_remember_it() {
    let lan = Lan::new();
    let folder = || tempfile::tempdir().expect("a folder");
    let (a_folder, b_folder) = (folder(), folder());
    let start = |last: u8, folder: &TempDir, content: &str| {
        let settings = lan.settings(last, 1, folder.path());
        let stored = stored_releases(&settings.data_dir).expect("readable");
        let node = Membership::start(MembershipConfig {
            releases_stored: stored,
            deploy_key: None,
            ..settings
        });
        let node = node.expect("started");
        let (releases, file) = (node.releases(), app_file(content));
        tokio::spawn(async move { releases.file(file).await });
        node
    };
    let a = start(2, &a_folder, "one");
    let b = start(3, &b_folder, "one");
    is_to_serve(&a, "one").await;
    is_to_serve(&b, "one").await;
    lists(&a, &[2, 3], JOIN).await;
    drop(b);
    let b = start(3, &b_folder, "two");
    is_to_serve(&a, "two").await;
    is_to_serve(&b, "two").await;
    // Nobody is there who could tell it.
    drop((a, b));
    let a = start(2, &a_folder, "one");
    let target = a
        .releases()
        .target()
        .borrow()
        .clone()
        .expect("it remembers");
    assert_eq!(target.digest, app_file("two").component.digest);
}

#[tokio::test]
async fn what_is_released_while_a_node_leaves_reaches_the_others_or_whoever_asked_is_told() {
    /// So many releases are told of at once.
    const PUBLISHED: u32 = 32;
    let lan = Lan::new();
    let (a, _a) = lan.node(2);
    let (b, _b) = lan.node(3);
    lists(&a, &[2, 3], JOIN).await;
    lists(&b, &[2, 3], JOIN).await;
    let releases = a.releases();
    let (first_in, first) = tokio::sync::oneshot::channel();
    let publishing = tokio::spawn(async move {
        let (mut first_in, mut published) = (Some(first_in), Vec::new());
        for number in 0..PUBLISHED {
            let request = Request {
                what: What::Push {
                    component: Component::of(&number.to_le_bytes()),
                    plan: Plan::default(),
                },
                by: String::new(),
                note: String::new(),
                expect: None,
                again: false,
            };
            let Ok(draft) = releases.draft(request).await else {
                break;
            };
            let draft = draft.expect("it can be released");
            if releases.publish(draft.clone()).await.is_err() {
                break;
            }
            published.push(draft.id());
            if let Some(first_in) = first_in.take() {
                first_in.send(()).expect("it is waited for");
            }
            // Slowly, since nobody repairs the loss of one once this has left.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        published
    });
    first.await.expect("one is published before");
    a.leave().await;
    let published = timeout(JOIN, publishing).await.expect("it is told");
    let published = published.expect("it does not panic");
    println!("{} were published", published.len());
    let mut known = b.releases().overview();
    let all = known.wait_for(|known| published.iter().all(|key| known.get(key).is_some()));
    let all = timeout(JOIN, all).await.map(drop);
    assert!(all.is_ok(), "one was published and nobody heard of it");
}
