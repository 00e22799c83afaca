//! Bodies that the host gathers because an app asks for it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use runtime::exchange::BodyLimits;
use runtime::generation::{Generation, Tally};

use crate::support::client::{BOTH, Client, Protocol, Reader, full, post, request, upload};
use crate::support::components::{Limits, fresh, generation, kept};
use crate::support::log::Log;
use crate::support::node::{Node, Setup};

async fn start(bodies: BodyLimits) -> Node {
    let setup = Setup {
        bodies,
        ..Setup::default()
    };
    Node::with_generation(again().await, setup).await
}

/// The app of these tests, as code of its own.
async fn again() -> Arc<Generation> {
    fresh(Limits::Usual, "fixture-misbehave").await
}

fn counted(node: &Node) -> Tally {
    node.slot.current().expect("it serves").stats.requests()
}

/// Nothing that happened counts against the app.
#[track_caller]
fn is_no_failure(node: &Node, log: &Log) {
    let counted = counted(node);
    assert_eq!(counted.trapped + counted.overrun + counted.errors, 0);
    log.tells_no_failure();
}

#[tokio::test]
async fn an_app_gets_the_whole_body_at_once_with_its_trailers() {
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let body = full(vec![7; 300_000]);
        let answer = client
            .ask(request("POST", "/collect/whole/300000", body))
            .await;
        assert_eq!(answer.text(), "300000 bytes, trailers []\n", "{protocol:?}");

        let (pieces, body) = upload();
        let sending = tokio::spawn(async move {
            for _ in 0..3 {
                assert!(pieces.data("abc").await);
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("9"));
            pieces.trailers(trailers).await;
        });
        let answer = client
            .ask(request("POST", "/collect/streamed/9", body))
            .await;
        sending.await.expect("all was taken");
        let told = answer
            .text()
            .strip_prefix("collecting\n")
            .expect("it began before");
        assert!(told.starts_with("9 bytes, "), "{told}");
        if protocol == Protocol::H2 {
            assert!(told.ends_with("trailers [\"x-sum\"]\n"), "{told}");
        }
    }
    node.idle().await;
}

#[tokio::test]
async fn a_body_of_nothing_is_gathered_too() {
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        drop(pieces);
        let answer = client.ask(request("POST", "/collect/whole/0", body)).await;
        assert_eq!(answer.text(), "0 bytes, trailers []\n", "{protocol:?}");
    }
}

#[tokio::test]
async fn what_came_before_is_not_gathered_again() {
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let asked =
            tokio::spawn(async move { client.ask(request("POST", "/collect/rest", body)).await });
        assert!(pieces.data("first").await);
        assert!(pieces.data("then").await);
        drop(pieces);
        let answer = asked.await.expect("it is answered");
        let told: usize = answer
            .text()
            .split(' ')
            .next()
            .unwrap_or_default()
            .parse()
            .expect("bytes");
        // Where a piece ends means nothing: the first may have been both.
        assert!(told == 4 || told == 0, "{told}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_before_a_head_and_cut_after_one() {
    let log = Log::capture();
    let small = || BodyLimits {
        whole: 100,
        ..BodyLimits::default()
    };
    let node = start(small()).await;
    for protocol in BOTH {
        // By the app's limit and by the node's, by the declared length and by what comes.
        for (limit, most, declared) in [
            (50, 50, true),
            (50, 50, false),
            (1 << 40, 100, true),
            (1 << 40, 100, false),
        ] {
            let mut client = Client::connect(protocol, node.address).await;
            let sent = vec![7; most + 1];
            let (pieces, chunked) = upload();
            let body = match declared {
                true => full(sent.clone()),
                false => chunked,
            };
            let path = format!("/collect/whole/{limit}");
            let asked = tokio::spawn(async move { client.ask(request("POST", &path, body)).await });
            pieces.data(sent).await;
            let answer = asked.await.expect("it is answered");
            assert_eq!(answer.status, 413, "{limit} {declared} over {protocol:?}");
            let told = format!("the body is larger than the {most} bytes that are taken\n");
            assert_eq!(answer.text(), told);
        }
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let response = client
            .send(request("POST", "/collect/streamed/50", body))
            .await;
        let mut reader = Reader::new(response.expect("a head"));
        reader.to("collecting\n").await;
        pieces.data(vec![7; 51]).await;
        reader.rest().await.1.expect_err("the stream was cut");
    }
    node.idle().await;
    is_no_failure(&node, &log);
}

#[tokio::test]
async fn a_body_that_pauses_too_long_is_408_before_a_head_and_cut_after_one() {
    let log = Log::capture();
    let node = start(BodyLimits {
        idle: Duration::from_millis(200),
        ..BodyLimits::default()
    })
    .await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("abc").await);
        let answer = client
            .ask(request("POST", "/collect/whole/100", body))
            .await;
        assert_eq!(answer.status, 408, "{protocol:?}");
        drop(pieces);

        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("abc").await);
        let answer = client
            .ask(request("POST", "/collect/streamed/100", body))
            .await;
        answer.was_cut(protocol);
        drop(pieces);
    }
    node.idle().await;
    is_no_failure(&node, &log);
}

