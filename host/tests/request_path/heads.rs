//! Heads of HTTP/1.1 requests that reach no app: a host that is none, too many fields.

use super::http1::answer;
use crate::support::log::Log;
use crate::support::node::Node;
use crate::support::raw::Raw;

#[tokio::test]
async fn a_host_may_come_with_and_without_a_port() {
    let node = Node::start("fixture-simple").await;
    for host in ["example.org", "example.org:8080", "10.10.10.2", "[::1]:80"] {
        let mut raw = Raw::connect(node.address).await;
        raw.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"))
            .await;
        let said = raw.response().await;
        assert_eq!(said.status, 200, "{host}");
        assert!(
            said.body.contains(&format!("authority: {host}\n")),
            "{}",
            said.body
        );
    }
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_400() {
    assert_eq!(answer("GET / HTTP/1.1\r\n\r\n", true).await, 400);
    assert_eq!(
        answer("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", true).await,
        400
    );
}

#[tokio::test]
async fn a_host_field_that_names_no_host_is_400_and_reaches_no_app() {
    let log = Log::capture();
    for host in [
        "", " ", "a b/c", "a/b", "a@b", "a:port", "a:99999", "[::1", ":80",
    ] {
        let request = format!("GET /panic HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(answer(&request, true).await, 400, "{host:?}");
        let request = format!("GET /panic HTTP/1.0\r\nhost: {host}\r\n\r\n");
        assert_eq!(answer(&request, false).await, 400, "{host:?}");
    }
    log.tells_no_failure();
    for host in [
        "a",
        "example.org:8080",
        "10.0.0.1",
        "[::1]:80",
        "a_b.example",
    ] {
        let request = format!("GET /ok HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(answer(&request, true).await, 200, "{host:?}");
    }
}

#[tokio::test]
async fn a_request_has_a_hundred_header_fields_at_most() {
    for (count, status) in [(99, 200), (100, 431)] {
        // The host field is one of them.
        let fields: String = (0..count).map(|n| format!("x-{n}: 1\r\n")).collect();
        let request = format!("GET /ok HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        assert_eq!(answer(&request, status == 200).await, status, "{count}");
    }
}

#[tokio::test]
async fn header_fields_over_the_limit_are_431() {
    let large = "x".repeat(129 * 1024);
    let request = format!("GET /ok HTTP/1.1\r\nhost: a\r\nx-large: {large}\r\n\r\n");
    assert_eq!(answer(&request, false).await, 431);
    let many: String = (0..10_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert_eq!(
        answer(&format!("GET /ok HTTP/1.1\r\nhost: a\r\n{many}\r\n"), false).await,
        431
    );
}

#[tokio::test]
async fn header_fields_under_the_limit_are_taken() {
    let large = "x".repeat(100 * 1024);
    assert_eq!(
        answer(
            &format!("GET /ok HTTP/1.1\r\nhost: a\r\nx-large: {large}\r\n\r\n"),
            true
        )
        .await,
        200
    );
}
