//! Code that changes while it runs: requests, open streams, what refuses to
//! change, and what becomes of old code.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use host::app::bake::{BakeOutcome, BakeTask, Past, Rule};
use runtime::generation::{DrainingGeneration, Generation};
use runtime::loader::{Loader, Prepared};

use crate::support::client::{BOTH, Client, Protocol, Reader, Upload, request, upload};
use crate::support::components::{Limits, bytes, fresh, read_built, runtime};
use crate::support::log::Log;
use crate::support::node::{NAMES, Node, Setup};
use crate::support::{soon, until};

/// The component of a package, and what tells that nothing refers to it.
async fn load(package: &str) -> (Arc<Generation>, Weak<Generation>) {
    let generation = fresh(Limits::Usual, package).await;
    let weak = Arc::downgrade(&generation);
    (generation, weak)
}

async fn start(package: &str, setup: Setup) -> (Node, Weak<Generation>) {
    let (generation, weak) = load(package).await;
    (Node::with_generation(generation, setup).await, weak)
}

async fn freed(draining: &DrainingGeneration, generation: &Weak<Generation>) {
    soon("the old code to be freed", draining.signals.freed()).await;
    until("the old code to be dropped", || {
        generation.strong_count() == 0
    })
    .await;
}

async fn tick(node: &Node) {
    let mut client = Client::connect(Protocol::H1, node.address).await;
    assert_eq!(client.get("/tick").await.status, 204);
}

async fn open(node: &Node, protocol: Protocol, path: &str) -> (Client, Reader) {
    let mut client = Client::connect(protocol, node.address).await;
    let reader = client.open(path).await;
    (client, reader)
}

/// A request to the wasi:http fixture that goes on until its upload ends.
async fn echo(node: &Node) -> (Client, Upload, Reader) {
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let (upload, body) = upload();
    assert!(upload.data("first").await);
    let response = client.send(request("POST", "/echo", body)).await;
    let mut reader = Reader::new(response.expect("a response"));
    reader.to("first").await;
    (client, upload, reader)
}

/// Makes the component of a package ready, as a node does: the generation that
/// drains, if it is that one.
fn prepare(node: &Node, package: &str) -> impl Future<Output = Prepared> + use<> {
    let loader = Loader::new(runtime(Limits::Usual), node.slot.clone());
    let app = bytes(read_built(package));
    async move { loader.prepare(app).await.expect("it is an app") }
}

/// Lets something begin that is not done at once.
async fn begun<T>(
    future: impl Future<Output = T> + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    let mut future: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(future);
    let is_done = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
    assert!(!is_done, "it waits for nothing");
    future
}

#[tokio::test]
async fn the_next_request_on_an_open_connection_runs_the_new_code() {
    let (node, old) = start("fixture-counter-v1", Setup::default()).await;
    let mut clients = Vec::new();
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        assert_eq!(client.get("/").await.text(), "v1");
        clients.push(client);
    }
    let draining = node.swap(load("fixture-counter-v2").await.0).await;
    for client in &mut clients {
        assert_eq!(client.get("/").await.text(), "v2");
    }
    freed(&draining, &old).await;
}

#[tokio::test]
async fn a_stream_goes_over_to_code_whose_state_has_another_shape_twice_and_back() {
    let (node, mut old) = start("fixture-counter-v1", Setup::default()).await;
    let mut streams = Vec::new();
    for protocol in BOTH {
        streams.push(open(&node, protocol, "/count/tea").await);
    }
    tick(&node).await;
    for (_, reader) in &mut streams {
        reader.to("data: v1 1\n\n").await;
    }
    let hops = [
        ("fixture-counter-v2", "data: v2 unnamed 2\n\n"),
        ("fixture-counter-v3", "data: v3 [] 3\n\n"),
        ("fixture-counter-v2", "data: v2 unnamed 4\n\n"),
        ("fixture-counter-v1", "data: v1 5\n\n"),
        // Over a version, in both directions.
        ("fixture-counter-v3", "data: v3 [] 6\n\n"),
        ("fixture-counter-v1", "data: v1 7\n\n"),
    ];
    for (package, event) in hops {
        let (new, weak) = load(package).await;
        let draining = node.swap(new).await;
        // Nothing happens on the streams, and they go over all the same.
        freed(&draining, &old).await;
        assert_eq!(draining.stats.left().migrated, 2);
        assert_eq!(draining.stats.left().refused + draining.stats.left().cut, 0);
        tick(&node).await;
        for (_, reader) in &mut streams {
            assert_eq!(reader.to("\n\n").await, event);
        }
        old = weak;
    }
    assert_eq!(node.exchanges.live(), 2);
}