#[tokio::test]
async fn a_body_that_drips_is_408() {
    let node = start(BodyLimits {
        idle: Duration::from_millis(200),
        least_rate: u64::MAX,
        ..BodyLimits::default()
    })
    .await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let (pieces, body) = upload();
    let sending = tokio::spawn(async move { while pieces.data("x").await {} });
    let path = "/collect/whole/8000000";
    assert_eq!(client.ask(request("POST", path, body)).await.status, 408);
    sending.abort();
}

#[tokio::test]
async fn bodies_have_memory_in_common_and_one_for_which_there_is_none_is_503() {
    let log = Log::capture();
    let node = start(BodyLimits {
        whole: 1 << 30,
        ..BodyLimits::default()
    })
    .await;
    // How long it will be is not known, so it takes all that there is.
    let path = format!("/collect/streamed/{}", 1 << 30);
    let mut first = Client::connect(Protocol::H1, node.address).await;
    let (pieces, body) = upload();
    let response = first.send(request("POST", &path, body)).await;
    let mut reader = Reader::new(response.expect("a head"));
    reader.to("collecting\n").await;
    // More than waits in sockets: it is gathered.
    for _ in 0..256 {
        assert!(pieces.data(vec![7; 64 << 10]).await);
    }
    let answer = post(Protocol::H1, node.address, "/collect/whole/100", "abc").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("retry-after"), "1");
    drop(pieces);
    reader.to("16777216 bytes, trailers []\n").await;
    let answer = post(Protocol::H1, node.address, "/collect/whole/100", "abc").await;
    assert_eq!(answer.text(), "3 bytes, trailers []\n");
    is_no_failure(&node, &log);
}

#[tokio::test]
async fn a_body_that_breaks_off_while_it_is_gathered_leaves_nothing() {
    let log = Log::capture();
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let response = client
            .send(request("POST", "/collect/streamed/100", body))
            .await;
        let mut reader = Reader::new(response.expect("a head"));
        reader.to("collecting\n").await;
        pieces.abort().await;
        reader.rest().await.1.expect_err("the stream was cut");
        node.idle().await;
    }
    is_no_failure(&node, &log);
}

#[tokio::test]
async fn gathering_a_body_that_is_none_is_500_and_named() {
    let log = Log::capture();
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let answer = Client::connect(protocol, node.address)
            .await
            .get("/collect/whole/10")
            .await;
        assert_eq!(answer.status, 500);
    }
    let lines = log.lines(&[
        "the app failed",
        "asked to collect the body of a request that has none",
    ]);
    assert_eq!(lines.len(), BOTH.len(), "{:#?}", log.lines(&[]));
}

