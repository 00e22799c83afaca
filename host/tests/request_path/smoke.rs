//! The smoke request: what new code must answer before it serves.

use std::sync::Arc;

use host::app::{Loader, Refusal};
use host::health::Smoke;

use crate::support::components::{Limits, bytes, fresh, read_built, runtime};
use crate::support::node::{Node, Setup};
use crate::support::soon;

/// A node that serves the counter, and what loads other apps into it.
async fn smoking(request: &str, limits: Limits) -> (Node, Loader) {
    let first = fresh(limits, "fixture-counter-v1").await;
    let node = Node::with_generation(first, Setup::default()).await;
    let smoke: Smoke = request.parse().expect("a smoke request");
    let loader = Loader::new(runtime(limits), node.slot.clone());
    let loader = loader.smoking(Some(smoke), node.exchanges.clone());
    (node, loader)
}

async fn prepare(loader: &Loader, package: &str) -> Result<(), Refusal> {
    let ready = loader.prepare(bytes(read_built(package)));
    let ready = soon("the smoke request", ready).await?;
    ready.activate();
    Ok(())
}

/// The sentence with which the misbehaving app is refused.
async fn refused(request: &str, limits: Limits) -> String {
    let (node, loader) = smoking(request, limits).await;
    let before = node.slot.current().expect("it serves");
    let refused = prepare(&loader, "fixture-misbehave").await;
    let now = node.slot.current().expect("it serves");
    assert!(Arc::ptr_eq(&before, &now), "nothing has changed");
    node.idle().await;
    refused.expect_err("it does not pass").to_string()
}

#[tokio::test]
async fn new_code_that_answers_is_taken_whatever_kind_of_app_it_is() {
    for package in [
        "fixture-counter-v2",
        "guest",
        "fixture-simple",
        "fixture-plain",
    ] {
        let (node, loader) = smoking("GET /", Limits::Usual).await;
        prepare(&loader, package).await.expect(package);
        // Its answer went nowhere, and nothing of it goes on.
        node.idle().await;
    }
}

#[tokio::test]
async fn a_stream_passes_by_its_head_and_is_not_waited_for() {
    let (node, loader) = smoking("GET /count/tea", Limits::Usual).await;
    prepare(&loader, "fixture-counter-v2")
        .await
        .expect("it answers");
    node.idle().await;
}

#[tokio::test]
async fn new_code_that_fails_is_refused_with_what_it_answered_and_nothing_changes() {
    let text = refused("GET /panic", Limits::Usual).await;
    assert_eq!(
        text,
        "app.wasm does not pass its smoke request: GET /panic was answered with \
         500 Internal Server Error; from 200 to 399 is wanted"
    );
    let text = refused("HEAD /no/such/path", Limits::Usual).await;
    assert!(
        text.contains("HEAD /no/such/path was answered with 404"),
        "{text}"
    );
    let text = refused("GET /sleep", Limits::Hurried).await;
    // Its own limit comes first, or that of the request.
    let late = text.contains("answered with 500") || text.contains("within 0.3 s");
    assert!(late, "{text}");
}
