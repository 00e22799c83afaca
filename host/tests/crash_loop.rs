//! A release that kills the process of its node. The test does that in its place: it kills the
//! process within a minute of the start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{Launch, Process, Programs, client};
use serde_json::Value;

/// What must come, comes within this. Reached only by a test that fails.
const BOUND: Duration = Duration::from_secs(60);

/// How long between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(5);

struct Place {
    programs: Programs,
    dir: tempfile::TempDir,
}

struct Node {
    process: Process,
    url: String,
}

impl Place {
    fn new() -> Result<Place> {
        Ok(Place {
            programs: Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
            dir: tempfile::tempdir()?,
        })
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn counter(&self, version: u8) -> PathBuf {
        self.programs
            .component(&format!("fixture-counter-v{version}"))
    }

    /// Starts the node, with an app file if one is given.
    fn start(&self, app: Option<&Path>) -> Result<Node> {
        let launch = Launch::new(self.programs.host())
            .dir(self.dir.path())
            .flag("--name", "example@127.0.0.1")
            .flag("--http", "127.0.0.1:0")
            .flag("--cluster-port", "0")
            .flag("--data-dir", self.data())
            .env("HOST_COOKIE", "a cookie of the tests");
        let launch = match app {
            Some(app) => launch.flag("--app", app),
            None => launch,
        };
        let process = launch.spawn()?;
        let ready = process.wait_until_ready(BOUND)?.text;
        let url = ready
            .split_whitespace()
            .find(|it| it.starts_with("http://"));
        Ok(Node {
            url: url.context("no URL")?.to_owned(),
            process,
        })
    }

    /// What a command about the node prints.
    fn host(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let output = Command::new(self.programs.host())
            .args(words)
            .arg("--data-dir")
            .arg(self.data())
            .stdin(Stdio::null())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    }

    fn succeeds(&self, words: &[&str]) -> Result<String> {
        let (code, said) = self.host(words)?;
        ensure!(
            code == Some(0),
            "host {words:?} ended with {code:?}: {said}"
        );
        Ok(said)
    }

    fn json(&self, what: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.succeeds(&[what, "--json"])?)?)
    }

    /// Waits until the list of releases is like this.
    fn comes_to_list(&self, is_it: impl Fn(&Value) -> bool) -> Result<()> {
        let due = Instant::now() + BOUND;
        loop {
            let releases = self.json("releases")?;
            if is_it(&releases) {
                return Ok(());
            }
            ensure!(Instant::now() < due, "{releases}");
            std::thread::sleep(LOOK);
        }
    }

    /// Releases this version.
    fn push(&self, version: u8, how: &[&str]) -> Result<()> {
        let app = self.counter(version).display().to_string();
        self.succeeds(&[&["push", &app], how].concat()).map(drop)
    }

    /// A node that serves the second version, and had the first before it.
    fn with_two_releases(&self, how: &[&str]) -> Result<Node> {
        let node = self.start(Some(&self.counter(1)))?;
        node.process
            .wait_for_line(&["released the app file"], BOUND)?;
        self.push(2, how)?;
        node.comes_to_serve("v2")?;
        Ok(node)
    }
}

impl Node {
    fn serves(&self) -> Result<String> {
        Ok(client::get(&format!("{}/", self.url), BOUND)?.text())
    }

