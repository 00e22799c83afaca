//! The request that new code must answer before it serves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::files::read;
use runtime::generation::Slot;
use runtime::loader::Loader;
use runtime::smoke::Smoke;

use crate::support::client::{Client, Protocol, post};
use crate::support::components::{Limits, built, runtime};
use crate::support::log::Log;
use crate::support::node::Node;

const SIMPLE: &str = "fixture-simple";
const PLAIN: &str = "fixture-plain";
const STREAMING: &str = "fixture-misbehave";

fn loader(slot: &Arc<Slot>, limits: Limits, target: &str) -> Loader {
    Loader::new(runtime(limits), slot.clone()).with_smoke(Some(Smoke {
        target: target.parse().expect("a path"),
        config: Bytes::from_static(b"a config"),
    }))
}

/// Why an app is refused that must answer this; none if it is ready.
async fn refusal(package: &str, limits: Limits, target: &str) -> Option<String> {
    let slot = Slot::new(Duration::from_secs(1));
    let app = read(&built(package)).expect("the component can be read");
    let prepared = loader(&slot, limits, target).prepare(app).await;
    assert!(slot.current().is_none(), "it is not put in by that");
    prepared.err().map(|refusal| refusal.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_answers_with_a_success_or_a_redirect_passes() {
    for (package, target) in [
        ("guest", "/"),
        (SIMPLE, "/a/path?and=query"),
        (SIMPLE, "/no-content"),
        (PLAIN, "/"),
        (STREAMING, "/bad-status/302"),
        // Its head comes at a timer.
        (STREAMING, "/late/10"),
        // Streams do not end; their heads are enough.
        (STREAMING, "/wait"),
        (PLAIN, "/stream"),
    ] {
        let refusal = refusal(package, Limits::Usual, target).await;
        assert_eq!(refusal, None, "{package} {target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_does_not_is_refused_with_what_it_did_instead() {
    use Limits::{Hurried, Tight, Usual};
    for (package, limits, target, words) in [
        (
            SIMPLE,
            Usual,
            "/panic",
            "was answered with 500 Internal Server Error: thread",
        ),
        (
            SIMPLE,
            Usual,
            "/panic",
            "asked to panic; repair the app, or change --smoke",
        ),
        (PLAIN, Usual, "/panic", "panicked at"),
        (
            PLAIN,
            Usual,
            "/silent",
            "returned without setting a response",
        ),
        (STREAMING, Usual, "/panic", "panicked at"),
        (
            STREAMING,
            Usual,
            "/bad-status/404",
            "was answered with 404 Not Found;",
        ),
        (
            STREAMING,
            Usual,
            "/data-before-head",
            "with 500 Internal Server Error: ",
        ),
        (
            STREAMING,
            Tight,
            "/spin",
            "used its 0.3 s of processor time",
        ),
        (PLAIN, Tight, "/spin", "used its 0.3 s of processor time"),
        (STREAMING, Tight, "/alloc", "16 MiB of memory"),
        (STREAMING, Hurried, "/sleep", "did not return within 0.3 s"),
        (
            STREAMING,
            Hurried,
            "/late/60000",
            "was not answered within 1.3 s",
        ),
    ] {
        let log = Log::capture();
        let refusal = refusal(package, limits, target).await;
        let refusal = refusal.unwrap_or_else(|| panic!("{package} {target} passed"));
        let begins = format!("failed its smoke request: GET {target} ");
        for words in [&begins, words] {
            assert!(refusal.contains(words), "{words:?} in: {refusal}");
        }
        assert!(!refusal.contains('\n'), "one line: {refusal}");
        log.tells_no_failure();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_new_code_does_in_its_smoke_request_is_not_noticed_by_others() {
    let node = Node::start(STREAMING).await;
    let mut listener = Client::connect(Protocol::H1, node.address).await;
    let mut listener = listener.open("/topic/news").await;
    listener.to("subscribed").await;
    let loader = loader(&node.slot, Limits::Usual, "/publish/news");
    let app = read(&built(STREAMING)).expect("the component can be read");
    let ready = loader.prepare(app).await.expect("it passes");
    assert_eq!(ready.generation().stats.live(), 0);
    ready.activate();
    // The first that is heard is what a client publishes.
    let told = post(Protocol::H1, node.address, "/publish/news", "real");
    assert!(told.await.status.is_success());
    let heard = listener.to("data: real").await;
    assert_eq!(heard.matches("event: news").count(), 1, "{heard:?}");
}
