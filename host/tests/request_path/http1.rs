//! HTTP/1.1, well and badly spoken.

use std::time::Duration;

use host::edge::HttpLimits;

use crate::support::node::{Node, Setup};
use crate::support::raw::{Raw, status};

const OK: &str = "GET /ok HTTP/1.1\r\nhost: a\r\n\r\n";

/// Sends bytes, and returns the status of the answer. The connection must
/// serve on if it is said to, and close if not.
pub(crate) async fn answer(bytes: &str, serves_on: bool) -> u16 {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send(bytes).await;
    if serves_on {
        let said = raw.response().await;
        raw.send(OK).await;
        assert_eq!(raw.response().await.body, "ok", "after {bytes:?}");
        return said.status;
    }
    let all = String::from_utf8(raw.read_to_end().await).expect("a response is text");
    // Whatever was sent, others are served.
    let mut other = Raw::connect(node.address).await;
    other.send(OK).await;
    assert_eq!(other.response().await.body, "ok", "after {bytes:?}");
    status(&all)
}

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let node = Node::start("guest").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let got = raw.response().await;
    raw.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = raw.head().await;
    let length = format!("content-length: {}\r\n", got.body.len());
    assert!(head.contains(&length), "{length} in {head}");
    assert!(head.contains("content-type: text/html"), "{head}");
    // What follows is the next answer, so there was no body.
    raw.send("GET /none HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.response().await.status, 404);
}

#[tokio::test]
async fn what_is_not_there_is_404_framed() {
    let node = Node::start("guest").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /none HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let said = raw.response().await;
    assert_eq!((said.status, said.body.as_str()), (404, "not found"));
}

