//! What callbacks ask for with their step: it holds only if all of it may be, and what is refused
//! is named.

use cluster::data::DataKey;

use crate::support::client::{BOTH, Client, Protocol, fetch};
use crate::support::log::Log;
use crate::support::node::Node;

/// Asks for what may not be, with a whole response, and after the head of a stream.
async fn is_refused(what: &str, count: &str, status: u16, cause: &str) {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let answer = client.get(&format!("/ask/{what}{count}")).await;
        assert_eq!(answer.status, status, "{what} over {protocol:?}");
        assert_eq!(client.get("/ok").await.text(), "ok", "after {what}");
    }
    let release = format!("release={}", node.release);
    let path = format!("path=\"/ask/{what}{count}\"");
    let lines = log.lines(&["the app failed", &release, &path, cause]);
    assert_eq!(lines.len(), BOTH.len(), "{:#?}", log.lines(&[]));
    node.idle().await;
}

#[tokio::test]
async fn an_effect_beyond_its_limit_is_500_and_the_log_names_effect_and_limit() {
    for (what, count, cause) in [
        ("subscribe", "/33", "the effect subscribe with 32 topics"),
        ("publish", "/33", "the effect publish more than 32 times"),
        ("send-after", "/33", "the effect send-after with 32 timers"),
        ("fetch", "/9", "the effect fetch with 8 fetches"),
        (
            "no-topic",
            "",
            "the effect subscribe with a topic of 0 bytes",
        ),
        (
            "long-topic",
            "",
            "the effect subscribe with a topic of 257 bytes; 1 to 256",
        ),
        (
            "large",
            "",
            "the effect publish with 65537 bytes, more than 65536",
        ),
        (
            "long-url",
            "",
            "the effect fetch with a URL of 8193, more than 8192",
        ),
    ] {
        is_refused(what, count, 500, cause).await;
    }
}

#[tokio::test]
async fn as_many_as_allowed_are_taken() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    for what in ["subscribe/32", "publish/32", "send-after/32", "fetch/8"] {
        let answer = fetch(Protocol::H1, node.address, &format!("/ask/{what}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, "asked"),
            "{what}"
        );
    }
    log.tells_no_failure();
}

#[tokio::test]
async fn what_a_callback_writes_is_there_once_it_has_returned_and_not_if_a_part_cannot_be() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    let key = DataKey::new("default", "key").expect("a key");
    let generation = node.slot.current().expect("it serves");
    for (what, status, then) in [
        ("watch", 200, None),
        ("unwatch", 200, None),
        ("put", 200, Some("value")),
        ("increment", 500, Some("value")),
        ("delete", 200, None),
        ("increment", 200, Some("1")),
        ("increment/5", 200, Some("6")),
        // Its exchange is over at once.
        ("put-while-open", 200, None),
    ] {
        let answer = fetch(Protocol::H1, node.address, &format!("/ask/{what}")).await;
        assert_eq!(answer.status, status, "{what}");
        node.idle().await;
        let there = generation.data().get(&key);
        assert_eq!(there.as_deref(), then.map(str::as_bytes), "{what}");
    }
    log.tells_once(&["could not write: the key default/key has a value that is no whole number"]);
}

#[tokio::test]
async fn a_stream_that_asks_for_what_may_not_be_is_cut() {
    let node = Node::start("fixture-misbehave").await;
    for what in ["large", "long-url"] {
        for protocol in BOTH {
            let answer = fetch(protocol, node.address, &format!("/ask-later/{what}")).await;
            assert_eq!(answer.status, 200);
            answer.was_cut(protocol);
        }
    }
    node.idle().await;
}

#[tokio::test]
async fn effects_of_a_whole_response_take_hold() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/topic/last").await;
    reader.to(": subscribed\n\n").await;
    let answer = fetch(Protocol::H1, node.address, "/done-and-publish/last").await;
    assert_eq!(answer.text(), "done");
    assert!(reader.to("\n\n").await.contains("data: done\n"));
}

#[tokio::test]
async fn a_fetch_that_nothing_allows_is_answered_that_it_is_denied() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/fetch/8").await;
        let told: String = (0..8)
            .map(|n| format!("fetched {n} FetchError::Denied\n"))
            .collect();
        assert_eq!(reader.to("fetched 7 FetchError::Denied\n").await, told);
    }
    log.tells_no_failure();
}
