//! What is counted of how requests end, and what is not.

use std::time::Duration;

use runtime::generation::Tally;

use crate::support::client::{Client, Protocol, fetch, get};
use crate::support::components::{Limits, fresh};
use crate::support::node::{Node, Setup};
use crate::support::{soon, until};

/// A node with a generation of its own: counts start at nothing.
async fn counted(package: &str, limits: Limits) -> Node {
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    Node::with_generation(fresh(limits, package).await, setup).await
}

fn tally(node: &Node) -> Tally {
    node.slot.current().expect("it serves").stats.requests()
}

/// Gets a path, and says as what it was counted: requests, traps, overruns, errors.
async fn counts(node: &Node, path: &str) -> [u64; 4] {
    let before = tally(node);
    fetch(Protocol::H1, node.address, path).await;
    node.idle().await;
    let counted = tally(node).since(&before);
    [
        counted.requests,
        counted.trapped,
        counted.overrun,
        counted.errors,
    ]
}

#[tokio::test]
async fn requests_traps_and_deadlines_are_told_apart() {
    let node = counted("fixture-misbehave", Limits::Tight).await;
    for (path, as_what) in [
        ("/ok", [1, 0, 0, 0]),
        ("/panic", [1, 1, 0, 0]),
        ("/alloc", [1, 1, 0, 0]),
        ("/spin", [1, 0, 1, 0]),
        // Against the contract, and no trap: the client has a 500.
        ("/two-heads", [1, 0, 0, 1]),
        // Many callbacks, one request.
        ("/download/4", [1, 0, 0, 0]),
    ] {
        assert_eq!(counts(&node, path).await, as_what, "{path}");
    }
    let node = counted("fixture-misbehave", Limits::Hurried).await;
    assert_eq!(counts(&node, "/sleep").await, [1, 0, 1, 0]);
}

#[tokio::test]
async fn wasi_http_requests_are_counted_alike() {
    let node = counted("fixture-plain", Limits::Tight).await;
    for (path, as_what) in [
        ("/", [1, 0, 0, 0]),
        ("/panic", [1, 1, 0, 0]),
        ("/spin", [1, 0, 1, 0]),
        ("/alloc", [1, 1, 0, 0]),
        ("/silent", [1, 0, 0, 1]),
    ] {
        assert_eq!(counts(&node, path).await, as_what, "{path}");
    }
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let before = tally(&node);
    // It is cut after its head, or before that was sent.
    if let Ok(response) = client.send(get("/stream-then-panic")).await {
        crate::support::client::whole(response).await;
    }
    node.idle().await;
    assert_eq!(tally(&node).since(&before).trapped, 1);
}

#[tokio::test]
async fn a_client_that_goes_before_the_end_of_a_callback_counts_as_nothing() {
    for package in ["fixture-misbehave", "fixture-plain"] {
        let node = counted(package, Limits::Usual).await;
        let mut client = Client::connect(Protocol::H1, node.address).await;
        let asking = tokio::spawn(async move { client.send(get("/spin")).await.map(drop) });
        until("it to run", || node.exchanges.live() == 1).await;
        asking.abort();
        node.idle().await;
        assert_eq!(tally(&node), Tally::default(), "{package}");
    }
}

#[tokio::test]
async fn what_is_cut_at_the_end_of_a_drain_is_no_failure_of_its_code() {
    let setup = Setup {
        drain: Duration::from_millis(100),
        ..Setup::default()
    };
    let first = fresh(Limits::Usual, "fixture-misbehave").await;
    let stats = first.stats.clone();
    let node = Node::with_generation(first, setup).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let asking = tokio::spawn(async move { client.get("/spin").await.status });
    until("it to run", || node.exchanges.live() == 1).await;
    node.swap(fresh(Limits::Usual, "fixture-counter-v1").await)
        .await;
    // A third ends it.
    node.swap(fresh(Limits::Usual, "fixture-counter-v2").await)
        .await;
    let status = soon("an answer", asking).await.expect("no panic");
    assert_eq!(status, 503);
    assert_eq!(stats.left().cut, 1);
    assert_eq!(stats.requests(), Tally::default());
}

#[tokio::test]
async fn a_stream_that_was_carried_over_counts_where_its_callbacks_run() {
    let first = fresh(Limits::Usual, "fixture-counter-v1").await;
    let old = first.stats.clone();
    let node = Node::with_generation(first, Setup::default()).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/count/tea").await;
    let draining = node
        .swap(fresh(Limits::Usual, "fixture-counter-v2").await)
        .await;
    soon("the stream to go over", draining.signals.freed()).await;
    assert_eq!(old.requests().requests, 1);
    let new = node.slot.current().expect("it serves").stats.clone();
    assert_eq!(new.changes().requests, 1, "its state was turned");
    assert_eq!(new.requests().requests, 0, "and nothing has run since");
    fetch(Protocol::H1, node.address, "/tick").await;
    reader.to("\n\n").await;
    let tally = new.requests();
    assert_eq!((tally.requests, tally.failed()), (2, 0));
}

#[tokio::test]
async fn what_goes_wrong_after_a_whole_response_counts_as_nothing_wrong() {
    let node = counted("fixture-unusual", Limits::Usual).await;
    for (path, as_what) in [
        ("/then/trap", [1, 0, 0, 0]),
        ("/then/exit/3", [1, 0, 0, 0]),
        ("/then/exit/0", [1, 0, 0, 0]),
        // No trap, but the client has a 500.
        ("/exit/0", [1, 0, 0, 1]),
        ("/exit/3", [1, 1, 0, 0]),
        ("/unfinished", [1, 0, 0, 1]),
        ("/short", [1, 0, 0, 1]),
    ] {
        assert_eq!(counts(&node, path).await, as_what, "{path}");
    }
}

#[tokio::test]
async fn an_exit_without_an_error_and_what_nobody_sees_are_no_failures() {
    let node = counted("fixture-misbehave", Limits::Usual).await;
    for (path, as_what) in [("/exit/0", [1, 0, 0, 1]), ("/exit/1", [1, 1, 0, 0])] {
        assert_eq!(counts(&node, path).await, as_what, "{path}");
    }
    // It panics when it hears that its client has gone.
    let before = tally(&node);
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let response = client.send(get("/panic-when-gone")).await.expect("a head");
    drop((response, client));
    node.idle().await;
    let counted = tally(&node).since(&before);
    assert_eq!([counted.requests, counted.trapped], [1, 0]);
}
