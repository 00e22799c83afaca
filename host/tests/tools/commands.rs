//! The commands as processes: what they say, and how they end.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use cluster::Digest;
use cluster::release::DeployKey;
use host::api::Limits;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::fake::{Behaviour, Lie, ME, OTHER};
use super::{Bench, command, ended};

#[tokio::test]
async fn a_push_ends_well_once_every_member_serves_it_and_again_does_nothing() {
    let bench = Bench::new();
    let app = bench.file("app.wasm", b"an app");
    let push = bench.run(&["push", &app, "--note", "first"]).await;
    assert_eq!(push.exit, Some(0), "{push:?}");
    let digest = &Digest::of(b"an app").to_string()[..12];
    assert!(
        push.err.contains(&format!("released {digest} as ")),
        "{push:?}"
    );
    assert!(push.err.contains(&format!("{OTHER}: serving")), "{push:?}");
    assert!(push.err.ends_with("done: 2 nodes serve it\n"), "{push:?}");
    let again = bench.run(&["push", &app]).await;
    assert_eq!(again.exit, Some(0), "{again:?}");
    assert!(again.err.contains("already"), "{again:?}");
    assert!(!again.err.contains("uploading"), "{again:?}");
    let releases = bench.run(&["releases"]).await;
    let lines: Vec<&str> = releases.out.lines().collect();
    assert_eq!(lines.len(), 2, "{releases:?}");
    for part in ["target", "push", digest, "tester@", ME, "first"] {
        assert!(lines[1].contains(part), "{part} in {releases:?}");
    }
    assert!(!releases.out.contains('\u{1b}'), "no colours in a file");
}

#[tokio::test]
async fn a_push_that_is_refused_says_why_and_ends_with_2() {
    let bench = Bench::new();
    let bad = bench.file("bad.wasm", b"bad");
    let push = bench.run(&["push", &bad]).await;
    assert_eq!(push.exit, Some(2), "{push:?}");
    assert!(
        push.err.ends_with("error: it is no component\n"),
        "{push:?}"
    );
    let app = bench.file("app.wasm", b"an app");
    let expect = bench.run(&["push", &app, "--expect", "0123abcd"]).await;
    assert_eq!(expect.exit, Some(2), "{expect:?}");
    assert!(
        expect.err.contains("not the expected component"),
        "{expect:?}"
    );
    let few = bench.run(&["push", &app, "--min-nodes", "3"]).await;
    assert_eq!(few.exit, Some(2), "{few:?}");
    assert!(few.err.contains("2 members"), "{few:?}");
    assert_eq!(
        bench.run(&["releases"]).await.out,
        "nothing was released yet\n"
    );
}

#[tokio::test]
async fn a_push_to_a_node_that_is_leaving_says_so_and_releases_nothing() {
    let bench = Bench::new();
    bench.node.behaves(Behaviour::Leave);
    let app = bench.file("app.wasm", b"an app");
    let push = bench.run(&["push", &app]).await;
    assert_eq!(push.exit, Some(2), "{push:?}");
    assert!(
        push.err
            .ends_with("nothing was changed; do it on another node\n"),
        "{push:?}"
    );
    assert_eq!(
        bench.run(&["releases"]).await.out,
        "nothing was released yet\n"
    );
}

#[tokio::test]
async fn the_target_is_expected_by_the_beginning_of_its_digest() {
    let bench = Bench::new();
    let (one, two) = (bench.file("1.wasm", b"one"), bench.file("2.wasm", b"two"));
    assert_eq!(bench.run(&["push", &one]).await.exit, Some(0));
    let digest = &Digest::of(b"one").to_string()[..8];
    let push = bench.run(&["push", &two, "--expect", digest]).await;
    assert_eq!(push.exit, Some(0), "{push:?}");
}

#[tokio::test]
async fn a_member_that_cannot_take_it_is_named_with_the_reason_and_it_ends_with_3() {
    let bench = Bench::new();
    bench
        .node
        .behaves(Behaviour::OtherRefuses("it traps at start"));
    let app = bench.file("app.wasm", b"an app");
    let push = bench.run(&["push", &app]).await;
    assert_eq!(push.exit, Some(3), "{push:?}");
    let last = format!("not served by {OTHER} (it traps at start)\n");
    assert!(push.err.ends_with(&last), "{push:?}");
}

