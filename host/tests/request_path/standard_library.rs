//! What the standard library of Rust does in an app of the SDK, which has no WASI.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::client::{Protocol, fetch};
use crate::support::log::Log;
use crate::support::node::Node;

async fn answer(node: &Node, what: &str) -> String {
    let target = format!("/std/{what}");
    let answer = fetch(Protocol::H1, node.address, &target).await;
    assert_eq!(answer.status, 200, "{what}");
    answer.text().to_owned()
}

#[tokio::test]
async fn clocks_and_hash_maps_work_in_an_app_without_wasi() {
    let node = Node::start("fixture-simple").await;
    let since = || SystemTime::now().duration_since(UNIX_EPOCH);
    let milliseconds = || since().expect("a time after 1970").as_millis();
    let before = milliseconds();
    let clocks = answer(&node, "clocks").await;
    let (now, little_passed) = clocks.split_once(' ').expect("two words");
    let now: u128 = now.parse().expect("a number");
    assert!(before <= now && now <= milliseconds(), "{now}");
    assert_eq!(little_passed, "true");

    // That two of 32! orders are the same means that the seed is.
    let order = answer(&node, "random").await;
    assert_ne!(order, answer(&node, "random").await);
}

#[tokio::test]
async fn what_an_app_without_wasi_prints_is_in_the_log() {
    let log = Log::capture();
    let node = Node::start("fixture-simple").await;
    answer(&node, "print").await;
    log.tells_once(&[&format!("printed: {}", "x".repeat(100))]);
    log.tells_once(&["in two pieces"]);
    log.tells_once(&["on standard error"]);
}

#[tokio::test]
async fn an_app_without_wasi_has_no_input_no_files_no_sockets_and_no_environment() {
    let node = Node::start("fixture-simple").await;
    assert_eq!(answer(&node, "nothing").await, "false false false false 0");
}

#[tokio::test]
async fn an_app_without_wasi_that_sleeps_exits_or_panics_fails_and_the_log_says_why() {
    for (target, reason) in [
        (
            "/std/sleep",
            "a callback without WASI cannot wait: return the effect send-after instead",
        ),
        (
            "/std/exit",
            "a callback ends by returning: return a response instead",
        ),
        ("/panic", "asked to panic"),
    ] {
        let log = Log::capture();
        let node = Node::start("fixture-simple").await;
        let answer = fetch(Protocol::H2, node.address, target).await;
        assert_eq!(answer.status, 500, "{target}");
        log.tells_once(&["the app failed", "panicked at", reason]);
    }
}
