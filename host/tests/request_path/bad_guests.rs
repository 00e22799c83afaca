//! Apps that break a rule: the exchange ends with 500, or with a cut stream if
//! a head was sent before; the log names release, path and cause; nothing else
//! suffers.

use crate::support::client::{BOTH, Client, Protocol, fetch};
use crate::support::components::Limits;
use crate::support::log::Log;
use crate::support::node::{Node, Setup};

/// Gets a path whose first callback fails.
async fn fails(path: &str, cause: &str) {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let answer = client.get(path).await;
        assert_eq!(answer.status, 500, "{path} over {protocol:?}");
        assert_eq!(answer.text(), "internal server error\n", "{path}");
        assert_eq!(
            client.get("/ok").await.text(),
            "ok",
            "after {path} over {protocol:?}"
        );
    }
    let release = format!("release={}", node.release);
    let path = format!("path=\"{path}\"");
    let lines = log.lines(&["the app failed", &release, &path, cause]);
    assert_eq!(lines.len(), BOTH.len(), "{:#?}", log.lines(&[]));
    node.idle().await;
}

#[tokio::test]
async fn a_panic_is_500_and_the_log_names_where_it_was() {
    fails("/panic", "asked to panic").await;
}

#[tokio::test]
async fn parts_before_a_head_are_500() {
    fails("/data-before-head", "sent data before a head").await;
    fails("/tail-before-head", "sent a tail before a head").await;
}

#[tokio::test]
async fn a_second_head_is_500() {
    fails("/two-heads", "sent a second head").await;
}

#[tokio::test]
async fn parts_after_the_end_of_the_response_are_500() {
    fails(
        "/data-after-whole",
        "sent data after its response was complete",
    )
    .await;
    fails(
        "/data-after-tail",
        "sent data after its response was complete",
    )
    .await;
}

#[tokio::test]
async fn a_complete_response_with_a_streamed_body_is_500() {
    fails(
        "/done-streamed",
        "returned a streamed body in a complete response",
    )
    .await;
}

#[tokio::test]
async fn a_frame_on_what_is_no_websocket_is_500() {
    fails(
        "/frame",
        "sent a WebSocket frame on an exchange that is not a WebSocket",
    )
    .await;
}

#[tokio::test]
async fn fields_that_may_not_go_on_the_wire_are_500() {
    fails("/bad-header", "sent the field name").await;
    fails(
        "/bad-header-value",
        "sent a value for the field x-a with a character",
    )
    .await;
    fails(
        "/bad-trailer",
        "sent a value for the field x-a with a character",
    )
    .await;
}

#[tokio::test]
async fn statuses_that_are_not_final_are_500() {
    for status in [0, 99, 100, 101, 199, 600, 999, 1000] {
        let cause = format!("sent the status {status}; 200 to 599 are allowed");
        fails(&format!("/bad-status/{status}"), &cause).await;
    }
}

#[tokio::test]
async fn a_body_on_204_is_500() {
    fails(
        "/body-on-204",
        "sent a body with the status 204, which has none",
    )
    .await;
}

#[tokio::test]
async fn a_content_length_that_does_not_hold_is_500() {
    fails(
        "/bad-length",
        "sent a content-length that is not one number",
    )
    .await;
    fails(
        "/short",
        "ended 1 bytes short of the content-length of its head",
    )
    .await;
    fails(
        "/long",
        "sent more bytes than the content-length of its head",
    )
    .await;
}

#[tokio::test]
async fn state_over_the_limit_is_500_and_the_log_names_the_flag() {
    let cause =
        "returned 65537 bytes of state, more than the 65536 allowed; --max-state allows more";
    fails("/big-state", cause).await;
}

#[tokio::test]
async fn state_up_to_the_limit_comes_back_whole() {
    let node = Node::start("fixture-misbehave").await;
    let answer = fetch(Protocol::H1, node.address, "/big-state/65536").await;
    assert_eq!(answer.text(), "before\nstate 65536\n");
}

#[tokio::test]
async fn a_websocket_is_501_and_the_log_says_why() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    let answer = fetch(Protocol::H1, node.address, "/upgrade-ws").await;
    assert_eq!(answer.status, 501);
    log.tells_once(&[
        "the app failed",
        "/upgrade-ws",
        "WebSocket, which this host does not serve yet",
    ]);
}

/// Gets a path that fails once its head was sent.
async fn is_cut(path: &str, cause: &str, limits: Limits) {
    for protocol in BOTH {
        let log = Log::capture();
        let setup = Setup {
            limits,
            ..Setup::default()
        };
        let node = Node::with("fixture-misbehave", setup).await;
        let mut client = Client::connect(protocol, node.address).await;
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.was_cut(protocol);
        let release = format!("release={}", node.release);
        log.tells_once(&[
            "the app failed",
            &release,
            &format!("path=\"{path}\""),
            cause,
        ]);
        if protocol == Protocol::H2 {
            // One stream was reset, the connection goes on.
            assert_eq!(client.get("/ok").await.text(), "ok");
        }
        assert_eq!(fetch(protocol, node.address, "/ok").await.text(), "ok");
        node.idle().await;
    }
}

#[tokio::test]
async fn a_stream_is_cut_when_a_later_callback_panics() {
    is_cut(
        "/stream-then-panic",
        "asked to panic at a timer",
        Limits::Usual,
    )
    .await;
}

#[tokio::test]
async fn a_stream_is_cut_when_a_later_callback_loops() {
    is_cut("/stream-then-spin", "of processor time", Limits::Tight).await;
}

#[tokio::test]
async fn a_stream_is_cut_when_a_later_callback_sends_another_head() {
    is_cut("/stream-then-bad", "sent a second head", Limits::Usual).await;
}

#[tokio::test]
async fn the_other_streams_of_a_connection_go_on_while_one_fails() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let mut open = client.open("/topic/survivors").await;
    open.to(": subscribed\n\n").await;
    assert_eq!(client.get("/panic").await.status, 500);
    client.get("/stream-then-panic").await.was_cut(Protocol::H2);
    assert_eq!(client.get("/publish/survivors").await.text(), "published");
    open.to("event: survivors\n").await;
}

#[tokio::test]
async fn a_flood_of_failures_does_not_flood_the_log() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    let began = std::time::Instant::now();
    let mut client = Client::connect(Protocol::H1, node.address).await;
    for _ in 0..200 {
        assert_eq!(client.get("/two-heads").await.status, 500);
    }
    // Ten in each second that has begun.
    let most = 10 * (began.elapsed().as_secs() as usize + 1);
    let lines = log.lines(&["the app failed"]).len();
    assert!(
        (10..=most).contains(&lines),
        "{lines} lines, at most {most}"
    );
}

#[tokio::test]
async fn a_node_without_an_app_says_so_and_when_to_come_back() {
    let node = Node::without_app().await;
    let answer = fetch(Protocol::H1, node.address, "/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("retry-after")),
        (503, "1")
    );
}