#[tokio::test]
async fn a_state_that_the_new_code_refuses_ends_its_stream_cleanly_and_is_counted() {
    let log = Log::capture();
    let (node, old) = start("fixture-counter-v3", Setup::default()).await;
    let (_one, mut migrated) = open(&node, Protocol::H1, "/count/tea").await;
    let (_two, refused) = open(&node, Protocol::H1, "/count/tea+milk").await;
    let draining = node.swap(load("fixture-counter-v2").await.0).await;
    let (_, end) = refused.rest().await;
    end.expect("it ends cleanly");
    freed(&draining, &old).await;
    assert_eq!(
        (
            draining.stats.left().migrated,
            draining.stats.left().refused
        ),
        (1, 1)
    );
    log.tells_once(&[
        "not migrated",
        "/count/tea+milk",
        "a stream of two names does not go back",
    ]);
    log.tells_no_failure();
    tick(&node).await;
    assert_eq!(migrated.to("\n\n").await, "data: v2 tea 1\n\n");
}

#[tokio::test]
async fn streams_end_cleanly_where_the_new_app_knows_no_versions_or_has_no_streams() {
    for package in ["guest", "fixture-simple", "fixture-plain"] {
        let (node, old) = start("fixture-counter-v2", Setup::default()).await;
        let (_client, reader) = open(&node, Protocol::H2, "/count/tea").await;
        let draining = node.swap(load(package).await.0).await;
        reader.rest().await.1.expect("it ends cleanly");
        freed(&draining, &old).await;
        assert_eq!(draining.stats.left().refused, 1, "{package}");
    }
}

#[tokio::test]
async fn a_stream_that_does_not_end_when_it_is_told_to_is_cut_at_the_end_of_the_drain() {
    let setup = Setup {
        drain: Duration::from_millis(200),
        ..Setup::default()
    };
    // Its state has version 2, which the guest does not know.
    let (node, old) = start("fixture-misbehave", setup).await;
    let (_client, mut reader) = open(&node, Protocol::H1, "/hold").await;
    reader.piece().await.expect("it has begun").expect("data");
    let draining = node.swap(load("guest").await.0).await;
    assert!(reader.rest().await.1.is_err(), "it is cut");
    freed(&draining, &old).await;
    assert_eq!(
        (draining.stats.left().refused, draining.stats.left().cut),
        (1, 1)
    );
}

#[tokio::test]
async fn a_wasi_http_request_finishes_on_the_code_it_began_with() {
    let (node, old) = start("fixture-plain", Setup::default()).await;
    let (_client, upload, mut reader) = echo(&node).await;
    let draining = node.swap(load("fixture-counter-v1").await.0).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    assert_eq!(client.get("/").await.text(), "v1");
    assert_eq!(draining.stats.live(), 1);
    assert!(old.strong_count() > 0);
    assert!(upload.data("second").await);
    assert_eq!(reader.to("second").await, "second");
    drop(upload);
    assert_eq!(reader.rest().await.0, "");
    freed(&draining, &old).await;
    assert_eq!(draining.stats.left().cut, 0);
}

#[tokio::test]
async fn a_third_app_waits_for_the_drain_and_then_ends_and_counts_what_is_left() {
    let log = Log::capture();
    let setup = Setup {
        drain: Duration::from_millis(300),
        ..Setup::default()
    };
    let (node, old) = start("fixture-plain", setup).await;
    let (_client, _upload, reader) = echo(&node).await;
    let first = node.swap(load("fixture-counter-v1").await.0).await;
    let began = std::time::Instant::now();
    node.swap(load("fixture-counter-v2").await.0).await;
    println!("the third waited {:?}", began.elapsed());
    assert!(first.since.elapsed() >= Duration::from_millis(300));
    assert!(reader.rest().await.1.is_err(), "it is cut");
    freed(&first, &old).await;
    assert_eq!(first.stats.left().cut, 1);
    log.tells_once(&["a next app waits", "left=1"]);
}

