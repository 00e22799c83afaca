//! Whether new code can take over the states of open streams: by the version and the shape that
//! each says of its state, and what becomes of messages that earlier code does not know.

use std::sync::Arc;

use runtime::generation::{Generation, validate};

use crate::support::client::{Client, Protocol, Reader, post};
use crate::support::components::{Limits, bytes, generation, kept, read_built, runtime};
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::soon;

/// The app of these tests, as if its code said this of its state. It knows how to turn states of
/// version 1 into version 2, and back.
async fn code(version: u32, shape: Option<&str>) -> Arc<Generation> {
    let app = bytes(read_built("fixture-misbehave"));
    let checked = validate(&runtime(Limits::Usual), app).await;
    let mut generation = checked.expect("it is an app");
    assert_eq!(generation.state_version, 2);
    assert_eq!(generation.state_shape.as_deref(), Some("kind"));
    generation.state_version = version;
    generation.state_shape = shape.map(Into::into);
    Arc::new(generation)
}

/// A node with an open stream on code that says this of its state.
async fn streaming(version: u32, shape: Option<&str>) -> (Node, Client, Reader) {
    let node = Node::with_generation(code(version, shape).await, Setup::default()).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/topic/shapes").await;
    reader.to(": subscribed\n\n").await;
    (node, client, reader)
}

/// Whether the state of an open stream is taken over; if it is not, why.
async fn migrates(from: (u32, Option<&str>), to: (u32, Option<&str>)) -> Result<(), String> {
    let log = Log::capture();
    let (node, _client, mut reader) = streaming(from.0, from.1).await;
    let new = code(to.0, to.1).await;
    let tried = node.exchanges.try_states(&new).await;
    let draining = node.swap(new).await;
    soon("the old code to be freed", draining.signals.freed()).await;
    let left = draining.stats.left();
    match tried {
        Ok(()) => {
            assert_eq!((left.migrated, left.refused), (1, 0));
            post(Protocol::H1, node.address, "/publish/shapes", "news").await;
            assert!(reader.to("\n\n").await.contains("data: news\n"));
            log.tells_no_failure();
            Ok(())
        }
        Err(why) => {
            // It was put in all the same, as `--drop-streams` does.
            assert_eq!((left.migrated, left.refused), (0, 1));
            assert_eq!(reader.rest().await.0, "closing code-change\n");
            assert_eq!(log.lines(&["is not migrated to the new code"]).len(), 1);
            Err(why.to_string())
        }
    }
}

#[tokio::test]
async fn a_state_of_the_same_shape_is_taken_as_it_is_whatever_the_versions_are() {
    // The code would refuse to turn either of them.
    assert_eq!(migrates((2, Some("a")), (7, Some("a"))).await, Ok(()));
    assert_eq!(migrates((7, Some("a")), (2, Some("a"))).await, Ok(()));
    assert_eq!(migrates((2, Some("a")), (2, Some("a"))).await, Ok(()));
}

#[tokio::test]
async fn a_state_of_another_version_and_shape_is_turned_by_the_newer_code() {
    let refused = migrates((2, Some("a")), (7, Some("b"))).await;
    let why = refused.expect_err("the code refuses it");
    assert!(why.contains("state of version 2 is not known"), "{why}");
    let refused = migrates((7, Some("a")), (2, None)).await;
    let why = refused.expect_err("the code refuses it");
    assert!(why.contains("state of version 2 is not known"), "{why}");
}

#[tokio::test]
async fn a_changed_shape_under_an_unchanged_version_is_refused_before_the_new_code_serves() {
    let refused = migrates((2, Some("a")), (2, Some("b"))).await;
    let why = refused.expect_err("its version is the same");
    for text in [
        "cannot read the state of 1 of 1 open streams of /topic/shapes",
        "the shape of its state has changed and its version has not: both are 2",
        "--drop-streams",
    ] {
        assert!(why.contains(text), "{why}");
    }
}

#[tokio::test]
async fn where_one_shape_is_not_known_the_versions_decide() {
    assert_eq!(migrates((2, Some("a")), (2, None)).await, Ok(()));
    assert_eq!(migrates((2, None), (2, Some("a"))).await, Ok(()));
    assert_eq!(migrates((2, None), (2, None)).await, Ok(()));
}

#[tokio::test]
async fn code_of_an_earlier_contract_has_a_shape_that_nobody_knows() {
    let earlier = generation(Limits::Usual, &kept("misbehave-0.1.0.wasm")).await;
    assert_eq!(
        (earlier.state_version, earlier.state_shape.as_deref()),
        (2, None)
    );
}

#[tokio::test]
async fn answers_that_earlier_code_does_not_know_are_told_as_lagged_after_a_rollback() {
    let node = Node::with_generation(code(2, Some("kind")).await, Setup::default()).await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    // No callback runs before the client has read what this one sends.
    let mut reader = client.open("/fetch-held/3").await;
    let earlier = generation(Limits::Usual, &kept("misbehave-0.1.0.wasm")).await;
    let draining = node.swap(earlier).await;
    soon("the old code to be freed", draining.signals.freed()).await;
    assert_eq!(draining.stats.left().migrated, 1);
    assert_eq!(reader.skip_to(b'.', "3\n\n").await, "lagged 3\n\n");
}
