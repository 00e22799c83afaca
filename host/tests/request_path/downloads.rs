//! Bodies of responses that go out in pieces.

use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use crate::support::client::{BOTH, Client, Protocol, fetch, get};
use crate::support::log::Log;
use crate::support::node::Node;
use crate::support::soon;

#[tokio::test]
async fn a_download_is_pulled_to_its_last_byte() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let response = client.send(get("/download/64")).await.expect("a head");
        let (mut body, mut bytes) = (response.into_body(), 0);
        while let Some(frame) = soon("more of the download", body.frame()).await {
            let data = frame
                .expect("it ends as it should")
                .into_data()
                .expect("there are no trailers");
            assert!(data.iter().all(|byte| *byte == b'd'));
            bytes += data.len();
        }
        assert_eq!(bytes, 64 << 20, "{protocol:?}");
        node.idle().await;
    }
}

#[tokio::test]
async fn more_output_than_may_wait_goes_out_whole() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let answer = client.get("/flood/8").await;
        assert_eq!(
            answer.body.expect("it ends as it should").len(),
            8 << 20,
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_to_head_is_its_head_alone_and_no_fault() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        for path in ["/wait", "/download/1", "/timer", "/topic/x"] {
            let mut client = Client::connect(protocol, node.address).await;
            let answer = client
                .ask(crate::support::client::request(
                    "HEAD",
                    path,
                    crate::support::client::empty(),
                ))
                .await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, ""), "{path}");
            assert_eq!(
                client.get("/ok").await.text(),
                "ok",
                "after {path} over {protocol:?}"
            );
        }
    }
    node.idle().await;
    log.tells_no_failure();
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_a_download_leaves_nothing() {
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/download/64").await;
        reader
            .piece()
            .await
            .expect("it goes on")
            .expect("it is whole");
        assert_eq!(node.exchanges.live(), 1);
        drop((reader, client));
        node.idle().await;
    }
}

#[tokio::test]
async fn several_set_cookie_fields_survive() {
    let node = Node::start("fixture-simple").await;
    for protocol in [Protocol::H1, Protocol::H2] {
        let answer = Client::connect(protocol, node.address)
            .await
            .get("/cookies")
            .await;
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"], "{protocol:?}");
    }
}

#[tokio::test]
async fn a_response_without_content_has_neither_length_nor_body() {
    let node = Node::start("fixture-simple").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let answer = client.get("/no-content").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
        assert!(
            !answer.headers.contains_key("content-length"),
            "{:?}",
            answer.headers
        );
        assert!(
            !answer.headers.contains_key("transfer-encoding"),
            "{:?}",
            answer.headers
        );
    }
}

#[tokio::test]
async fn a_stream_that_ends_at_once_ends_with_its_head() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let response = client.send(get("/empty-stream")).await.expect("a head");
    assert!(response.body().is_end_stream(), "no DATA follows");
    let answer = fetch(Protocol::H1, node.address, "/empty-stream").await;
    assert_eq!(answer.field("content-length"), "0");
    assert_eq!(answer.text(), "");
}