#[tokio::test]
async fn a_callback_that_runs_when_new_code_comes_finishes_on_the_old() {
    let (node, old) = start("fixture-misbehave", Setup::default()).await;
    let new = load("fixture-counter-v1").await.0;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let asked = tokio::spawn(async move { client.get("/sleep/1000").await.text().to_owned() });
    until("the callback to run", || node.exchanges.live() == 1).await;
    let draining = node.swap(new).await;
    assert_eq!(draining.stats.live(), 1);
    assert_eq!(asked.await.expect("it does not panic"), "slept");
    freed(&draining, &old).await;
}

#[tokio::test]
async fn a_download_goes_on_over_a_swap_and_its_order_of_parts_is_still_checked() {
    let (node, old) = start("fixture-misbehave", Setup::default()).await;
    // More than fits into the buffers between: it is held back when the swap comes.
    let (_client, mut reader) = open(&node, Protocol::H1, "/download/16").await;
    let first = reader.piece().await.expect("it has begun").expect("data");
    let draining = node.swap(load("fixture-misbehave").await.0).await;
    freed(&draining, &old).await;
    assert_eq!(draining.stats.left().migrated, 1);
    let (rest, end) = reader.rest().await;
    end.expect("it ends cleanly");
    assert_eq!(first.len() + rest.len(), 16 << 20);
    // A head that is sent again by the new code is still a second head.
    let log = Log::capture();
    let (_client, reader) = open(&node, Protocol::H1, "/stream-then-bad").await;
    node.swap(load("fixture-misbehave").await.0).await;
    assert!(reader.rest().await.1.is_err(), "it is cut");
    log.tells_once(&["the app failed", "sent a second head"]);
}

#[tokio::test]
async fn a_change_that_trapped_on_all_streams_before_anybody_looked_is_held_against_the_new_code() {
    let (node, _) = start("fixture-counter-v1", Setup::default()).await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(client.open("/count/tea").await);
    }
    let swapped = prepare(&node, "fixture-misbehave").await.activate();
    let left = swapped.draining.expect("there was one before");
    until("all streams to be left", || left.stats.left().refused == 20).await;
    let serves = node.slot.current().expect("it was put in").stats.clone();
    let task = BakeTask::begin(serves, Past::default(), Some(Rule::default()), None);
    let outcome = soon("the outcome", task.outcome()).await;
    let BakeOutcome::Failed(reason) = outcome else {
        panic!("{outcome:?}");
    };
    let reason = reason.to_string();
    assert!(reason.starts_with("20 of 20 open streams"), "{reason}");
}

#[tokio::test]
async fn five_hundred_idle_streams_go_over_while_requests_are_answered() {
    let (node, old) = start("fixture-counter-v1", Setup::default()).await;
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(Protocol::H2, node.address).await;
        for _ in 0..100 {
            streams.push(client.open("/count/tea").await);
        }
        clients.push(client);
    }
    let new = load("fixture-counter-v2").await.0;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    client.get("/").await;
    let began = std::time::Instant::now();
    let draining = node.swap(new).await;
    let mut slowest = Duration::ZERO;
    while old.strong_count() > 0 {
        let asked = std::time::Instant::now();
        assert_eq!(client.get("/").await.text(), "v2");
        slowest = slowest.max(asked.elapsed());
    }
    println!(
        "500 streams went over in {:?}; the slowest request took {slowest:?}",
        began.elapsed()
    );
    assert_eq!(draining.stats.left().migrated, 500);
    tick(&node).await;
    for reader in &mut streams {
        assert_eq!(reader.to("\n\n").await, "data: v2 unnamed 1\n\n");
    }
}

#[tokio::test]
async fn the_view_that_a_stream_follows_is_told_by_the_new_code() {
    let (node, old) = start("guest", Setup::default()).await;
    let (_client, mut reader) = open(&node, Protocol::H1, "/updates").await;
    reader.to("event: view").await;
    let draining = node.swap(load("guest").await.0).await;
    freed(&draining, &old).await;
    node.see(crate::support::node::view(2, &NAMES));
    reader.to(NAMES[2]).await;
}