#[tokio::test]
async fn a_member_that_tries_again_in_vain_is_named_with_the_reason_and_it_ends_with_3() {
    let limits = Limits {
        again: Duration::from_millis(100),
        ..Limits::default()
    };
    let bench = Bench::with(None, limits);
    let why = "the disk is full";
    bench.node.behaves(Behaviour::OtherTriesAgain(why));
    let app = bench.file("app.wasm", b"an app");
    let push = bench.run(&["push", &app]).await;
    assert_eq!(push.exit, Some(3), "{push:?}");
    let tries = format!("{OTHER}: trying again: {why}\n");
    assert!(push.err.contains(&tries), "{push:?}");
    let last = format!("not served by {OTHER} ({why}; it tries again by itself)\n");
    assert!(push.err.ends_with(&last), "{push:?}");
}

#[tokio::test]
async fn a_push_that_another_one_is_ahead_of_ends_with_4_and_says_which() {
    let bench = Bench::new();
    bench.node.behaves(Behaviour::Overtake(b"another app"));
    let app = bench.file("app.wasm", b"an app");
    let push = bench.run(&["push", &app]).await;
    assert_eq!(push.exit, Some(4), "{push:?}");
    assert!(
        push.err.contains("superseded: the target is release"),
        "{push:?}"
    );
    assert!(push.err.contains("somebody@else"), "{push:?}");
}

#[tokio::test]
async fn a_push_that_takes_too_long_names_whom_it_waits_for_and_ends_with_5() {
    let bench = Bench::new();
    bench.node.behaves(Behaviour::Sleep);
    let app = bench.file("app.wasm", b"an app");
    let push = bench.run(&["push", &app, "--timeout", "300ms"]).await;
    assert_eq!(push.exit, Some(5), "{push:?}");
    assert!(push.err.contains("0 of 2 serve it"), "{push:?}");
    assert!(push.err.contains(OTHER), "{push:?}");
}

#[tokio::test]
async fn a_rollback_goes_to_the_app_before_or_to_the_one_that_is_named() {
    let bench = Bench::new();
    for app in [b"one".as_slice(), b"two", b"three"] {
        let file = bench.file("app.wasm", app);
        assert_eq!(bench.run(&["push", &file]).await.exit, Some(0));
    }
    let target = async || {
        let status = bench.run(&["status", "--json"]).await;
        let status: Value = serde_json::from_str(&status.out).unwrap();
        status["target"]["digest"].as_str().unwrap().to_owned()
    };
    let back = bench.run(&["rollback", "--note", "it was bad"]).await;
    assert_eq!(back.exit, Some(0), "{back:?}");
    assert_eq!(target().await, Digest::of(b"two").to_string());
    let releases = bench.run(&["releases", "--json"]).await;
    let releases: Value = serde_json::from_str(&releases.out).unwrap();
    assert_eq!(releases["releases"][0]["note"], "it was bad");
    let first = releases["releases"][3]["id"].as_str().unwrap();
    let back = bench.run(&["rollback", &first[..10]]).await;
    assert_eq!(back.exit, Some(0), "{back:?}");
    assert_eq!(target().await, Digest::of(b"one").to_string());
    let unknown = bench.run(&["rollback", "0000000000"]).await;
    assert_eq!(unknown.exit, Some(2), "{unknown:?}");
}

#[tokio::test]
async fn for_programs_every_line_of_a_push_is_json() {
    let bench = Bench::new();
    let app = bench.file("app.wasm", b"an app");
    let push = bench.run(&["push", &app, "--json"]).await;
    assert_eq!((push.exit, &*push.err), (Some(0), ""), "{push:?}");
    let events: Vec<Value> = push
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = events
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["uploading", "uploaded", "released"]);
    assert_eq!(events.last().unwrap()["outcome"], "served");
}

