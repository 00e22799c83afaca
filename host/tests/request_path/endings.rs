//! Clients that go, and nodes that stop.

use crate::support::client::{BOTH, Client, Protocol, fetch};
use crate::support::log::Log;
use crate::support::node::Node;
use crate::support::raw::Raw;

#[tokio::test]
async fn a_client_that_goes_frees_its_stream() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        for path in ["/wait", "/hold", "/topic/x", "/timer/3600000"] {
            let mut client = Client::connect(protocol, node.address).await;
            let response = client
                .send(crate::support::client::get(path))
                .await
                .expect("a head");
            assert_eq!(node.exchanges.live(), 1, "{path}");
            drop((response, client));
            node.idle().await;
        }
    }
    log.tells_no_failure();
}

#[tokio::test]
async fn a_client_that_resets_one_stream_frees_that_one_alone() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let mut kept = client.open("/topic/kept").await;
    kept.to(": subscribed\n\n").await;
    let dropped = client.open("/hold").await;
    assert_eq!(node.exchanges.live(), 2);
    drop(dropped);
    crate::support::until("the stream to be freed", || node.exchanges.live() == 1).await;
    assert_eq!(client.get("/publish/kept").await.text(), "published");
    kept.to("event: kept\n").await;
}

#[tokio::test]
async fn a_client_that_goes_while_a_callback_runs_ends_the_callback() {
    let node = Node::start("fixture-misbehave").await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /spin HTTP/1.1\r\nhost: a\r\n\r\n").await;
    crate::support::until("the callback to run", || node.exchanges.live() == 1).await;
    drop(raw);
    // Long before its deadline of 10 s of processor time: on this one thread
    // that would be the test's as well.
    let began = std::time::Instant::now();
    node.idle().await;
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_node_that_stops_tells_its_streams_and_they_end() {
    for protocol in BOTH {
        let node = Node::start("fixture-misbehave").await;
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/wait").await;
        reader.to("waiting\n").await;
        node.stop();
        let (rest, ended) = reader.rest().await;
        ended.expect("it ends as it should");
        assert_eq!(rest, "closing shutdown\n", "{protocol:?}");
        node.idle().await;
        node.stopped().await;
    }
}

#[tokio::test]
async fn a_node_that_stops_takes_no_new_connections_and_closes_idle_ones() {
    let node = Node::start("fixture-misbehave").await;
    let address = node.address;
    let mut idle = Raw::connect(address).await;
    idle.send("GET /ok HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(idle.response().await.body, "ok");
    let silent = Raw::connect(address).await;
    // Accepted before what follows it.
    assert_eq!(fetch(Protocol::H1, address, "/ok").await.text(), "ok");
    node.stop();
    assert_eq!(idle.to_the_end().await, b"");
    assert_eq!(silent.to_the_end().await, b"");
    node.stopped().await;
    let refused = tokio::net::TcpStream::connect(address).await;
    assert_eq!(
        refused.expect_err("nobody listens").kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn a_request_that_runs_when_the_node_stops_is_answered() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    // A stream that is told, and need not hurry: its timer still comes.
    let mut reader = client.open("/topic/late").await;
    reader.to(": subscribed\n\n").await;
    node.stop();
    let (rest, ended) = reader.rest().await;
    ended.expect("it ends as it should");
    assert_eq!(rest, "closing shutdown\n");
    node.stopped().await;
}

#[tokio::test]
async fn a_stream_that_does_not_end_keeps_the_drain_waiting_until_its_client_goes() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/hold").await;
    reader.to("holding\n").await;
    node.stop();
    crate::support::until("the listener to close", || {
        std::net::TcpStream::connect(node.address).is_err()
    })
    .await;
    assert_eq!(node.exchanges.live(), 1);
    drop((reader, client));
    node.idle().await;
    node.stopped().await;
}

#[tokio::test]
async fn the_apps_own_stream_ends_with_a_word_when_the_node_stops() {
    let node = Node::start("guest").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/updates").await;
    reader.to("event: nodes").await;
    node.stop();
    let (rest, ended) = reader.rest().await;
    ended.expect("it ends as it should");
    assert!(rest.contains("closing"), "{rest}");
    node.stopped().await;
}
