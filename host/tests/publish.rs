//! Publications between nodes, over real control channels on the loopback
//! interface: in order, at most once, and never at the cost of who publishes.

#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use cluster::Counted;
use host::app::publish;
use host::app::publish::Inbox;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use mesh::control::routes::PUBLISH;
use mesh::control::{FutureAnswer, Peer, Service, refusal};
use mesh::counts::Publications;
use mesh::membership::Membership;
use runtime::contract::mailbox::Message;
use runtime::exchange::{OUTGOING, Subscriptions, Topics};
use support::client::{Client, Protocol, post};
use support::lan::{Lan, lists, name};
use support::{node, soon, until};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// More than come at a time.
const PERMITS: u32 = 100;

/// Takes what members publish, one batch for each permit.
struct Gate {
    inbox: OnceLock<Inbox>,
    permits: Semaphore,
    /// How many batches have come.
    came: watch::Sender<usize>,
}

struct Shared(Arc<Gate>);

impl Service for Shared {
    fn call(&self, from: Peer, request: Request<Incoming>) -> FutureAnswer {
        let gate = self.0.clone();
        Box::pin(async move {
            let Peer::Member(member) = from else {
                return refusal(StatusCode::FORBIDDEN, "for members");
            };
            assert_eq!(request.uri().path(), PUBLISH.path);
            gate.came.send_modify(|came| *came += 1);
            let permit = gate.permits.acquire().await.expect("never closed");
            let inbox = gate.inbox.get().expect("nobody publishes before");
            let answer = inbox.answer(&member, request.into_body()).await;
            drop(permit);
            answer
        })
    }
}

/// A node with its topics; one exchange of it has subscribed.
struct Publisher {
    last: u8,
    membership: Membership,
    topics: Arc<Topics>,
    subscribed: Subscriptions,
    counters: Arc<Counted<Publications>>,
    gate: Arc<Gate>,
    sending: JoinHandle<()>,
}

impl Publisher {
    fn start(lan: &Lan, last: u8, folder: &Path) -> Publisher {
        Self::start_with(lan, last, folder, Arc::default())
    }

    fn start_with(lan: &Lan, last: u8, folder: &Path, topics: Arc<Topics>) -> Publisher {
        let gate = Arc::new(Gate {
            inbox: OnceLock::new(),
            permits: Semaphore::new(PERMITS as usize),
            came: watch::Sender::default(),
        });
        let service = Arc::new(Shared(gate.clone()));
        let membership = lan.start(last, folder, None, service);
        let counters = Arc::<Counted<Publications>>::default();
        let inbox = Inbox::new(topics.clone(), membership.views(), counters.clone());
        assert!(gate.inbox.set(inbox).is_ok());
        let sending = tokio::spawn(publish::run(
            topics.clone(),
            membership.views(),
            membership.client(),
            counters.clone(),
        ));
        let mut subscribed = Subscriptions::new(topics.clone());
        subscribed.add("t".into());
        Publisher {
            last,
            membership,
            topics,
            subscribed,
            counters,
            gate,
            sending,
        }
    }

    /// Waits until it lists exactly these, and sends to them what is published.
    async fn lists(&self, expected: &[u8]) {
        lists(&self.membership, expected).await;
        let others = expected.len() - 1;
        until("lines to the others", || self.topics.lines() == others).await;
    }

    fn publish(&self, payload: &str) {
        let from = name(self.last).to_string().into();
        let payload = payload.as_bytes().to_vec().into();
        self.topics.publish("t".into(), payload, from);
    }