#[tokio::test]
async fn an_app_that_has_answered_need_not_wait_for_the_body() {
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let answer = client.ask(request("POST", "/collect/now", body)).await;
        assert_eq!(answer.text(), "now");
        drop(pieces);
        node.idle().await;
    }
}

/// A stream that gathers its body, and then tells what is published on `collect`.
async fn gathering(
    node: &Node,
    protocol: Protocol,
) -> (Client, crate::support::client::Upload, Reader) {
    let mut client = Client::connect(protocol, node.address).await;
    let (pieces, body) = upload();
    let response = client
        .send(request("POST", "/collect/stay/100", body))
        .await;
    let mut reader = Reader::new(response.expect("a head"));
    reader.to("collecting\n").await;
    assert!(pieces.data("abc").await);
    (client, pieces, reader)
}

#[tokio::test]
async fn messages_wait_until_the_body_was_gathered() {
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let (_client, pieces, mut reader) = gathering(&node, protocol).await;
        post(Protocol::H1, node.address, "/publish/collect", "news").await;
        assert!(pieces.data("def").await);
        drop(pieces);
        assert_eq!(reader.to("\n").await, "6 bytes, trailers []\n");
        assert!(reader.to("\n\n").await.contains("data: news\n"));
    }
}

#[tokio::test]
async fn what_was_gathered_stays_while_the_code_changes() {
    let log = Log::capture();
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let (client, pieces, mut reader) = gathering(&node, protocol).await;
        let draining = node.swap(again().await).await;
        crate::support::soon("the old code to be freed", draining.signals.freed()).await;
        assert_eq!(draining.stats.left().migrated, 1);
        assert!(pieces.data("def").await);
        drop(pieces);
        assert_eq!(reader.to("\n").await, "6 bytes, trailers []\n");
        drop((reader, client));
        node.idle().await;
    }
    log.tells_no_failure();
}

#[tokio::test]
async fn code_that_knows_no_gathering_takes_the_stream_over_when_the_body_is_there() {
    let log = Log::capture();
    let node = start(BodyLimits::default()).await;
    let (_client, pieces, mut reader) = gathering(&node, Protocol::H1).await;
    let earlier = generation(Limits::Usual, &kept("misbehave-0.1.0.wasm")).await;
    let draining = node.swap(earlier).await;
    assert!(pieces.data("def").await);
    drop(pieces);
    assert_eq!(reader.to("\n").await, "6 bytes, trailers []\n");
    crate::support::soon("the old code to be freed", draining.signals.freed()).await;
    assert_eq!(draining.stats.left().migrated, 1);
    post(Protocol::H1, node.address, "/publish/collect", "news").await;
    assert!(reader.to("\n\n").await.contains("data: news\n"));
    log.tells_no_failure();
}

#[tokio::test]
async fn a_body_that_is_still_gathered_when_a_third_app_wants_the_room_is_cut() {
    let log = Log::capture();
    let setup = Setup {
        drain: Duration::from_millis(200),
        ..Setup::default()
    };
    let node = Node::with_generation(again().await, setup).await;
    let (_client, pieces, reader) = gathering(&node, Protocol::H1).await;
    let earlier = generation(Limits::Usual, &kept("misbehave-0.1.0.wasm")).await;
    let draining = node.swap(earlier).await;
    node.swap(again().await).await;
    reader.rest().await.1.expect_err("the stream was cut");
    assert_eq!(draining.stats.left().cut, 1);
    drop(pieces);
    is_no_failure(&node, &log);
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_is_not_waited_for() {
    let node = start(BodyLimits::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let response = client
            .send(request("POST", "/collect/large/10000000", body))
            .await;
        let mut reader = Reader::new(response.expect("a head"));
        for _ in 0..64 {
            assert!(pieces.data(vec![7; 64 << 10]).await);
        }
        drop(pieces);
        let told = reader.skip_to(b'.', "trailers []\n").await;
        assert_eq!(told, "4194304 bytes, trailers []\n");
        reader.rest().await.1.expect("it ends as it should");
    }
    node.idle().await;
}
