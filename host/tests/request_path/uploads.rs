//! Bodies of requests that come in pieces.

use http::{HeaderMap, HeaderValue};

use crate::support::client::{BOTH, Client, Protocol, Reader, full, post, request, upload};
use crate::support::node::Node;
use crate::support::raw::Raw;

/// Bytes of which each piece is another: what comes twice, late or not at all shows.
fn numbered(from: u32, numbers: u32) -> Vec<u8> {
    (from..from + numbers).flat_map(u32::to_be_bytes).collect()
}

#[tokio::test]
async fn a_large_upload_comes_back_whole_and_in_order() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let sending = tokio::spawn(async move {
            for piece in 0..256 {
                assert!(
                    pieces.data(numbered(piece * 16_384, 16_384)).await,
                    "piece {piece}"
                );
            }
        });
        let answer = client.ask(request("POST", "/echo", body)).await;
        sending.await.expect("all was taken");
        let expected = numbered(0, 256 * 16_384);
        let body = answer.body.expect("it ends as it should");
        assert!(body == expected, "{} bytes over {protocol:?}", body.len());
        node.idle().await;
    }
}

#[tokio::test]
async fn pieces_come_back_before_the_upload_has_ended() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("one\n").await);
        let response = client.send(request("POST", "/echo", body)).await;
        let mut reader = Reader::new(response.expect("a head"));
        assert_eq!(reader.to("one\n").await, "one\n");
        assert!(pieces.data("two\n").await);
        assert_eq!(reader.to("two\n").await, "two\n");
        drop(pieces);
        reader.rest().await.1.expect("it ends as it should");
    }
}

#[tokio::test]
async fn trailers_of_an_upload_reach_the_app_and_trailers_of_the_app_the_client() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let (pieces, body) = upload();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("6"));
    let sending = tokio::spawn(async move {
        assert!(pieces.data("abc").await);
        pieces.trailers(trailers).await;
    });
    let answer = client.ask(request("POST", "/echo", body)).await;
    sending.await.expect("all was taken");
    assert_eq!(answer.text(), "abc");
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "6");
}

#[tokio::test]
async fn chunked_uploads_with_extensions_and_trailers_are_understood() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("POST /upload-count HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    raw.send("3;a=b\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nx-sum: 1\r\n\r\n")
        .await;
    assert_eq!(raw.response().await.body, "19");
    raw.send("GET /ok HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.response().await.body, "ok");
}

#[tokio::test]
async fn all_bytes_of_an_upload_are_counted() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let answer = client
            .ask(request("POST", "/upload-count", full(vec![7; 3_000_001])))
            .await;
        assert_eq!(answer.text(), "3000001", "{protocol:?}");
        // An empty body is none, and the app is told so.
        assert_eq!(
            client
                .ask(request("POST", "/upload-count", full("")))
                .await
                .text(),
            "0"
        );
    }
}

#[tokio::test]
async fn an_app_may_answer_before_the_upload_has_ended() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("some").await);
        let answer = client.ask(request("POST", "/early", body)).await;
        assert_eq!(answer.text(), "early", "{protocol:?}");
        drop(pieces);
        node.idle().await;
    }
}

#[tokio::test]
async fn an_app_may_begin_to_answer_before_the_upload_has_ended() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let response = client.send(request("POST", "/early-stream", body)).await;
        let mut reader = Reader::new(response.expect("a head"));
        reader.to("early\n").await;
        assert!(pieces.data("12345").await);
        assert!(pieces.data("67").await);
        drop(pieces);
        let (rest, ended) = reader.rest().await;
        ended.expect("it ends as it should");
        assert_eq!(rest, "7", "{protocol:?}");
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_its_upload_leaves_nothing() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let response = client.send(request("POST", "/early-stream", body)).await;
        let mut reader = Reader::new(response.expect("a head"));
        reader.to("early\n").await;
        pieces.abort().await;
        reader.rest().await.1.expect_err("the stream was cut");
        node.idle().await;
    }
}

#[tokio::test]
async fn a_simple_app_gets_the_whole_body_and_no_body_as_none() {
    let node = Node::start("fixture-simple").await;
    for protocol in BOTH {
        assert!(
            post(protocol, node.address, "/", "four")
                .await
                .text()
                .contains("body: 4 bytes\n")
        );
        assert!(
            post(protocol, node.address, "/", "")
                .await
                .text()
                .contains("body: none\n")
        );
    }
}
