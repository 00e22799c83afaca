//! Clients that want to bring down a release that works: nothing that they do is counted
//! as a failure of it. They come from this machine, so what they do counts in full.

use std::time::Duration;

use runtime::exchange::BodyLimits;

use crate::support::client::{Client, Protocol, empty, fetch, get, request, upload};
use crate::support::components::{Limits, fresh};
use crate::support::node::{Node, Setup};
use crate::support::raw::Raw;
use crate::support::until;

/// As many as decide.
const MANY: usize = 25;

/// Both apps read bodies, and one of them traps when a body breaks off.
const APPS: [&str; 2] = ["fixture-plain", "fixture-misbehave"];

async fn node(package: &str) -> Node {
    let setup = Setup {
        bodies: BodyLimits {
            idle: Duration::from_millis(100),
            ..BodyLimits::default()
        },
        ..Setup::default()
    };
    Node::with_generation(fresh(Limits::Usual, package).await, setup).await
}

/// Waits until nothing is open, and checks that nothing is held against the app.
async fn is_unharmed(node: &Node, what: &str) {
    node.idle().await;
    let tally = node.slot.current().expect("it serves").stats.requests();
    assert_eq!(tally.failed(), 0, "{what}: {tally:?}");
}

#[tokio::test]
async fn head_requests_to_an_app_that_answers_with_the_length_of_get_and_no_body() {
    let node = node("fixture-plain").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    for _ in 0..MANY {
        let answer = client.ask(request("HEAD", "/length", empty())).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(
        fetch(Protocol::H1, node.address, "/length")
            .await
            .text()
            .len(),
        100
    );
    is_unharmed(&node, "HEAD").await;
    let tally = node.slot.current().expect("it serves").stats.requests();
    assert_eq!(
        tally.requests,
        MANY as u64 + 1,
        "they are requests all the same"
    );
}

#[tokio::test]
async fn uploads_that_stall_or_break_off() {
    for package in APPS {
        let node = node(package).await;
        let half = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc";
        let mut stalled = Vec::new();
        for _ in 0..MANY {
            let mut raw = Raw::connect(node.address).await;
            raw.send(half).await;
            stalled.push(raw);
        }
        is_unharmed(&node, package).await;
        drop(stalled);
        for _ in 0..MANY {
            let mut raw = Raw::connect(node.address).await;
            raw.send(half).await;
            drop(raw);
        }
        is_unharmed(&node, package).await;
        for chunk in ["zz\r\n", "3\r\nabcd\r\n"] {
            let mut raw = Raw::connect(node.address).await;
            let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            raw.send([head, chunk].concat()).await;
            raw.read_to_end().await;
        }
        is_unharmed(&node, package).await;
    }
}

#[tokio::test]
async fn requests_that_are_given_up_at_once_or_in_the_middle_of_their_answer() {
    for (package, path) in [
        ("fixture-plain", "/stream"),
        ("fixture-misbehave", "/hold"),
        ("fixture-misbehave", "/download/64"),
        ("fixture-misbehave", "/late/1000"),
    ] {
        for protocol in [Protocol::H1, Protocol::H2] {
            let node = node(package).await;
            for _ in 0..MANY {
                let mut client = Client::connect(protocol, node.address).await;
                let asking = tokio::spawn(async move { client.send(get(path)).await.map(drop) });
                until("it to run, or to be over", || {
                    node.exchanges.live() > 0 || asking.is_finished()
                })
                .await;
                asking.abort();
            }
            is_unharmed(&node, path).await;
        }
    }
}

#[tokio::test]
async fn uploads_over_http2_that_are_reset() {
    for package in APPS {
        let node = node(package).await;
        for _ in 0..MANY {
            let mut client = Client::connect(Protocol::H2, node.address).await;
            let (pieces, body) = upload();
            let asking =
                tokio::spawn(
                    async move { client.send(request("POST", "/echo", body)).await.map(drop) },
                );
            assert!(pieces.data("abc").await);
            until("it to run, or to be over", || {
                node.exchanges.live() > 0 || asking.is_finished()
            })
            .await;
            asking.abort();
        }
        is_unharmed(&node, package).await;
    }
}

#[tokio::test]
async fn what_is_no_request() {
    for package in APPS {
        let node = node(package).await;
        for bytes in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
            "\0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n",
        ] {
            for _ in 0..MANY {
                let mut raw = Raw::connect(node.address).await;
                raw.send(bytes).await;
                drop(raw);
            }
        }
        is_unharmed(&node, package).await;
    }
}
