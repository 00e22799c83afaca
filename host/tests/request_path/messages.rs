//! What exchanges are told besides their request: timers, publications, views.

use std::time::{Duration, Instant};

use crate::support::client::{BOTH, Client, Protocol, fetch, post};
use crate::support::node::{NAMES, Node, view};
use crate::support::until;

#[tokio::test]
async fn a_timer_comes_once_and_not_too_soon() {
    let node = Node::start("fixture-misbehave").await;
    let began = Instant::now();
    let answer = fetch(Protocol::H1, node.address, "/timer/200").await;
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(answer.text(), "timer 7\n");
}

#[tokio::test]
async fn a_timer_farther_than_the_clock_reaches_harms_nothing() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let response = client
        .send(crate::support::client::get(&format!("/timer/{}", u64::MAX)))
        .await;
    assert_eq!(response.expect("a head").status(), 200);
    assert_eq!(node.exchanges.live(), 1);
}

#[tokio::test]
async fn what_is_published_comes_in_order_to_all_who_subscribed_and_to_none_else() {
    let node = Node::start("fixture-misbehave").await;
    let (mut readers, mut clients) = (Vec::new(), Vec::new());
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/topic/news").await;
        reader.to(": subscribed\n\n").await;
        readers.push(reader);
        clients.push(client);
    }
    let mut other = Client::connect(Protocol::H1, node.address).await;
    let mut elsewhere = other.open("/topic/elsewhere").await;
    elsewhere.to(": subscribed\n\n").await;
    for payload in ["one", "two", "three"] {
        assert_eq!(
            post(Protocol::H1, node.address, "/publish/news", payload)
                .await
                .text(),
            "published"
        );
    }
    post(Protocol::H1, node.address, "/publish/elsewhere", "last").await;
    for reader in &mut readers {
        for payload in ["one", "two", "three"] {
            let event = format!("event: news\nid: {}\ndata: {payload}\n\n", NAMES[0]);
            assert_eq!(reader.to("\n\n").await, event);
        }
    }
    let event = format!("event: elsewhere\nid: {}\ndata: last\n\n", NAMES[0]);
    assert_eq!(elsewhere.to("\n\n").await, event);
}

#[tokio::test]
async fn what_a_callback_published_never_comes_if_it_broke_a_rule_besides() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/topic/promises").await;
    reader.to(": subscribed\n\n").await;
    for path in ["/publish-and-break/promises", "/publish-and-ask/promises"] {
        assert_eq!(fetch(Protocol::H1, node.address, path).await.status, 500);
    }
    post(Protocol::H1, node.address, "/publish/promises", "kept").await;
    // What comes first is what was published last.
    assert!(reader.to("\n\n").await.contains("data: kept\n"));
}

#[tokio::test]
async fn a_full_mailbox_says_how_many_messages_it_dropped() {
    let node = Node::start("fixture-misbehave").await;
    let answer = fetch(Protocol::H1, node.address, "/lag").await;
    let dropped = answer
        .text()
        .trim()
        .strip_prefix("lagged ")
        .expect("it lagged");
    // It publishes 32 for each that it takes: 1, 32, 63, and then 94 in 64 places.
    assert_eq!(dropped.parse::<u32>().expect("a number"), 30);
    node.idle().await;
}

#[tokio::test]
async fn subscriptions_end_with_their_exchange() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/topic/gone").await;
    reader.to(": subscribed\n\n").await;
    drop((reader, client));
    node.idle().await;
    assert_eq!(
        post(Protocol::H1, node.address, "/publish/gone", "x")
            .await
            .text(),
        "published"
    );
    assert_eq!(node.exchanges.live(), 0);
}

/// The `nodes` event of these nodes.
fn event(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("data: [{}]", names.join(", "))
}

#[tokio::test]
async fn a_stream_of_nodes_has_the_current_view_at_once_then_one_event_for_each_change() {
    let node = Node::start("guest").await;
    for protocol in BOTH {
        node.see(view(1, &NAMES[..2]));
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/updates").await;
        reader.to(&event(&NAMES[..2])).await;
        node.see(view(2, &NAMES));
        let between = reader.to(&event(&NAMES)).await;
        assert_eq!(between.matches("event: nodes").count(), 1, "{between}");
        node.see(view(3, &NAMES[..1]));
        let between = reader.to(&event(&NAMES[..1])).await;
        assert_eq!(between.matches("event: nodes").count(), 1, "{between}");
    }
}

#[tokio::test]
async fn views_that_wait_coalesce_into_the_newest() {
    // On one thread nothing runs between two changes.
    let node = Node::start("guest").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/updates").await;
    reader.to(&event(&NAMES[..2])).await;
    for version in 2..100 {
        node.see(view(version, &NAMES[..1]));
        node.see(view(version, &NAMES));
    }
    let between = reader.to(&event(&NAMES)).await;
    assert_eq!(between.matches("event: nodes").count(), 1, "{between}");
}

#[tokio::test]
async fn two_hundred_streams_are_all_told() {
    let node = Node::start("guest").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut reader = client.open("/updates").await;
        reader.to(&event(&NAMES[..2])).await;
        readers.push(reader);
    }
    assert_eq!(node.exchanges.live(), 200);
    node.see(view(2, &NAMES));
    for reader in &mut readers {
        reader.to(&event(&NAMES)).await;
    }
    drop(readers);
    until("the streams to be freed", || node.exchanges.live() == 0).await;
}
