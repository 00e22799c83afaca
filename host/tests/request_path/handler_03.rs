//! Components with a handler of WASI 0.3, whose instances take several requests at a time.

mod limits;

use std::time::{Duration, Instant};

use runtime::exchange::BodyLimits;
use runtime::generation::Tally;

use crate::support::client::{
    BOTH, Client, Protocol, Reader, empty, fetch, full, get, is_cut, request, upload,
};
use crate::support::components::{Limits, built, fresh, generation};
use crate::support::log::Log;
use crate::support::node::{NAMES, Node, Setup};
use crate::support::{soon, until};

const APP: &str = "fixture-handler";

async fn with(limits: Limits) -> Node {
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    Node::with_generation(fresh(limits, APP).await, setup).await
}

fn tally(node: &Node) -> Tally {
    node.slot.current().expect("it serves").stats.requests()
}

/// How many requests the instance has had that answers next.
async fn count(node: &Node) -> u64 {
    let answer = fetch(Protocol::H1, node.address, "/count").await;
    answer.text().trim().parse().expect("a number")
}

/// A stream of events that goes on.
async fn events(node: &Node, path: &str) -> (Client, Reader) {
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open(path).await;
    reader.to("\n\n").await;
    (client, reader)
}

#[tokio::test]
async fn it_answers_and_sees_the_cluster_and_nothing_else_of_the_machine() {
    let log = Log::capture();
    let node = with(Limits::Usual).await;
    for protocol in BOTH {
        let hello = fetch(protocol, node.address, "/").await;
        assert_eq!(hello.status, 200);
        assert_eq!(hello.text(), format!("hello from {}\n", NAMES[0]));
        // All of it was there before the head went out.
        assert_eq!(hello.field("content-length"), "29");
        let about = fetch(protocol, node.address, "/about").await;
        let sees = "GET http://127.0.0.1, 0 fields, 0 arguments, 0 variables\n";
        assert_eq!(about.text(), sees);
    }
    fetch(Protocol::H1, node.address, "/print").await;
    log.tells_once(&["guest:", "a line of output"]);
    node.idle().await;
    log.tells_no_failure();
    let counted = tally(&node);
    assert_eq!(counted.failed(), 0);
}

#[tokio::test]
async fn an_instance_takes_several_requests_at_a_time_and_is_given_back_when_it_is_idle() {
    let (node, weak) = {
        let generation = fresh(Limits::Usual, APP).await;
        let weak = std::sync::Arc::downgrade(&generation);
        let node = Node::with_generation(generation, Setup::default()).await;
        (node, weak)
    };
    let mut waiting = Vec::new();
    for number in 0..4 {
        let address = node.address;
        // The instance takes the next one once it waits for something.
        until("the one before to have begun", || {
            node.exchanges.live() == number
        })
        .await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        waiting.push(tokio::spawn(async move {
            let answer = fetch(Protocol::H1, address, "/wait").await;
            answer.text().trim().parse::<u64>().expect("a number")
        }));
    }
    let mut counts = Vec::new();
    for each in waiting {
        counts.push(each.await.expect("it does not panic"));
    }
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4], "one instance, all at once");
    assert_eq!(count(&node).await, 5);
    node.idle().await;
    // Who refers to the generation now: the slot, and what the idle instance has of it.
    let idle = weak.strong_count();
    until("the instance to be given back", || {
        weak.strong_count() < idle
    })
    .await;
    assert_eq!(count(&node).await, 1, "a new one");
}

#[tokio::test]
async fn bodies_stream_in_and_out() {
    let log = Log::capture();
    let node = Node::start(APP).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("one\n").await);
        let response = client.send(request("POST", "/echo", body)).await;
        let mut reader = Reader::new(response.expect("a head"));
        reader.to("one\n").await;
        for line in ["two\n", "three\n"] {
            assert!(pieces.data(line).await);
            assert_eq!(reader.to(line).await, line);
        }
        drop(pieces);
        reader.rest().await.1.expect("it ends as it should");
        let large = vec![b'x'; 1 << 20];
        let sent = full(large.clone());
        let answer = client.ask(request("POST", "/echo", sent)).await;
        assert!(answer.body.expect("it ends as it should") == large);
        let answer = client.get("/large").await;
        assert_eq!(answer.body.expect("it ends as it should").len(), 4 << 20);
        let answer = client.get("/trailers").await;
        assert_eq!(answer.text(), "a body\n");
    }
    node.idle().await;
    log.tells_no_failure();
}

