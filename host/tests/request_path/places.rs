//! Places: streams do not take those of requests, and the time that passes is charged to whom it
//! belongs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use runtime::exchange::BodyLimits;

use crate::support::client::{BOTH, Client, Protocol, Reader, fetch, get, request, upload};
use crate::support::components::{Limits, fresh};
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::raw::Raw;
use crate::support::until;

async fn plain(limits: Limits, bodies: BodyLimits) -> Node {
    let setup = Setup {
        limits,
        bodies,
        ..Setup::default()
    };
    Node::with("fixture-plain", setup).await
}

/// Like [`plain`], with code that no other test uses, so that its requests can be counted.
async fn alone(bodies: BodyLimits) -> Node {
    let setup = Setup {
        bodies,
        ..Setup::default()
    };
    let generation = fresh(Limits::Usual, "fixture-plain").await;
    Node::with_generation(generation, setup).await
}

/// Opens a stream that says something and then stays.
async fn hold(node: &Node) -> (Client, Reader) {
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/hold").await;
    reader.to("holding\n").await;
    (client, reader)
}

fn streams(node: &Node) -> u32 {
    let serving = node.slot.current().expect("an app");
    serving.runtime.places().now().streams
}

/// How many requests to the app of a node failed.
fn failed(node: &Node) -> u64 {
    node.slot
        .current()
        .expect("an app")
        .stats
        .requests()
        .failed()
}

#[tokio::test]
async fn when_all_places_for_streams_are_taken_requests_are_answered_and_a_stream_gets_503() {
    let log = Log::capture();
    let node = plain(Limits::Crowded, BodyLimits::default()).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(hold(&node).await);
    }
    assert_eq!(streams(&node), 4);
    for _ in 0..3 {
        let hello = fetch(Protocol::H1, node.address, "/").await;
        assert_eq!(hello.status, 200);
        assert!(hello.text().starts_with("hello"), "{}", hello.text());
    }
    let refused = fetch(Protocol::H1, node.address, "/hold").await;
    assert_eq!(
        (refused.status.as_u16(), refused.field("retry-after")),
        (503, "1")
    );
    // So is what is too long to be answered at once.
    assert_eq!(
        fetch(Protocol::H2, node.address, "/large").await.status,
        503
    );
    let serving = node.slot.current().expect("an app");
    assert_eq!(serving.runtime.places().now().turned_away.streams, 2);
    assert!(
        !log.lines(&["503", "all 4 places for streams are taken"])
            .is_empty()
    );
    assert_eq!(failed(&node), 0);
    log.tells_no_failure();
    // A place that comes free is given to the next one.
    drop(held.pop());
    until("the place to be free", || streams(&node) == 3).await;
    held.push(hold(&node).await);
    drop(held);
    node.idle().await;
    until("all places to be free", || streams(&node) == 0).await;
}

#[tokio::test]
async fn a_stalled_upload_is_408_and_no_failure_of_the_app_that_waits_for_it() {
    let log = Log::capture();
    let bodies = BodyLimits {
        idle: Duration::from_millis(200),
        ..BodyLimits::default()
    };
    let node = alone(bodies).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("some").await);
        let answer = client.ask(request("POST", "/count", body)).await;
        assert_eq!(answer.status, 408, "{protocol:?}");
        node.idle().await;
    }
    assert_eq!(failed(&node), 0);
    log.tells_no_failure();
}

