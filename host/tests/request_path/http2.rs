//! HTTP/2 cleartext, by prior knowledge.

use std::time::Duration;

use host::edge::HttpLimits;

use crate::support::client::{Client, Protocol, Reader, empty, full, get, request};
use crate::support::node::{Node, Setup};
use crate::support::raw::Raw;

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let node = Node::start("guest").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let got = client.get("/").await;
    let head = client.ask(request("HEAD", "/", empty())).await;
    assert_eq!((head.status.as_u16(), head.text()), (200, ""));
    assert_eq!(head.field("content-length"), got.text().len().to_string());
    assert_eq!(head.field("content-type"), got.field("content-type"));
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_allowed_405() {
    let node = Node::start("guest").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let answer = client.get("/none").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, "not found"));
    let answer = client.ask(request("POST", "/", full("x"))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("allow")),
        (405, "GET, HEAD")
    );
}

#[tokio::test]
async fn an_unknown_method_does_not_end_the_connection() {
    let node = Node::start("guest").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    assert_eq!(client.ask(request("BREW", "/", empty())).await.status, 405);
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn the_app_sees_the_authority_and_a_version_of_http_makes_no_difference() {
    let node = Node::start("fixture-simple").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let answer = client.get("/a/b?c").await;
    for line in [
        "authority: 127.0.0.1\n",
        "path: [\"a\", \"b\"]\n",
        "query: Some(\"c\")\n",
    ] {
        assert!(answer.text().contains(line), "{}", answer.text());
    }
}

#[tokio::test]
async fn many_requests_run_on_one_connection_at_a_time() {
    let node = Node::start("fixture-misbehave").await;
    let client = Client::connect(Protocol::H2, node.address).await;
    let Client::H2(sender) = client else {
        unreachable!("it was asked for")
    };
    let mut running = Vec::new();
    for _ in 0..100 {
        let mut client = Client::H2(sender.clone());
        running.push(tokio::spawn(async move {
            client.get("/timer/100").await.text().to_owned()
        }));
    }
    for one in running {
        assert_eq!(one.await.expect("an answer"), "timer 7\n");
    }
}

#[tokio::test]
async fn a_stream_whose_client_does_not_read_does_not_hold_up_the_others() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let unread = client.send(get("/download/64")).await.expect("a head");
    for _ in 0..20 {
        assert_eq!(client.get("/ok").await.text(), "ok");
    }
    let mut reader = Reader::new(unread);
    reader
        .piece()
        .await
        .expect("it goes on")
        .expect("it is whole");
}

#[tokio::test]
async fn header_fields_over_the_limit_are_refused_and_the_node_serves_on() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let mut large = get("/ok");
    // Several, since one field alone may not fit a client's frames.
    for n in 0..20 {
        let name: http::HeaderName = format!("x-{n}").parse().expect("a name");
        let value = http::HeaderValue::from_str(&"x".repeat(8 * 1024)).expect("a value");
        large.headers_mut().insert(name, value);
    }
    // hyper's client knows the limit of the server, and so may refuse by itself.
    if let Ok(response) = client.send(large).await {
        assert_eq!(response.status(), 431);
    }
    let mut other = Client::connect(Protocol::H2, node.address).await;
    assert_eq!(other.get("/ok").await.text(), "ok");
}

#[tokio::test]
async fn a_request_has_a_hundred_header_fields_at_most() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    for (count, status) in [(100, 200), (101, 431)] {
        let mut many = get("/ok");
        many.headers_mut().clear();
        for n in 0..count {
            let name: http::HeaderName = format!("x-{n}").parse().expect("a name");
            many.headers_mut()
                .insert(name, http::HeaderValue::from_static("1"));
        }
        assert_eq!(client.ask(many).await.status, status, "{count}");
    }
}

#[tokio::test]
async fn a_connection_that_greets_and_asks_nothing_is_closed() {
    let setup = Setup {
        http: HttpLimits {
            idle: Duration::from_millis(200),
            ..HttpLimits::default()
        },
        ..Setup::default()
    };
    let node = Node::with("fixture-misbehave", setup).await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    raw.read_to_end().await;
}

#[tokio::test]
async fn garbage_after_the_greeting_closes_the_connection() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is no frame at all, whatever the length says")
        .await;
    raw.read_to_end().await;
    let mut other = Client::connect(Protocol::H2, node.address).await;
    assert_eq!(other.get("/ok").await.text(), "ok");
}