#[tokio::test]
async fn an_answer_before_the_body_is_an_answer() {
    let log = Log::capture();
    let node = Node::start(APP).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("the beginning").await);
        let response = client.send(request("POST", "/early", body)).await;
        let (rest, ended) = Reader::new(response.expect("a head")).rest().await;
        ended.expect("it ends as it should");
        assert_eq!(rest, "early\n");
        let _ = pieces.data("the end").await;
        drop(pieces);
    }
    node.idle().await;
    log.tells_no_failure();
}

#[tokio::test]
async fn a_head_is_a_head_alone_and_some_statuses_have_no_body() {
    let log = Log::capture();
    let node = Node::start(APP).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let head = client.ask(request("HEAD", "/", empty())).await;
        assert_eq!((head.status.as_u16(), head.text()), (200, ""));
        for (status, body) in [(204, ""), (304, ""), (404, "a body\n"), (503, "a body\n")] {
            let answer = client.get(&format!("/status/{status}")).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (status, body));
        }
    }
    node.idle().await;
    log.tells_no_failure();
}

#[tokio::test]
async fn what_breaks_a_rule_is_500_or_cut_and_its_instance_goes_on() {
    let node = with(Limits::Usual).await;
    let (_client, mut other) = events(&node, "/events").await;
    for (path, cause) in [
        ("/status/199", "sent the status 199; 200 to 599 are allowed"),
        (
            "/error",
            "answered with an error of its own: ErrorCode::InternalError",
        ),
    ] {
        let log = Log::capture();
        let answer = fetch(Protocol::H1, node.address, path).await;
        assert_eq!(answer.status, 500, "{path}");
        log.tells_once(&["the app failed", path, cause]);
    }
    let log = Log::capture();
    let mut client = Client::connect(Protocol::H1, node.address).await;
    match client.send(get("/length")).await {
        Ok(response) if response.status() == 500 => {}
        Ok(response) => {
            let (_, ended) = Reader::new(response).rest().await;
            is_cut(&ended.expect_err("it is cut"), Protocol::H1);
        }
        Err(error) => is_cut(&error, Protocol::H1),
    }
    assert_eq!(
        log.lines(&["the app failed", "/length", "its content-length"])
            .len(),
        1
    );
    other.to("\n\n").await;
    assert_eq!(tally(&node).errors, 3);
    assert!(count(&node).await > 4, "it is the same instance");
}

#[tokio::test]
async fn a_trap_ends_its_instance_with_the_requests_of_it_and_no_others() {
    let log = Log::capture();
    let node = with(Limits::Usual).await;
    let (_client, stream) = events(&node, "/events").await;
    let failed = fetch(Protocol::H1, node.address, "/panic").await;
    assert_eq!(failed.status, 500);
    let (_, ended) = stream.rest().await;
    is_cut(&ended.expect_err("it is cut"), Protocol::H1);
    log.tells_once(&["the app failed", "path=\"/panic\"", "asked to fail"]);
    log.tells_once(&["the app failed", "path=\"/events\"", "asked to fail"]);
    assert_eq!(count(&node).await, 1, "a new instance");
    let (_client, late) = events(&node, "/events-then-panic").await;
    let (_, ended) = late.rest().await;
    is_cut(&ended.expect_err("it is cut"), Protocol::H1);
    node.idle().await;
    assert_eq!(tally(&node).trapped, 3);
}

#[tokio::test]
async fn a_request_to_another_server_is_denied_and_warned_of() {
    let log = Log::capture();
    let node = with(Limits::Usual).await;
    let answer = fetch(Protocol::H1, node.address, "/fetch/another.example").await;
    assert!(
        answer.text().contains("HttpRequestDenied"),
        "{}",
        answer.text()
    );
    log.tells_once(&["denied an outgoing request", "http://another.example"]);
    assert_eq!(log.lines(&["secret"]), [""; 0]);
}

