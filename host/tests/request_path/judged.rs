//! New code that is judged by what its clients see, on a real request path.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use host::app::bake::{BakeOutcome, BakeTask, Past, Rule};
use runtime::generation::GenerationStats;

use crate::support::client::{Client, Protocol};
use crate::support::components::{Limits, fresh};
use crate::support::node::{Node, Setup};
use crate::support::soon;

/// Longer than any test.
const BAKE: Option<Duration> = Some(Duration::from_secs(3600));

fn serving(node: &Node) -> Arc<GenerationStats> {
    node.slot.current().expect("it serves").stats.clone()
}

/// Asks so often, eight requests at a time.
async fn ask(node: &Node, path: &'static str, times: usize) {
    let address = node.address;
    let clients = (0..8).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(Protocol::H1, address).await;
            for _ in 0..times.div_ceil(8) {
                client.get(path).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("it does not panic");
    }
}

/// Asks for this until the code that serves is judged, and says why it failed.
async fn judged(node: &Node, task: &BakeTask, path: &'static str) -> String {
    let mut outcome = pin!(task.outcome());
    let judging = async {
        loop {
            tokio::select! {
                biased;
                outcome = &mut outcome => return outcome,
                () = ask(node, path, 24) => {}
            }
        }
    };
    match soon("an outcome", judging).await {
        BakeOutcome::Failed(reason) => reason.to_string(),
        BakeOutcome::Sound => panic!("it bakes for an hour"),
    }
}

/// A node on which code has answered well for a while, and what is known of it.
async fn with_past(package: &str, path: &'static str) -> (Node, Past) {
    let setup = Setup::default();
    let node = Node::with_generation(fresh(Limits::Usual, package).await, setup).await;
    let rule = Some(Rule::default());
    let task = BakeTask::begin(serving(&node), Past::default(), rule, BAKE);
    // While the machine is busy, times are not counted.
    for _ in 0..10 {
        ask(&node, path, 160).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    (node, task.past())
}

#[tokio::test]
async fn answers_that_take_many_times_as_long_as_before_are_a_fault() {
    let (node, past) = with_past("fixture-misbehave", "/sleep/1").await;
    node.swap(fresh(Limits::Usual, "fixture-misbehave").await)
        .await;
    let task = BakeTask::begin(serving(&node), past, Some(Rule::default()), BAKE);
    let why = judged(&node, &task, "/sleep/700").await;
    assert!(why.contains("answers 200 to /sleep"), "{why}");
    assert!(why.contains("1 in 100 took"), "{why}");
}

#[tokio::test]
async fn what_fails_for_this_machine_itself_counts_in_full_over_ipv6_too() {
    let setup = Setup {
        listen: "[::1]:0",
        ..Setup::default()
    };
    let fresh = fresh(Limits::Usual, "fixture-misbehave").await;
    let node = Node::with_generation(fresh, setup).await;
    let rule = Some(Rule::default());
    let task = BakeTask::begin(serving(&node), Past::default(), rule, BAKE);
    let why = judged(&node, &task, "/status/500").await;
    assert!(why.contains("were answered with an error (5xx)"), "{why}");
}

#[tokio::test]
async fn answers_of_500_are_a_fault_of_either_kind_of_app() {
    for package in ["fixture-plain", "fixture-misbehave"] {
        let (node, past) = with_past(package, "/status/200").await;
        node.swap(fresh(Limits::Usual, package).await).await;
        let task = BakeTask::begin(serving(&node), past, Some(Rule::default()), BAKE);
        let why = judged(&node, &task, "/status/500").await;
        assert!(why.contains("were answered with an error (5xx)"), "{why}");
        // The code before answered all of them well.
        assert!(why.contains("; the release before: 0 of"), "{why}");
    }
}