#[tokio::test]
async fn the_wall_limit_does_not_run_while_the_app_waits_for_its_client() {
    let node = plain(Limits::Hurried, BodyLimits::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let sending = tokio::spawn(async move {
            let mut pause = tokio::time::interval(Duration::from_millis(100));
            for _ in 0..8 {
                pause.tick().await;
                assert!(pieces.data("x").await);
            }
        });
        // More than twice the limit.
        let answer = client.ask(request("POST", "/count", body)).await;
        assert_eq!(answer.text(), "8", "{protocol:?}");
        sending.await.expect("all was taken");
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_for_too_long_is_cut_and_it_is_not_the_fault_of_the_app() {
    let log = Log::capture();
    let bodies = BodyLimits {
        stall: Duration::from_millis(300),
        ..BodyLimits::default()
    };
    let node = alone(bodies).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let unread = client.send(get("/large")).await.expect("a head");
        assert_eq!(unread.status(), 200);
        node.idle().await;
        drop(unread);
    }
    assert_eq!(failed(&node), 0);
    log.tells_no_failure();
}

#[tokio::test]
async fn a_client_that_pauses_for_less_than_the_stall_limit_gets_all() {
    let bodies = BodyLimits {
        stall: Duration::from_secs(3),
        ..BodyLimits::default()
    };
    let node = plain(Limits::Usual, bodies).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/large").await;
    let mut read = 0;
    for pause in 1..=4 {
        while read < pause * (8 << 20) {
            let piece = reader.piece().await.expect("more").expect("it is whole");
            read += piece.len();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (rest, ended) = reader.rest().await;
    ended.expect("it ends as it should");
    assert_eq!(read + rest.len(), 64 << 20);
}

#[tokio::test]
async fn a_client_that_pauses_for_longer_than_a_connection_may_be_idle_gets_all() {
    let whole: &'static str = Box::leak("x".repeat(8 << 20).into());
    let setup = |config| Setup {
        http: host::edge::HttpLimits {
            idle: Duration::from_millis(200),
            ..host::edge::HttpLimits::default()
        },
        config,
        ..Setup::default()
    };
    let kinds = [
        ("fixture-misbehave", "/config", whole.len()),
        ("fixture-misbehave", "/flood/8", 8 << 20),
        ("fixture-plain", "/large", 64 << 20),
    ];
    for (fixture, path, length) in kinds {
        let node = Node::with(fixture, setup(whole)).await;
        for protocol in BOTH {
            let mut client = Client::connect(protocol, node.address).await;
            let mut reader = client.open(path).await;
            let first = reader.piece().await.expect("more").expect("it is whole");
            // More than the host waits for a request on a connection without one, and for its
            // end after that.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let (rest, ended) = reader.rest().await;
            ended.unwrap_or_else(|error| panic!("{path} over {protocol:?}: {error}"));
            assert_eq!(first.len() + rest.len(), length, "{path} over {protocol:?}");
        }
    }
}

#[tokio::test]
async fn what_an_exchange_has_to_send_may_be_read_slowly_but_not_left_unread() {
    let bodies = BodyLimits {
        stall: Duration::from_millis(500),
        ..BodyLimits::default()
    };
    let setup = Setup {
        bodies,
        ..Setup::default()
    };
    let node = Node::with("fixture-misbehave", setup).await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let unread = client.send(get("/flood/8")).await.expect("a head");
    assert_eq!(unread.status(), 200);
    node.idle().await;
}

#[tokio::test]
async fn a_stream_may_use_more_processor_time_over_its_life_than_a_callback_may() {
    // 0.3 s, which ten events use up.
    let node = plain(Limits::Tight, BodyLimits::default()).await;
    let events = fetch(Protocol::H1, node.address, "/events").await;
    assert!(events.text().ends_with("event 9\n"), "{}", events.text());
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_the_whole_response() {
    for (fixture, path, last) in [
        ("fixture-plain", "/stream", "chunk 4\n"),
        ("fixture-misbehave", "/timer/300", "timer 7\n"),
    ] {
        let node = Node::with(
            fixture,
            Setup {
                http: host::edge::HttpLimits::default(),
                ..Setup::default()
            },
        )
        .await;
        let mut raw = Raw::connect(node.address).await;
        raw.send(format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ))
        .await;
        raw.close_sending().await;
        let all = String::from_utf8(raw.read_to_end().await).expect("a response is text");
        assert!(all.contains(last) && all.ends_with("0\r\n\r\n"), "{all}");
    }
}

/// How long the answers to so many requests that come at once take, the shortest first. The clients
/// do not share the threads of the node.
fn answered(to: SocketAddr, requests: usize) -> Vec<Duration> {
    use std::io::{Read as _, Write as _};
    let connect = |_| std::net::TcpStream::connect(to).expect("a connection");
    let clients: Vec<_> = (0..requests).map(connect).collect();
    let began = Instant::now();
    let asked = clients.into_iter().map(|mut client| {
        std::thread::spawn(move || {
            let request = b"GET /work HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            client.write_all(request).expect("it is open");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("an answer");
            assert!(answer.contains("done"), "{answer}");
            began.elapsed()
        })
    });
    let asked: Vec<_> = asked.collect();
    let answers = asked
        .into_iter()
        .map(|asked| asked.join().expect("an answer"));
    let mut times: Vec<_> = answers.collect();
    times.sort_unstable();
    times
}

/// Were they all served in turns, they would all be answered at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_there_is_more_work_than_processors_requests_are_answered_one_after_another() {
    let node = plain(Limits::Usual, BodyLimits::default()).await;
    let address = node.address;
    let times = tokio::task::spawn_blocking(move || answered(address, 24)).await;
    let times = times.expect("answers");
    assert!(times[0] < times[23] / 2, "{times:?}");
}
