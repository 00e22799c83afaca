//! What commands print: text of others fit for a terminal, and a quiet end once nobody reads.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use host::api::types::{Level, LogLine};
use serde_json::Value;

use super::fake::Behaviour;
use super::{Bench, PATIENCE, command, ended};

/// What a terminal acts on, and what misleads who reads it.
const HARMFUL: &str = "a\u{1b}]0;title\u{7}\u{9b}2J\u{202e}\rb\u{7f}";

/// What the core takes as a note: it refuses control characters.
const NOTE: &str = "a\u{202e}b";

#[track_caller]
fn fit(text: &str) {
    let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(harmful), "{text:?}");
}

fn line(message: &str) -> LogLine {
    LogLine {
        seq: 0,
        at_ms: 1_790_000_000_000,
        level: Level::Info,
        message: message.to_owned(),
        fields: vec![("field".to_owned(), HARMFUL.to_owned())],
    }
}

#[tokio::test]
async fn what_others_wrote_does_not_act_on_the_terminal_of_who_reads_it() {
    let bench = Bench::new();
    let app = bench.file("app.wasm", b"an app");
    bench.log.add(line(HARMFUL));
    let push = bench
        .run(&["push", &app, "--note", NOTE, "--by", NOTE])
        .await;
    assert_eq!(push.exit, Some(0), "{push:?}");
    let why: &'static str = HARMFUL;
    bench.node.behaves(Behaviour::OtherRefuses(why));
    let other = bench.file("other.wasm", b"another app");
    let failed = bench.run(&["push", &other]).await;
    assert_eq!(failed.exit, Some(3), "{failed:?}");
    assert!(failed.err.contains(r"]0;title\u{7}"), "{failed:?}");
    bench.node.behaves(Behaviour::Overtake(b"overtakes"));
    let third = bench.file("third.wasm", b"a third app");
    let overtaken = bench.run(&["push", &third, "--note", NOTE]).await;
    for ended in [&push, &failed, &overtaken] {
        fit(&ended.out);
        fit(&ended.err);
    }
    for words in [["releases"], ["nodes"], ["status"], ["logs"]] {
        let shown = bench.run(&words).await;
        assert_eq!(shown.exit, Some(0), "{shown:?}");
        fit(&shown.out);
    }
    let releases = bench.run(&["releases"]).await;
    assert!(releases.out.contains(r"a\u{202e}b"), "{releases:?}");
}

#[tokio::test]
async fn json_is_fit_for_a_terminal_and_means_what_others_wrote() {
    let bench = Bench::new();
    let app = bench.file("app.wasm", b"an app");
    bench.log.add(line(HARMFUL));
    let push = bench.run(&["push", &app, "--note", NOTE, "--json"]).await;
    let releases = bench.run(&["releases", "--json"]).await;
    let logs = bench.run(&["logs", "--json"]).await;
    for shown in [&push, &releases, &logs] {
        assert_eq!(shown.exit, Some(0), "{shown:?}");
        fit(&shown.out);
    }
    let releases: Value = serde_json::from_str(&releases.out).unwrap();
    assert_eq!(releases["releases"][0]["note"], NOTE);
    let logs: Value = serde_json::from_str(&logs.out).unwrap();
    assert_eq!(logs["message"], HARMFUL);
}

/// Standard output that nobody reads.
fn unread(mut command: Command) -> Command {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer);
    command
}

#[tokio::test]
async fn every_command_ends_quietly_if_nobody_reads_what_it_prints() {
    let bench = Bench::new();
    let app = bench.file("app.wasm", b"an app");
    bench.log.add(line("a line"));
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["nodes"],
        &["releases"],
        &["logs"],
        &["logs", "-f"],
        &["logs", "-f", "--json"],
        &["push", &app, "--json"],
        &["rollback", "--json"],
    ] {
        let end = ended(unread(bench.command(words))).await;
        let quiet = !end.err.contains("panicked") && !end.err.contains("print");
        assert!(quiet, "{words:?}: {end:?}");
        // There is nothing to go back to, and who reads only that is told so.
        if words[0] != "rollback" {
            assert_eq!((end.exit, &*end.err), (Some(0), ""), "{words:?}");
        }
    }
    let key = bench.path().join("new.key").display().to_string();
    for words in [
        &["cookie", "new", "--print"][..],
        &["key", "new", "--cluster", "test", &key],
        &["key", "public", &key],
        &["--help"],
        &["push", "--help"],
    ] {
        let end = ended(unread(command(words))).await;
        assert_eq!(end.exit, Some(0), "{words:?}: {end:?}");
        assert!(!end.err.contains("panicked"), "{words:?}: {end:?}");
    }
}

#[tokio::test]
async fn a_command_whose_standard_error_is_closed_still_does_its_work() {
    let bench = Bench::new();
    let app = bench.file("app.wasm", b"an app");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut push = bench.command(&["push", &app]);
    push.stderr(writer);
    let end = ended(push).await;
    assert_eq!(end.exit, Some(0), "{end:?}");
    let releases = bench.run(&["releases"]).await;
    assert_eq!(releases.out.lines().count(), 2, "{releases:?}");
}

#[tokio::test]
async fn a_log_that_is_followed_ends_once_its_reader_is_gone_though_no_line_comes() {
    for socket in [false, true] {
        let bench = Bench::new();
        bench.log.add(line("the only line"));
        let mut logs = bench.command(&["logs", "-f"]);
        let ended = tokio::task::spawn_blocking(move || {
            let (reader, writer): (Box<dyn std::io::Read>, Stdio) = if socket {
                let (reader, writer) = UnixStream::pair().unwrap();
                (Box::new(reader), std::os::fd::OwnedFd::from(writer).into())
            } else {
                let (reader, writer) = std::io::pipe().unwrap();
                (Box::new(reader), writer.into())
            };
            let mut child = logs.stdout(writer).spawn().unwrap();
            // It has the only other end.
            drop(logs);
            let mut said = String::new();
            let mut lines = BufReader::new(reader);
            lines.read_line(&mut said).unwrap();
            drop(lines);
            (child.wait().unwrap().code(), said)
        });
        let (exit, said) = tokio::time::timeout(PATIENCE, ended)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(exit, Some(0));
        assert!(said.contains("the only line"), "{said}");
    }
}
