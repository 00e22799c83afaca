//! What the machine gives to apps by numbers: time, random numbers, and a way into the log.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::client::{Protocol, fetch};
use crate::support::log::Log;
use crate::support::node::Node;

#[tokio::test]
async fn an_app_is_told_the_time_what_passes_of_it_and_random_numbers() {
    let node = Node::start("fixture-misbehave").await;
    let since = || SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = || since().expect("a time after 1970").as_nanos();
    let before = nanos();
    let answer = fetch(Protocol::H1, node.address, "/system/clocks").await;
    let words: Vec<&str> = answer.text().splitn(3, ' ').collect();
    let now: u128 = words[0].parse().expect("a number");
    assert!(before <= now && now <= nanos(), "{now}");
    assert!(
        words[1].starts_with("Some("),
        "time goes back: {}",
        words[1]
    );
    let again = fetch(Protocol::H1, node.address, "/system/clocks").await;
    let both = [
        words[2],
        again.text().splitn(3, ' ').last().expect("numbers"),
    ];
    let numbers: Vec<&str> = both
        .iter()
        .flat_map(|two| two.trim_matches(['(', ')']).split(", "))
        .collect();
    for (at, number) in numbers.iter().enumerate() {
        assert!(!numbers[..at].contains(number), "{numbers:?}");
    }
}

#[tokio::test]
async fn what_an_app_writes_by_numbers_is_in_the_log_line_by_line() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    fetch(Protocol::H1, node.address, "/system/write").await;
    log.tells_once(&[
        "guest: a line that takes more than the sixty-four bytes that one call writes, and its end",
    ]);
    log.tells_once(&["guest: and one more"]);
}

#[tokio::test]
async fn a_panic_that_is_written_by_numbers_is_the_reason_in_the_log() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    let answer = fetch(Protocol::H1, node.address, "/system/panic").await;
    assert_eq!(answer.status, 500);
    log.tells_once(&[
        "the app failed",
        "panicked at src/lib.rs:1:2: asked by numbers",
    ]);
}

#[tokio::test]
async fn an_app_that_writes_more_than_a_call_takes_traps_and_the_log_says_why() {
    let log = Log::capture();
    let node = Node::start("fixture-misbehave").await;
    let answer = fetch(Protocol::H1, node.address, "/system/long").await;
    assert_eq!(answer.status, 500);
    log.tells_once(&[
        "the app failed",
        "wrote 65 bytes in one call of ace:raxx/system, more than 64",
    ]);
}
