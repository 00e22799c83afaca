//! What apps print, and what the log says when they fail or may not do something.

use crate::support::client::{Client, Protocol, fetch, get};
use crate::support::components::Limits;
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::until;

async fn node(limits: Limits) -> Node {
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    Node::with("fixture-unusual", setup).await
}

#[tokio::test]
async fn what_is_printed_is_in_the_log_while_the_app_runs_and_after_it_has_failed() {
    let log = Log::capture();
    let node = node(Limits::Hurried).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let asking = tokio::spawn(async move { client.get("/print/then-wait").await.status });
    until("the line", || {
        !log.lines(&["guest: printed before it waits"]).is_empty()
    })
    .await;
    assert!(!asking.is_finished(), "it runs still");
    assert_eq!(asking.await.expect("an answer"), 500);
    log.tells_once(&["guest: printed before it waits"]);
    log.tells_once(&["guest: and the beginning of a line"]);
    log.tells_once(&["the app failed", "did not return within 0.3 s"]);
    let answer = fetch(Protocol::H1, node.address, "/print/then-trap").await;
    assert_eq!(answer.status, 500);
    log.tells_once(&["guest: printed before it traps"]);
}

#[tokio::test]
async fn a_stream_prints_as_long_as_it_lasts() {
    let log = Log::capture();
    let node = node(Limits::Usual).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let response = client.send(get("/print/per-event")).await.expect("a head");
    // More than four KiB, and nobody reads: what the client has not read is no matter.
    until("ten lines", || log.lines(&["guest: event "]).len() >= 10).await;
    drop((response, client));
    node.idle().await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_cut_and_its_rest_counted() {
    let log = Log::capture();
    let node = node(Limits::Usual).await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/print/much")
            .await
            .text(),
        "ok"
    );
    node.idle().await;
    log.tells_once(&["guest: xxxx", "xxxx (1044480 more bytes)"]);
}

#[tokio::test]
async fn the_log_names_the_cause_before_the_backtrace_and_each_is_bounded() {
    let log = Log::capture();
    let node = node(Limits::Usual).await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/print/deep")
            .await
            .status,
        500
    );
    let lines = log.lines(&["the app failed", "unreachable", "backtrace:"]);
    let [line] = &lines[..] else {
        panic!("{:#?}", log.lines(&[]));
    };
    let places = ["path=", "unreachable", "backtrace:", "output::deep"].map(|part| line.find(part));
    assert!(places.is_sorted() && places[3].is_some(), "{line}");
    assert!(line.chars().count() < 900, "{line}");
}

#[tokio::test]
async fn a_denied_request_to_another_server_is_warned_of_without_its_path() {
    let log = Log::capture();
    let node = node(Limits::Usual).await;
    for _ in 0..20 {
        let answer = fetch(Protocol::H1, node.address, "/fetch").await;
        assert!(
            answer.text().contains("HttpRequestDenied"),
            "{}",
            answer.text()
        );
    }
    let said = [
        "WARN",
        "denied an outgoing request",
        "`host egress add https://example.com:8443` allows it",
    ];
    let lines = log.lines(&said);
    assert!((1..5).contains(&lines.len()), "throttled: {lines:#?}");
    assert_eq!(log.lines(&["secret"]), [""; 0]);
}