#[tokio::test]
async fn ctrl_c_says_that_the_release_goes_on() {
    let bench = Bench::new();
    bench.node.behaves(Behaviour::Sleep);
    let app = bench.file("app.wasm", b"an app");
    let command = bench.command(&["push", &app]);
    let ended = tokio::task::spawn_blocking(move || {
        let mut command = command;
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        // Once it says what members do, it follows.
        while !said.contains(": waiting") {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
        }
        kill_process(pid, Signal::INT).unwrap();
        while lines.read_line(&mut said).unwrap() > 0 {}
        (child.wait().unwrap().code(), said)
    });
    let (exit, said) = tokio::time::timeout(super::PATIENCE, ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(exit, Some(130), "{said}");
    assert!(said.contains("goes on without this"), "{said}");
}

#[tokio::test]
async fn a_node_with_a_deploy_key_takes_only_what_it_signed() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("deploy.key").display().to_string();
    let made = ended(command(&["key", "new", "--cluster", "test", &key])).await;
    assert_eq!(made.exit, Some(0), "{made:?}");
    let public: DeployKey = made.out.trim().parse().unwrap();
    let bench = Bench::with(Some(public), Limits::default());
    let app = bench.file("app.wasm", b"an app");
    let unsigned = bench.run(&["push", &app]).await;
    assert_eq!(unsigned.exit, Some(2), "{unsigned:?}");
    assert!(unsigned.err.contains("deploy key"), "{unsigned:?}");
    let other = folder.path().join("other.key").display().to_string();
    assert_eq!(
        ended(command(&["key", "new", "--cluster", "test", &other]))
            .await
            .exit,
        Some(0)
    );
    let wrong = bench.run(&["push", &app, "--sign-with", &other]).await;
    assert_eq!(wrong.exit, Some(2), "{wrong:?}");
    assert_eq!(
        bench.run(&["releases"]).await.out,
        "nothing was released yet\n"
    );
    let signed = bench.run(&["push", &app, "--sign-with", &key]).await;
    assert_eq!(signed.exit, Some(0), "{signed:?}");
    let releases = bench.run(&["releases", "--json"]).await;
    let releases: Value = serde_json::from_str(&releases.out).unwrap();
    assert_eq!(releases["releases"][0]["signed"], true);
    let shown = ended(command(&["key", "public", &key])).await;
    assert_eq!(shown.out, made.out);
}

#[tokio::test]
async fn a_draft_that_is_not_what_was_asked_for_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("deploy.key").display().to_string();
    let made = ended(command(&["key", "new", "--cluster", "test", &key])).await;
    let bench = Bench::with(Some(made.out.trim().parse().unwrap()), Limits::default());
    let app = bench.file("app.wasm", b"an app");
    let first = bench.run(&["push", &app, "--sign-with", &key]).await;
    assert_eq!(first.exit, Some(0), "{first:?}");
    let second = bench.file("second.wasm", b"the second app");
    let push = ["push", &second, "--sign-with", &key];
    let back = ["rollback", "--sign-with", &key];
    for (asked, lie, why) in [
        (&push[..], Lie::App(b"a third app"), "it has another app"),
        (&push, Lie::Note, "it has another note or name"),
        (&push, Lie::Time, "its time is more than ten minutes"),
        (&back, Lie::Push(b"a third app"), "it is no rollback"),
    ] {
        bench.node.behaves(Behaviour::DraftOther(lie));
        let refused = bench.run(asked).await;
        assert_eq!(refused.exit, Some(1), "{refused:?}");
        assert!(refused.err.contains(why), "{refused:?}");
    }
    bench.node.behaves(Behaviour::Serve);
    let releases = bench.run(&["releases", "--json"]).await;
    let releases: Value = serde_json::from_str(&releases.out).unwrap();
    assert_eq!(releases["releases"].as_array().map(Vec::len), Some(1));
    let taken = bench.run(&push).await;
    assert_eq!(taken.exit, Some(0), "{taken:?}");
}

#[tokio::test]
async fn the_log_is_shown_as_the_node_writes_it() {
    let bench = Bench::new();
    bench.log.add(host::api::types::LogLine {
        seq: 0,
        at_ms: 1_790_000_000_000,
        level: host::api::types::Level::Warn,
        message: "member down".to_owned(),
        fields: vec![("member".to_owned(), "a@10.0.0.9".to_owned())],
    });
    let logs = bench.run(&["logs"]).await;
    assert_eq!(
        logs.out,
        "2026-09-21T14:13:20.000Z  WARN member down member=a@10.0.0.9\n"
    );
    assert_eq!(bench.run(&["logs", "--level", "error"]).await.out, "");
}
