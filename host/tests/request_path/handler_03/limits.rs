//! What an instance of WASI 0.3 may use, and what ends when it uses more.

use std::time::Duration;

use runtime::exchange::BodyLimits;

use super::{APP, count, events, tally, with};
use crate::support::client::{Client, Protocol, Reader, fetch, get, is_cut, request, upload};
use crate::support::components::{Limits, fresh};
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::until;

#[tokio::test]
async fn an_overrun_ends_the_instance_with_its_requests_and_others_go_on() {
    for (path, is_stream) in [
        ("/spin", false),
        ("/events-then-spin", true),
        ("/spin-politely", false),
    ] {
        let log = Log::capture();
        let node = with(Limits::Tight).await;
        let (_client, stream) = events(&node, "/events").await;
        let mut client = Client::connect(Protocol::H1, node.address).await;
        let spins = tokio::spawn(async move {
            match client.send(get(path)).await {
                Ok(response) if !is_stream => assert_eq!(response.status(), 500),
                Ok(response) => {
                    let (_, ended) = Reader::new(response).rest().await;
                    is_cut(&ended.expect_err("it is cut"), Protocol::H1);
                }
                Err(error) => is_cut(&error, Protocol::H1),
            }
        });
        let (_, ended) = stream.rest().await;
        is_cut(&ended.expect_err("it is cut"), Protocol::H1);
        spins.await.expect("it does not panic");
        let cause = "used its 0.3 s of processor time; --cpu-limit allows more";
        log.tells_once(&["the app failed", &format!("path=\"{path}\""), cause]);
        assert_eq!(count(&node).await, 1, "a new instance");
        node.idle().await;
        assert_eq!(tally(&node).overrun, 2, "{path}");
    }
}

#[tokio::test]
async fn requests_are_answered_by_other_instances_while_one_loops() {
    let node = with(Limits::Usual).await;
    let address = node.address;
    let spins = tokio::spawn(async move {
        let mut client = Client::connect(Protocol::H1, address).await;
        drop(client.send(get("/spin")).await);
    });
    for _ in 0..10 {
        let hello = fetch(Protocol::H1, node.address, "/").await;
        assert_eq!(hello.status, 200);
    }
    assert!(!spins.is_finished());
    spins.abort();
}

#[tokio::test]
async fn an_app_that_never_answers_is_ended_by_the_wall_limit_and_its_instance_takes_no_more() {
    let log = Log::capture();
    let node = with(Limits::Hurried).await;
    let (_client, mut stream) = events(&node, "/events").await;
    let answer = fetch(Protocol::H1, node.address, "/hang").await;
    assert_eq!(answer.status, 500);
    log.tells_once(&[
        "the app failed",
        "path=\"/hang\"",
        "did not return within 0.3 s; --wall-limit allows more",
    ]);
    // What else it does goes on.
    stream.to("\n\n").await;
    assert_eq!(count(&node).await, 1, "another instance");
    assert_eq!(tally(&node).overrun, 1);
}

#[tokio::test]
async fn memory_is_limited_and_an_instance_that_has_grown_takes_no_more_requests() {
    let log = Log::capture();
    let node = with(Limits::Tight).await;
    let answer = fetch(Protocol::H1, node.address, "/alloc").await;
    assert_eq!(answer.status, 500);
    log.tells_once(&["the app failed", "asked for more than its 16 MiB of memory"]);
    assert_eq!(tally(&node).trapped, 1);
    let node = with(Limits::Tight).await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/grow").await.text(),
        "1\n"
    );
    // It notices with the next one.
    assert_eq!(count(&node).await, 2);
    assert_eq!(count(&node).await, 1, "a new instance");
}

#[tokio::test]
async fn what_the_host_keeps_for_an_instance_is_limited() {
    let log = Log::capture();
    let node = with(Limits::Usual).await;
    let answer = fetch(Protocol::H1, node.address, "/fields").await;
    assert_eq!(answer.status, 500);
    log.tells_once(&[
        "the app failed",
        "held more than 16 MiB of fields and bodies",
    ]);
}

#[tokio::test]
async fn more_streams_than_there_are_places_are_refused_and_are_no_failure() {
    let node = with(Limits::CrowdedToo).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(events(&node, "/events").await);
    }
    let answer = fetch(Protocol::H1, node.address, "/events").await;
    assert_eq!(answer.status, 503);
    assert_eq!(fetch(Protocol::H1, node.address, "/").await.status, 200);
    drop(open);
    node.idle().await;
    events(&node, "/events").await;
    assert_eq!(tally(&node).failed(), 0);
}

#[tokio::test]
async fn what_runs_on_for_nobody_ends_its_instance_when_it_has_used_up_its_time() {
    let generation = fresh(Limits::Tight, APP).await;
    let weak = std::sync::Arc::downgrade(&generation);
    let node = Node::with_generation(generation, Setup::default()).await;
    let unused = weak.strong_count();
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let spins = tokio::spawn(async move { client.send(get("/spin-politely")).await.map(drop) });
    until("it to have begun", || weak.strong_count() > unused + 1).await;
    spins.abort();
    node.idle().await;
    // Whatever it does, it would end half a minute after its last request.
    let ended = until("its instance to be ended", || weak.strong_count() == unused);
    let soon = tokio::time::timeout(Duration::from_secs(15), ended).await;
    soon.expect("it ends for what it uses");
}

#[tokio::test]
async fn an_app_that_gives_up_reading_and_never_answers_is_ended_by_the_wall_limit() {
    let log = Log::capture();
    let setup = Setup {
        bodies: BodyLimits {
            idle: Duration::from_millis(200),
            ..BodyLimits::default()
        },
        ..Setup::default()
    };
    let node = Node::with_generation(fresh(Limits::Hurried, APP).await, setup).await;
    let (_pieces, body) = upload();
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let answer = client.ask(request("POST", "/cancel", body)).await;
    assert_eq!(answer.status, 500);
    log.tells_once(&["the app failed", "path=\"/cancel\"", "--wall-limit"]);
    assert_eq!(tally(&node).overrun, 1);
}