#[tokio::test]
async fn other_methods_are_405_and_told_what_is_allowed() {
    let node = Node::start("guest").await;
    let mut raw = Raw::connect(node.address).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        raw.send(format!(
            "{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let said = raw.response().await;
        assert_eq!(said.status, 405, "{method}");
        assert!(
            said.head.contains("allow: get, head\r\n"),
            "{method}: {}",
            said.head
        );
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    for _ in 0..100 {
        raw.send(OK).await;
        let said = raw.response().await;
        assert_eq!(said.body, "ok");
        assert!(!said.head.contains("connection: close"), "{}", said.head);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    let upload = "POST /upload-count HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12345";
    let missing = "GET /none HTTP/1.1\r\nhost: a\r\n\r\n";
    let panics = "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n";
    raw.send(format!("{OK}{upload}{missing}{panics}{OK}").repeat(10))
        .await;
    for _ in 0..10 {
        assert_eq!(raw.response().await.body, "ok");
        assert_eq!(raw.response().await.body, "5");
        assert_eq!(raw.response().await.status, 404);
        assert_eq!(raw.response().await.status, 500);
        assert_eq!(raw.response().await.body, "ok");
    }
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    let (begun, rest) = OK.split_at(20);
    raw.send(format!("{OK}{begun}")).await;
    assert_eq!(raw.response().await.body, "ok");
    raw.send(rest).await;
    assert_eq!(raw.response().await.body, "ok");
}

#[tokio::test]
async fn a_stream_flows_although_another_request_waits_behind_it() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send(format!("GET /topic/behind HTTP/1.1\r\nhost: a\r\n\r\n{OK}"))
        .await;
    raw.text(": subscribed\n\n").await;
    let mut other = Raw::connect(node.address).await;
    other
        .send("GET /publish/behind HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    raw.text("event: behind\n").await;
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    let request = "POST /upload-count HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for byte in request.bytes() {
        raw.send([byte]).await;
        // The server takes it before the next one is sent.
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.response().await.body, "3");
}

#[tokio::test]
async fn the_app_sees_a_request_as_it_was_sent() {
    let node = Node::start("fixture-simple").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /users//a%2Fb/?q=1&r HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n")
        .await;
    let body = raw.response().await.body;
    for line in [
        "path: [\"users\", \"a%2Fb\"]\n",
        "raw-path: /users//a%2Fb/\n",
        "query: Some(\"q=1&r\")\n",
        "header x-twice: 1\nheader x-twice: 2\n",
        "peer: 127.0.0.1\n",
    ] {
        assert!(body.contains(line), "{line:?} in {body}");
    }
}

#[tokio::test]
async fn http_1_0_needs_no_host_and_is_closed_after_its_answer() {
    assert_eq!(answer("GET /ok HTTP/1.0\r\n\r\n", false).await, 200);
}

#[tokio::test]
async fn garbage_is_400_and_closed() {
    for garbage in [
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx\u{0}: 1\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n",
    ] {
        assert_eq!(answer(garbage, false).await, 400, "{garbage:?}");
    }
}

#[tokio::test]
async fn a_length_that_is_none_or_comes_with_chunks_is_not_taken() {
    for fields in [
        "content-length: x",
        "content-length: -1",
        "content-length: 1\r\ncontent-length: 2",
        "content-length: 99999999999999999999",
    ] {
        let request = format!("POST /upload-count HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n1");
        assert_eq!(answer(&request, false).await, 400, "{fields}");
    }
}

#[tokio::test]
async fn a_body_cannot_smuggle_a_second_request() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    let smuggled = "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n";
    let body = format!("0\r\n\r\n{smuggled}");
    let length = body.len();
    raw.send(format!(
        "POST /upload-count HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{body}"
    ))
    .await;
    // Refused, or read as chunks with the connection closed after it; never
    // both answered on a connection that goes on.
    let all = String::from_utf8(raw.read_to_end().await).expect("responses are text");
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
}

#[tokio::test]
async fn an_unknown_transfer_coding_is_refused() {
    let request = "POST /upload-count HTTP/1.1\r\nhost: a\r\ntransfer-encoding: rot13\r\n\r\n1";
    assert_eq!(answer(request, false).await, 400);
}

#[tokio::test]
async fn connect_is_501() {
    assert_eq!(
        answer(
            "CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n",
            true
        )
        .await,
        501
    );
}

#[tokio::test]
async fn options_of_the_server_is_answered() {
    assert_eq!(
        answer("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", true).await,
        404
    );
}

#[tokio::test]
async fn an_absolute_target_is_understood() {
    assert_eq!(
        answer(
            "GET http://example.org/ok HTTP/1.1\r\nhost: example.org\r\n\r\n",
            true
        )
        .await,
        200
    );
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_gets_it() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("POST /upload-count HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(status(&raw.head().await), 100);
    raw.send("abc").await;
    assert_eq!(raw.response().await.body, "3");
}

fn impatient() -> Setup {
    Setup {
        http: HttpLimits {
            idle: Duration::from_millis(200),
            ..HttpLimits::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let node = Node::with("fixture-misbehave", impatient()).await;
    assert_eq!(Raw::connect(node.address).await.read_to_end().await, b"");
}

#[tokio::test]
async fn a_connection_that_never_ends_its_head_is_closed() {
    let node = Node::with("fixture-misbehave", impatient()).await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\nx-").await;
    raw.read_to_end().await;
}

#[tokio::test]
async fn a_connection_that_is_idle_after_a_request_is_closed() {
    let node = Node::with("fixture-misbehave", impatient()).await;
    let mut raw = Raw::connect(node.address).await;
    raw.send(OK).await;
    assert_eq!(raw.response().await.body, "ok");
    assert_eq!(raw.read_to_end().await, b"");
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_is_not_idle() {
    let node = Node::with("fixture-misbehave", impatient()).await;
    let mut raw = Raw::connect(node.address).await;
    // Three times the idle time.
    raw.send("GET /timer/600 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    let all = String::from_utf8(raw.read_to_end().await).expect("a response is text");
    assert!(
        all.contains("timer 7\n") && all.ends_with("0\r\n\r\n"),
        "{all}"
    );
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_is_closed() {
    let setup = Setup {
        http: HttpLimits {
            connections: 1,
            ..HttpLimits::default()
        },
        ..Setup::default()
    };
    let node = Node::with("fixture-misbehave", setup).await;
    let mut first = Raw::connect(node.address).await;
    first.send(OK).await;
    assert_eq!(first.response().await.body, "ok");
    let mut second = Raw::connect(node.address).await;
    second.send(OK).await;
    first.send(OK).await;
    assert_eq!(first.response().await.body, "ok");
    drop(first);
    assert_eq!(second.response().await.body, "ok");
}
