//! A push or a rollback as the command that it is: what it tells while it goes on,
//! and how it ends.

use crate::cluster::ANSWER;
use crate::lan::Lan;
use crate::process::{Launch, Process, Source};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// So many digits of a digest are in the log.
const DIGEST_DIGITS: usize = 12;
/// So many of a release's id.
const ID_DIGITS: usize = 10;

/// What is in the line of a push that has made its release.
const RELEASED: &str = "\"event\":\"released\"";

/// A push or a rollback that goes on.
#[derive(Debug)]
pub struct Push {
    command: Process,
}

/// The release that one has made.
#[derive(Clone, Debug)]
pub struct Released {
    /// When it was told.
    pub at: Instant,
    /// The SHA-256 of the app, in hex.
    pub digest: String,
    /// The beginning of its id, as nodes log it.
    pub id: String,
}

/// One that has ended.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// When the command was started.
    pub started: Instant,
    /// When it had ended.
    pub ended: Instant,
    /// Its exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// What it told, one JSON value for each line, and when.
    pub events: Vec<(Instant, Value)>,
}

impl Push {
    /// Push an app at machine N, or go back there if there is none; give up after
    /// so long.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
    pub fn start(lan: &Lan, number: u8, app: Option<&Path>, patience: Duration) -> Result<Self> {
        let command = match app {
            Some(app) => lan.tool(number, &["push"]).arg(app),
            None => lan.tool(number, &["rollback"]),
        };
        Self::of(&command, patience)
    }

    /// Carry out this command, a push or a rollback; give up after so long.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn of(command: &Launch, patience: Duration) -> Result<Self> {
        let patience = format!("{}s", patience.as_secs().max(1));
        let command = command.clone().arg("--json").flag("--timeout", patience);
        Ok(Self {
            command: command.spawn()?,
        })
    }

    /// The command itself.
    pub fn command(&self) -> &Process {
        &self.command
    }

    /// Wait until it says that the release is made.
    ///
    /// # Errors
    ///
    /// If it does not within the bound, or ends without having made one.
    pub fn released(&self, bound: Duration) -> Result<Released> {
        let line = self.command.wait_for_line(&[RELEASED], bound)?;
        let event: Value = serde_json::from_str(&line.text).context(line.text)?;
        Released::of(line.at, &event)
    }

    /// `kill -9`, before it is done. Returns when it was sent, once it is gone.
    ///
    /// # Errors
    ///
    /// If it has ended by itself before.
    pub fn kill(&self, bound: Duration) -> Result<Instant> {
        let killed = self.command.kill()?;
        let (status, _) = self.command.wait_for_end(bound)?;
        let said = self.command.output();
        ensure!(status.code().is_none(), "it was done before:\n{said}");
        Ok(killed)
    }

    /// Wait until it has ended.
    ///
    /// # Errors
    ///
    /// If it has not within the bound, or says what is no JSON.
    pub fn end(&self, bound: Duration) -> Result<Pushed> {
        // It has a little more time than it gives itself.
        let (status, ended) = self.command.wait_for_end(bound + ANSWER)?;
        let mut events = Vec::new();
        for line in self.command.lines() {
            match line.source {
                Source::Stdout => {
                    let event = serde_json::from_str(&line.text);
                    events.push((line.at, event.with_context(|| line.text.clone())?));
                }
                // Why it ended as it did is in what it said before.
                Source::Stderr if status.success() => bail!("it complains: {}", line.text),
                Source::Stderr => {}
            }
        }
        Ok(Pushed {
            started: self.command.started(),
            ended,
            code: status.code(),
            events,
        })
    }
}

impl Released {
    fn of(at: Instant, event: &Value) -> Result<Self> {
        let release = &event["release"];
        let text = |name: &str| release[name].as_str().with_context(|| event.to_string());
        let (digest, id) = (text("digest")?.to_owned(), text("id")?);
        let id = id.get(..ID_DIGITS).context("a short id")?.to_owned();
        Ok(Self { at, digest, id })
    }

    /// The beginning of the digest, as nodes log it.
    ///
    /// # Errors
    ///
    /// If it is too short to be one.
    pub fn short(&self) -> Result<&str> {
        short(&self.digest)
    }
}

/// The beginning of a digest, as nodes log it.
pub(crate) fn short(digest: &str) -> Result<&str> {
    digest.get(..DIGEST_DIGITS).context("a short digest")
}

impl Pushed {
    /// When the release was made.
    pub fn released(&self) -> Option<Instant> {
        self.event("released").map(|(at, _)| *at)
    }

    /// The SHA-256 of the app that was released.
    pub fn digest(&self) -> Option<&str> {
        let (_, released) = self.event("released")?;
        released["release"]["digest"].as_str()
    }

    /// The release that it made.
    ///
    /// # Errors
    ///
    /// If it made none.
    pub fn release(&self) -> Result<Released> {
        let (at, event) = self.event("released").context("nothing was released")?;
        Released::of(*at, event)
    }

    /// The nodes that it says are gone.
    pub fn gone(&self) -> Vec<&str> {
        let gone = self.events.iter().filter(|(_, it)| it["event"] == "gone");
        gone.filter_map(|(_, it)| it["node"].as_str()).collect()
    }

    /// The nodes that could not take it, each with the reason.
    pub fn failed(&self) -> Vec<(&str, &str)> {
        let done = self.event("done").map(|(_, done)| &done["failed"]);
        let failed = done.and_then(Value::as_array).into_iter().flatten();
        let named = failed.filter_map(|it| Some((it[0].as_str()?, it[1].as_str().unwrap_or(""))));
        named.collect()
    }

    fn event(&self, name: &str) -> Option<&(Instant, Value)> {
        self.events.iter().find(|(_, it)| it["event"] == name)
    }
}
