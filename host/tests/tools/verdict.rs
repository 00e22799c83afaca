//! What `host push` says of a release that bakes, how it waits for the verdict, and how
//! long it has patience.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use cluster::Digest;
use cluster::release::Verdict;
use serde_json::Value;

use super::fake::{Behaviour, ME, OTHER};
use super::{Bench, Ended, PATIENCE};

/// A node whose members serve a first release, and the file of a second one.
async fn with_two() -> (Bench, String) {
    let bench = Bench::new();
    let first = bench.file("first.wasm", b"the first");
    assert_eq!(bench.run(&["push", &first]).await.exit, Some(0));
    let second = bench.file("second.wasm", b"the second");
    (bench, second)
}

/// Runs a command, does something once it has said this, and returns how it ends.
async fn once_said(bench: &Bench, words: &[&str], said: &str, act: impl FnOnce()) -> Ended {
    let mut child = bench.command(words).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is a pipe"));
    let wanted = said.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut err = String::new();
        while !err.contains(&wanted) {
            assert_ne!(lines.read_line(&mut err).expect("text"), 0, "{err}");
        }
        (lines, err)
    });
    let (mut lines, mut err) = tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it says so")
        .expect("it does not panic");
    act();
    let ending = tokio::task::spawn_blocking(move || {
        while lines.read_line(&mut err).expect("text") > 0 {}
        let exit = child.wait().expect("it ends").code();
        let out = String::new();
        Ended { exit, out, err }
    });
    tokio::time::timeout(PATIENCE, ending)
        .await
        .expect("it ends")
        .expect("it does not panic")
}

#[tokio::test]
async fn a_push_that_ends_while_the_release_bakes_says_so_and_where_to_look() {
    let (bench, second) = with_two().await;
    let push = bench.run(&["push", &second]).await;
    assert_eq!(push.exit, Some(0), "{push:?}");
    let last = push.err.lines().last().unwrap();
    for says in ["2 nodes serve it; it bakes", "host releases", "--wait"] {
        assert!(last.contains(says), "{push:?}");
    }
    // The first release has nothing to go back to, so it is not voted on.
    let third = bench.run(&["rollback"]).await;
    assert!(!third.err.contains("bakes"), "{third:?}");
}

#[tokio::test]
async fn a_push_that_waits_ends_with_3_when_the_release_is_voted_down_and_so_does_one_with_a_bake()
{
    for how in [&["--wait"][..], &["--bake", "1m"]] {
        let (bench, second) = with_two().await;
        let words = [&["push", &*second], how].concat();
        let baking = format!("{ME}: serving, baking");
        let push = once_said(&bench, &words, &baking, || {
            bench.node.votes(Verdict::Failed)
        })
        .await;
        assert_eq!(push.exit, Some(3), "{push:?}");
        let last = push.err.lines().last().unwrap();
        assert!(last.starts_with(&format!("voted down by {ME}")), "{push:?}");
        assert!(last.contains("the target is release"), "{push:?}");
    }
}

#[tokio::test]
async fn a_push_that_waits_ends_well_once_all_have_voted() {
    let (bench, second) = with_two().await;
    bench.node.is_alone();
    let words = ["push", &second, "--wait", "--timeout", "100ms"];
    let push = once_said(&bench, &words, "serving, baking", || {
        bench.node.votes(Verdict::Ok)
    })
    .await;
    assert_eq!(push.exit, Some(0), "{push:?}");
    let last = push.err.lines().last().unwrap();
    assert_eq!(last, "done: 1 node serves it", "{push:?}");
}

#[tokio::test]
async fn what_was_voted_down_is_refused_unless_it_is_asked_for_again() {
    let (bench, second) = with_two().await;
    assert_eq!(bench.run(&["push", &second]).await.exit, Some(0));
    bench.node.votes(Verdict::Failed);
    let refused = bench.run(&["push", &second]).await;
    assert_eq!(refused.exit, Some(2), "{refused:?}");
    assert!(refused.err.contains("voted down"), "{refused:?}");
    assert!(refused.err.contains("--again"), "{refused:?}");
    let json = bench.run(&["push", &second, "--json"]).await;
    let last: Value = serde_json::from_str(json.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["code"], "voted-down", "{json:?}");
    let again = bench.run(&["push", &second, "--again"]).await;
    assert_eq!(again.exit, Some(0), "{again:?}");
}

#[tokio::test]
async fn the_timeout_does_not_run_while_a_node_compiles() {
    let (bench, second) = with_two().await;
    bench.node.behaves(Behaviour::OtherCompiles);
    let words = ["push", &second, "--timeout", "50ms"];
    let compiles = format!("{OTHER}: compiling");
    let push = once_said(&bench, &words, &compiles, || {
        // Many times as long as its patience.
        std::thread::sleep(Duration::from_millis(500));
        bench.node.other_serves(Digest::of(b"the second"));
    })
    .await;
    assert_eq!(push.exit, Some(0), "{push:?}");
}