#[tokio::test]
async fn going_back_does_not_wait_for_one_who_waits_for_room_and_who_then_has_it() {
    let setup = Setup {
        drain: Duration::from_secs(600),
        ..Setup::default()
    };
    let (node, first) = start("fixture-plain", setup).await;
    let (_client, upload, mut reader) = echo(&node).await;
    prepare(&node, "fixture-counter-v1").await.activate();
    let third = begun(prepare(&node, "fixture-counter-v2")).await;
    let third = tokio::spawn(third);

    let back = soon("the one before", prepare(&node, "fixture-plain")).await;
    let first = first.upgrade().expect("its request is open");
    assert!(Arc::ptr_eq(back.generation(), &first), "it is as it was");
    assert!(!third.is_finished(), "two generations are loaded already");
    let swapped = back.activate();
    assert!(upload.data("second").await);
    assert_eq!(reader.to("second").await, "second");

    // Nothing is open on the one that was left.
    let third = soon("the third", third).await.expect("it does not panic");
    let left = swapped.draining.expect("there was one before");
    soon("the one that was left to be freed", left.signals.freed()).await;
    drop(first);
    let draining = third.activate().draining.expect("there was one before");
    let mut client = Client::connect(Protocol::H1, node.address).await;
    assert_eq!(client.get("/").await.text(), "v2");
    assert!(upload.data("third").await);
    assert_eq!(reader.to("third").await, "third");
    assert_eq!(draining.stats.left().cut, 0);
}

#[tokio::test]
async fn a_draining_app_whose_requests_were_told_to_end_is_not_put_in_again() {
    let setup = Setup {
        drain: Duration::ZERO,
        ..Setup::default()
    };
    let first = fresh(Limits::Usual, "fixture-plain").await;
    let node = Node::with_generation(first.clone(), setup).await;
    let (_client, _upload, reader) = echo(&node).await;
    prepare(&node, "fixture-counter-v1").await.activate();
    // It is given up when it has ended what is left, and before that has gone.
    let third = begun(prepare(&node, "fixture-counter-v2")).await;
    tokio::select! {
        _ = third => panic!("the first one is in use"),
        (_, end) = reader.rest() => assert!(end.is_err(), "it is cut"),
    }
    let again = begun(prepare(&node, "fixture-plain")).await;
    drop(first);
    soon("its room", again).await.activate();
    let mut client = Client::connect(Protocol::H1, node.address).await;
    assert_eq!(client.get("/long-gone").await.status, 404);
    let (_client, upload, mut reader) = echo(&node).await;
    assert!(upload.data("second").await);
    assert_eq!(reader.to("second").await, "second");
}

#[tokio::test]
async fn a_stream_that_newer_code_refused_stays_open_once_its_own_is_back_and_goes_over_later() {
    let drain = Duration::from_secs(2);
    let setup = Setup {
        drain,
        ..Setup::default()
    };
    let (node, old) = start("fixture-misbehave", setup).await;
    let (_client, mut reader) = open(&node, Protocol::H1, "/hold/tea").await;
    reader.to(": subscribed\n\n").await;
    let swapped = prepare(&node, "fixture-plain").await.activate();
    let first = swapped.draining.expect("there was one before");
    until("the stream to be refused", || {
        first.stats.left().refused == 1
    })
    .await;
    prepare(&node, "fixture-misbehave").await.activate();
    assert!(
        first.since.elapsed() < drain,
        "the machine is too slow for this test"
    );

    // It says nothing, and is not cut either.
    let cut = tokio::time::timeout(drain * 2, reader.piece()).await;
    assert!(cut.is_err(), "{cut:?}");
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut publish = async |reader: &mut Reader| {
        assert_eq!(client.get("/publish/tea").await.text(), "published");
        reader.to("event: tea").await;
        reader.to("\n\n").await;
    };
    publish(&mut reader).await;
    assert_eq!(first.stats.left().cut, 0);

    let draining = node.swap(load("fixture-misbehave").await.0).await;
    freed(&draining, &old).await;
    assert_eq!(
        (
            draining.stats.left().migrated,
            draining.stats.left().refused
        ),
        (1, 1)
    );
    publish(&mut reader).await;
}