    /// What comes next: who published it and what.
    async fn next(&self) -> (String, String) {
        let next = soon("a publication", self.subscribed.mailbox().next()).await;
        match next {
            Message::Published(it) => {
                let payload = String::from_utf8(it.payload).expect("text");
                (it.from, payload)
            }
            Message::Lagged(many) => ("lagged".to_owned(), many.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// Ends as if it had been killed.
    fn kill(self) {
        self.sending.abort();
    }
}

fn folders<const N: usize>() -> [tempfile::TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().expect("a folder"))
}

#[tokio::test]
async fn what_each_of_three_nodes_publishes_comes_to_all_once_and_in_its_order() {
    const ROUNDS: usize = 10;
    /// Of three nodes together not more than a mailbox holds.
    const EACH: usize = 20;
    let (lan, folders) = (Lan::new(), folders::<3>());
    let nodes: Vec<Publisher> = (2..)
        .zip(&folders)
        .map(|(last, folder)| Publisher::start(&lan, last, folder.path()))
        .collect();
    for node in &nodes {
        node.lists(&[2, 3, 4]).await;
    }
    let mut got = vec![Vec::new(); nodes.len()];
    for round in 0..ROUNDS {
        for n in 0..EACH {
            for node in &nodes {
                node.publish(&format!("{}", round * EACH + n));
            }
        }
        for (node, got) in nodes.iter().zip(&mut got) {
            for _ in 0..EACH * nodes.len() {
                got.push(node.next().await);
            }
        }
    }
    for got in &got {
        for node in &nodes {
            let from = name(node.last).to_string();
            let of_it = got.iter().filter(|(by, _)| *by == from);
            let payloads: Vec<usize> = of_it
                .map(|(_, payload)| payload.parse().expect("a number"))
                .collect();
            let all: Vec<usize> = (0..ROUNDS * EACH).collect();
            assert_eq!(payloads, all, "of {from}");
        }
    }
    for node in &nodes {
        let to_others = (ROUNDS * EACH * 2) as u64;
        until("the last answers", || node.counters.now().sent == to_others).await;
        let counted = node.counters.now();
        assert_eq!(counted.received, to_others);
        assert_eq!(
            (counted.dropped, counted.uncertain, counted.stale),
            (0, 0, 0)
        );
    }
}

#[tokio::test]
async fn a_slow_member_loses_the_oldest_with_a_count_and_nobody_else_waits() {
    const MANY: usize = 600;
    let (lan, folders) = (Lan::new(), folders::<3>());
    let publisher = Publisher::start(&lan, 2, folders[0].path());
    let slow = Publisher::start(&lan, 3, folders[1].path());
    let fast = Publisher::start(&lan, 4, folders[2].path());
    for node in [&publisher, &slow, &fast] {
        node.lists(&[2, 3, 4]).await;
    }
    // It takes the first batch, and does not answer.
    let held = slow.gate.permits.acquire_many(PERMITS);
    let held = held.await.expect("never closed");
    publisher.publish("first");
    assert_eq!(fast.next().await.1, "first");
    assert_eq!(publisher.next().await.1, "first");
    let mut came = slow.gate.came.subscribe();
    soon("the first batch", came.wait_for(|came| *came == 1))
        .await
        .expect("it runs");
    for n in 0..MANY {
        publisher.publish(&n.to_string());
        assert_eq!(publisher.next().await.1, n.to_string());
        assert_eq!(fast.next().await.1, n.to_string());
    }
    drop(held);
    let own = name(2).to_string();
    assert_eq!(slow.next().await, (own.clone(), "first".to_owned()));
    let lost = (MANY - OUTGOING) as u64;
    until("what was lost to be counted", || {
        publisher.counters.now().dropped == lost
    })
    .await;
    // Its mailbox is smaller than the queue was, and says so itself.
    let mut last = None;
    while last != Some(MANY - 1) {
        let (from, payload) = slow.next().await;
        let number: usize = payload.parse().expect("a number");
        if from == "lagged" {
            continue;
        }
        assert!(last < Some(number), "{number} after {last:?}");
        assert!(number >= MANY - OUTGOING, "{number} was dropped");
        last = Some(number);
    }
    let sent = (1 + MANY + 1 + OUTGOING) as u64;
    until("the last answers", || publisher.counters.now().sent == sent).await;
    assert_eq!(publisher.counters.now().uncertain, 0);
}

#[tokio::test]
async fn a_node_that_is_restarted_gets_what_is_published_from_then_on_and_is_heard() {
    let (lan, folders) = (Lan::new(), folders::<2>());
    let stays = Publisher::start(&lan, 2, folders[0].path());
    let first = Publisher::start(&lan, 3, folders[1].path());
    for node in [&stays, &first] {
        node.lists(&[2, 3]).await;
    }
    first.publish("of the first run");
    stays.publish("before");
    let (own, other) = (name(2).to_string(), name(3).to_string());
    assert_eq!(first.next().await.0, other);
    assert_eq!(first.next().await, (own.clone(), "before".to_owned()));
    let mut seen = [stays.next().await.1, stays.next().await.1];
    seen.sort();
    assert_eq!(seen, ["before", "of the first run"]);

    first.kill();
    stays.lists(&[2]).await;
    stays.publish("meanwhile");
    assert_eq!(stays.next().await.1, "meanwhile");
    let second = Publisher::start(&lan, 3, folders[1].path());
    for node in [&stays, &second] {
        node.lists(&[2, 3]).await;
    }
    stays.publish("after");
    assert_eq!(second.next().await, (own, "after".to_owned()));
    // Its numbers begin anew, and its run is a later one.
    second.publish("of the second run");
    assert_eq!(stays.next().await.1, "after");
    let heard = stays.next().await;
    assert_eq!(heard, (other, "of the second run".to_owned()));
    assert_eq!(stays.counters.now().stale, 0);
}

#[tokio::test]
async fn what_an_app_publishes_on_one_node_comes_to_a_stream_of_another() {
    let (lan, folders) = (Lan::new(), folders::<2>());
    let one = node::Node::start("fixture-misbehave").await;
    let two = node::Node::start("fixture-misbehave").await;
    let near = Publisher::start_with(&lan, 2, folders[0].path(), one.exchanges.topics().clone());
    let far = Publisher::start_with(&lan, 3, folders[1].path(), two.exchanges.topics().clone());
    for node in [&near, &far] {
        node.lists(&[2, 3]).await;
    }
    let mut client = Client::connect(Protocol::H1, two.address).await;
    let mut reader = client.open("/topic/news").await;
    reader.to(": subscribed\n\n").await;
    for payload in ["one", "two", "three"] {
        let answer = post(Protocol::H1, one.address, "/publish/news", payload).await;
        assert_eq!(answer.text(), "published");
    }
    for payload in ["one", "two", "three"] {
        let event = format!("event: news\nid: {}\ndata: {payload}\n\n", name(2));
        assert_eq!(reader.to("\n\n").await, event);
    }
}