    fn comes_to_serve(&self, text: &str) -> Result<()> {
        let due = Instant::now() + BOUND;
        while self.serves()? != text {
            if Instant::now() > due {
                bail!("it does not serve {text}:\n{}", self.process.output());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn dies(self) -> Result<()> {
        self.process.kill()?;
        self.process.wait_for_end(BOUND).map(drop)
    }

    fn stops(self) -> Result<()> {
        self.process.terminate()?;
        let (status, _) = self.process.wait_for_end(BOUND)?;
        ensure!(status.code() == Some(0), "{}", self.process.output());
        Ok(())
    }
}

#[test]
fn after_two_deaths_a_node_starts_with_what_served_before_votes_and_says_why() -> Result<()> {
    let place = Place::new()?;
    place.with_two_releases(&[])?.dies()?;
    // One death decides nothing.
    let node = place.start(Some(&place.counter(1)))?;
    ensure!(node.serves()? == "v2");
    node.process
        .wait_for_line(&["died within a minute", "deaths=1"], BOUND)?;
    node.dies()?;
    // It is left after the second, from the first request on.
    let node = place.start(Some(&place.counter(1)))?;
    ensure!(node.serves()? == "v1", "{}", node.process.output());
    node.process
        .wait_for_line(&["ERROR", "died 2 times within a minute"], BOUND)?;
    node.process.wait_for_line(
        &["died twice", "this node votes against the release"],
        BOUND,
    )?;
    let voted_down = |releases: &Value| releases["releases"][0]["status"] == "voted-down";
    place.comes_to_list(voted_down)?;
    let failed = place.json("status")?["failed"].clone();
    let why = failed["reason"].as_str().context("no reason")?;
    ensure!(why.contains("died twice within a minute"), "{failed}");
    // And stays so, also if it dies for another reason.
    node.dies()?;
    let node = place.start(Some(&place.counter(1)))?;
    ensure!(node.serves()? == "v1", "{}", node.process.output());
    // What is released then is served, the same component included if a person wants it.
    place.push(3, &[])?;
    node.comes_to_serve("v3")?;
    node.stops()
}

#[test]
fn a_node_that_has_voted_for_a_release_votes_against_it_once_it_kills_the_process() -> Result<()> {
    let place = Place::new()?;
    let node = place.with_two_releases(&["--canary", "1", "--bake", "1s"])?;
    let voted = |kind: &'static str| {
        move |it: &Value| it["releases"][0][kind].as_array().map(Vec::len) == Some(1)
    };
    place.comes_to_list(voted("votes_for"))?;
    node.dies()?;
    place.start(None)?.dies()?;
    let node = place.start(None)?;
    ensure!(node.serves()? == "v1", "{}", node.process.output());
    place.comes_to_list(voted("votes_against"))
}

#[test]
fn a_node_that_was_stopped_in_between_has_not_died() -> Result<()> {
    let place = Place::new()?;
    place.with_two_releases(&[])?.dies()?;
    for _ in 0..3 {
        let node = place.start(None)?;
        ensure!(node.serves()? == "v2", "{}", node.process.output());
        node.stops()?;
    }
    Ok(())
}

#[test]
fn a_rollback_that_kills_the_process_leaves_a_node_that_can_be_told_what_to_serve() -> Result<()> {
    let place = Place::new()?;
    let node = place.with_two_releases(&[])?;
    place.succeeds(&["rollback"])?;
    node.comes_to_serve("v1")?;
    node.dies()?;
    place.start(None)?.dies()?;
    // Nobody votes on a rollback: it stays the target, and the node serves what was before.
    let node = place.start(None)?;
    ensure!(node.serves()? == "v2", "{}", node.process.output());
    node.process
        .wait_for_line(&["died twice", "rollback is not voted on"], BOUND)?;
    let releases = place.json("releases")?;
    let second = releases["releases"][1]["id"].as_str().context("no id")?;
    place.succeeds(&["rollback", second])?;
    node.comes_to_serve("v2")?;
    ensure!(place.json("status")?["failed"].is_null());
    Ok(())
}

#[test]
fn a_first_app_that_kills_the_process_leaves_a_node_that_takes_another() -> Result<()> {
    let place = Place::new()?;
    let node = place.start(Some(&place.counter(1)))?;
    node.process
        .wait_for_line(&["released the app file"], BOUND)?;
    node.dies()?;
    place.start(Some(&place.counter(1)))?.dies()?;
    let node = place.start(Some(&place.counter(1)))?;
    let answer = client::get(&format!("{}/", node.url), BOUND)?;
    ensure!(answer.status == 503, "{answer:?}");
    place.push(2, &[])?;
    node.comes_to_serve("v2")
}