#[tokio::test]
async fn a_client_that_goes_ends_its_stream_and_one_that_sends_nothing_its_request() {
    let log = Log::capture();
    let setup = Setup {
        bodies: BodyLimits {
            idle: Duration::from_millis(200),
            ..BodyLimits::default()
        },
        ..Setup::default()
    };
    let node = Node::with_generation(fresh(Limits::Usual, APP).await, setup).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/events").await;
        reader.to("\n\n").await;
        drop((reader, client));
        node.idle().await;
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("a beginning").await);
        let response = client.send(request("POST", "/echo", body)).await;
        let reader = Reader::new(response.expect("a head"));
        soon("the echo to be cut", reader.rest())
            .await
            .1
            .expect_err("it is cut");
        node.idle().await;
    }
    assert_eq!(tally(&node).failed(), 0);
    log.tells_no_failure();
}

#[tokio::test]
async fn a_swap_lets_requests_finish_on_the_old_code_and_gives_idle_instances_back() {
    let old = fresh(Limits::Usual, APP).await;
    let weak = std::sync::Arc::downgrade(&old);
    let node = Node::with_generation(old, Setup::default()).await;
    let (client, mut stream) = events(&node, "/events").await;
    let address = node.address;
    let waits = tokio::spawn(async move { fetch(Protocol::H1, address, "/wait").await });
    until("the request to have begun", || node.exchanges.live() == 2).await;
    let plain = generation(Limits::Usual, &built("fixture-plain")).await;
    let draining = node.swap(plain).await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/status/418")
            .await
            .status,
        418
    );
    assert_eq!(waits.await.expect("it does not panic").status, 200);
    stream.to("\n\n").await;
    drop((client, stream));
    soon("the old code to be freed", draining.signals.freed()).await;
    assert_eq!(weak.strong_count(), 0);
}

#[tokio::test]
async fn what_is_left_on_old_code_is_ended_when_a_next_app_needs_its_room() {
    let setup = Setup {
        drain: Duration::from_millis(100),
        ..Setup::default()
    };
    let node = Node::with_generation(fresh(Limits::Usual, APP).await, setup).await;
    let (_client, stream) = events(&node, "/events").await;
    let plain = generation(Limits::Usual, &built("fixture-plain")).await;
    let draining = node.swap(plain).await;
    let permit = soon("the drain to be over", node.slot.permit()).await;
    let (_, ended) = stream.rest().await;
    is_cut(&ended.expect_err("it is cut"), Protocol::H1);
    until("it to be counted", || draining.stats.left().cut == 1).await;
    drop(permit);
}

#[tokio::test]
async fn what_its_client_does_not_read_is_ended_too_when_a_next_app_needs_its_room() {
    for protocol in BOTH {
        let setup = Setup {
            drain: Duration::from_millis(100),
            ..Setup::default()
        };
        let node = Node::with_generation(fresh(Limits::Usual, APP).await, setup).await;
        let mut client = Client::connect(protocol, node.address).await;
        let stream = client.open("/flood").await;
        // What is between them is full, and the connection asks for no more.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let plain = generation(Limits::Usual, &built("fixture-plain")).await;
        let draining = node.swap(plain).await;
        let permit = soon("the drain to be over", node.slot.permit()).await;
        assert_eq!((draining.stats.live(), draining.stats.left().cut), (0, 1));
        soon("the old code to be freed", draining.signals.freed()).await;
        drop(permit);
        let (_, ended) = stream.rest().await;
        is_cut(&ended.expect_err("it is cut"), protocol);
    }
}

#[tokio::test]
async fn a_head_does_not_wait_for_a_body_that_comes_later() {
    let node = with(Limits::Usual).await;
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let mut client = Client::connect(Protocol::H1, node.address).await;
        let asked = Instant::now();
        let late = client.open("/late").await;
        quickest = quickest.min(asked.elapsed());
        drop(late);
    }
    assert!(quickest < Duration::from_millis(300), "{quickest:?}");
}

#[tokio::test]
async fn a_connection_goes_on_though_the_app_keeps_a_request_that_it_never_read() {
    let node = with(Limits::Usual).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for _ in 0..3 {
            let answer = client.ask(request("POST", "/keep", full("some"))).await;
            assert_eq!(answer.status, 200);
        }
    }
    node.idle().await;
    assert_eq!(count(&node).await, 7, "one instance");
    assert_eq!(tally(&node).failed(), 0);
}
