//! What a node does with its standard error, whoever reads it or not, and what it tells the
//! service manager that has started it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::{Launch, Programs, client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What must come, comes within this. Reached only by a test that fails.
const BOUND: Duration = Duration::from_secs(60);

/// How long between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(5);

/// A node that is started by hand, because its standard error is not read as usual.
struct Node {
    child: Child,
    folder: tempfile::TempDir,
}

impl Node {
    fn start(stderr: OwnedFd, also: &[(&str, &str)]) -> Result<Node> {
        let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
        let folder = tempfile::tempdir()?;
        let child = Command::new(programs.host())
            .args(["--name", "example@127.0.0.1", "--http", "127.0.0.1:0"])
            .args(["--cluster-port", "0", "--cookie", "a cookie of the tests"])
            .arg("--app")
            .arg(programs.component("fixture-misbehave"))
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .env_clear()
            .envs(also.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()?;
        Ok(Node { child, folder })
    }

    fn status(&self) -> Result<Value> {
        let socket = self.folder.path().join("data/host.sock");
        let status = client::get_over(&socket, "/v1/status", BOUND)?;
        Ok(serde_json::from_str(&status.text())?)
    }

    /// Waits until it answers its tools, and returns where it serves.
    fn url(&self) -> Result<String> {
        let due = Instant::now() + BOUND;
        loop {
            match self.status() {
                Ok(status) => return Ok(status["url"].as_str().context("no URL")?.to_owned()),
                Err(error) => ensure!(Instant::now() < due, "it does not start: {error:#}"),
            }
            std::thread::sleep(LOOK);
        }
    }

    fn lost(&self) -> Result<u64> {
        self.status()?["log"]["lost"].as_u64().context("no count")
    }

    fn terminate(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    fn end(&mut self) -> Result<ExitStatus> {
        let due = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < due, "it does not end");
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(url: &str, path: &str) -> Result<()> {
    let answer = client::get(&format!("{url}{path}"), BOUND)?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(())
}

#[test]
fn a_node_whose_log_nobody_reads_answers_everybody_and_says_how_much_was_lost() -> Result<()> {
    let (mut reader, writer) = std::io::pipe()?;
    let mut node = Node::start(writer.into(), &[])?;
    let url = node.url()?;
    let due = Instant::now() + BOUND;
    // The pipe has 64 KiB, the queue a MiB, and the log takes some of such lines each second.
    while node.lost()? == 0 {
        ensure!(Instant::now() < due, "nothing is lost");
        answers(&url, "/write/4000")?;
    }
    // Once somebody reads, the log goes on and says what is missing.
    let lost = node.lost()?;
    let mut read = Vec::new();
    let said = "lines of the log were dropped here";
    while !String::from_utf8_lossy(&read).contains(said) {
        let mut some = [0; 65_536];
        let length = reader.read(&mut some)?;
        ensure!(length > 0, "it ended");
        read.extend_from_slice(&some[..length]);
    }
    let text = String::from_utf8_lossy(&read);
    let line = text.lines().find(|line| line.contains(said));
    ensure!(
        line.is_some_and(|line| line.contains(&format!("dropped={lost}"))),
        "{lost}: {line:?}"
    );
    // And nothing of what the app wrote for a terminal is in it.
    ensure!(text.contains("xxx") && text.contains("\\u{202e}"), "{text}");
    ensure!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    node.terminate()?;
    std::io::copy(&mut reader, &mut std::io::sink())?;
    ensure!(node.end()?.code() == Some(0));
    Ok(())
}

#[test]
fn a_node_starts_and_ends_while_its_standard_error_takes_nothing() -> Result<()> {
    let (_reader, mut writer) = std::io::pipe()?;
    // It does not even wait when it is written to: the mode is that of the pipe.
    rustix::io::ioctl_fionbio(&writer, true)?;
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    let mut node = Node::start(writer.into(), &[])?;
    answers(&node.url()?, "/ok")?;
    node.terminate()?;
    ensure!(node.end()?.code() == Some(0));
    Ok(())
}

#[test]
fn a_node_whose_standard_error_is_closed_goes_on_and_counts_its_lines() -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let node = Node::start(writer.into(), &[])?;
    answers(&node.url()?, "/ok")?;
    ensure!(node.lost()? > 0, "{}", node.status()?);
    Ok(())
}

#[test]
fn under_the_journal_each_line_has_its_priority_and_no_time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("journal");
    let journal = File::create(&path)?;
    let stream = journal.metadata()?;
    let stream = format!("{}:{}", stream.dev(), stream.ino());
    let mut node = Node::start(journal.into(), &[("JOURNAL_STREAM", &stream)])?;
    let panic = client::get(&format!("{}/panic", node.url()?), BOUND)?;
    ensure!(panic.status == 500, "{panic:?}");
    node.terminate()?;
    ensure!(node.end()?.code() == Some(0));
    let log = std::fs::read_to_string(&path)?;
    for line in log.lines() {
        let level = match line.get(..3) {
            Some("<3>") => "ERROR",
            Some("<4>") => "WARN",
            Some("<6>") => "INFO",
            _ => "no priority",
        };
        let rest = line.get(3..).unwrap_or_default();
        let goes_on = rest.starts_with("    ");
        ensure!(goes_on || rest.trim_start().starts_with(level), "{log}");
    }
    ensure!(log.contains("<3>ERROR the app failed"), "{log}");
    Ok(())
}

#[test]
fn the_service_manager_is_told_once_the_node_answers_and_when_it_stops() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(BOUND))?;
    let told = || -> Result<String> {
        let mut message = [0; 4096];
        let length = manager.recv(&mut message)?;
        Ok(String::from_utf8_lossy(&message[..length]).into_owned())
    };
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
    let node = Launch::new(programs.host())
        .dir(folder.path())
        .flag("--name", "example@127.0.0.1")
        .flag("--http", "127.0.0.1:0")
        .flag("--cluster-port", "0")
        .flag("--app", programs.component("fixture-misbehave"))
        .flag("--data-dir", folder.path().join("data"))
        .env("HOST_COOKIE", "a cookie of the tests")
        .env("NOTIFY_SOCKET", &path)
        .spawn()?;
    let ready = told()?;
    ensure!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    let url = ready
        .split_whitespace()
        .find(|it| it.starts_with("http://"));
    answers(url.with_context(|| format!("no URL in {ready}"))?, "/ok")?;
    node.terminate()?;
    let stopping = told()?;
    ensure!(
        stopping.lines().any(|line| line == "STOPPING=1"),
        "{stopping}"
    );
    let (status, _) = node.wait_for_end(BOUND)?;
    ensure!(status.code() == Some(0), "{}", node.output());
    Ok(())
}
