//! A push to nodes that are up, and what becomes of it: as the command tells it,
//! as each node logs it, and as those see it who ask the nodes for pages.
//!
//! ```text
//! app file -> Fleet::roll_out -> Rollout: when, and what took how long on which node
//!             Fleet::asked    -> Asked: answers, and those that never came
//! ```

mod asked;
mod trouble;

use crate::cluster::{ANSWER, Cluster, START};
use crate::lan::Lan;
use crate::process::{Launch, Process, Source};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use asked::{Asked, first_answers};
pub use trouble::{CutFetch, FullDisk, SMALL_DISK, SMALL_QUOTA};

/// So many digits of a digest are in the log.
const SHORT: usize = 12;

/// Nodes on all machines of a LAN, which list each other and serve the guest.
#[derive(Debug)]
pub struct Fleet<'lan> {
    cluster: Cluster<'lan>,
    numbers: Vec<u8>,
}

/// A push or a rollback that goes on.
#[derive(Debug)]
pub struct Push {
    command: Process,
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

/// A release that has come to serve on every node.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// When the command was started.
    pub started: Instant,
    /// The SHA-256 of the app, in hex.
    pub digest: String,
    /// From the start of the command until the release was made: by then the node
    /// that was asked has taken in the app, and made sure that it could serve.
    pub released: Duration,
    /// From the start until the command had ended and said that all serve it.
    pub told: Duration,
    /// What each node did.
    pub nodes: Vec<Share>,
}

/// What one node did about a release.
#[derive(Clone, Debug)]
pub struct Share {
    /// The machine.
    pub number: u8,
    /// From the start of the command until this node heard of the release.
    pub heard: Duration,
    /// From the start of the command until it served it.
    pub served: Duration,
    /// Getting the app from others; none if it was there.
    pub fetched: Option<Duration>,
    /// The compiler, or the cache of compiled code.
    pub compiled: Duration,
    /// Linking, instantiating, checking.
    pub validated: Duration,
    /// The change itself.
    pub swapped: Duration,
}

impl<'lan> Fleet<'lan> {
    /// Start a node on every machine, one after the other, and wait until all
    /// list all.
    ///
    /// # Errors
    ///
    /// If they do not within [`START`].
    pub fn start(lan: &'lan Lan) -> Result<Self> {
        Self::start_as(lan, |_, usual| usual)
    }

    /// As [`Fleet::start`], each with what `launch` makes of the usual command.
    ///
    /// # Errors
    ///
    /// As [`Fleet::start`].
    pub fn start_as(lan: &'lan Lan, launch: impl Fn(u8, Launch) -> Launch) -> Result<Self> {
        let mut cluster = Cluster::start(lan, &[])?;
        let numbers: Vec<u8> = lan.machines().iter().map(|it| it.number()).collect();
        for number in &numbers {
            cluster.join_as(*number, &launch(*number, lan.host(*number)))?;
        }
        cluster.wait_until_all_list(&numbers, START)?;
        for number in &numbers {
            let host = cluster.host(*number);
            host.wait_for_line(&["release in force"], START)?;
        }
        Ok(Self { cluster, numbers })
    }

    /// The machines of its nodes.
    pub fn numbers(&self) -> &[u8] {
        &self.numbers
    }

    /// The LAN it is on.
    pub fn lan(&self) -> &'lan Lan {
        self.cluster.lan()
    }

    /// The host on machine N.
    ///
    /// # Panics
    ///
    /// If there is no such machine: the test is wrong.
    pub fn host(&self, number: u8) -> &Process {
        self.cluster.host(number)
    }

    /// The digest of the release that the node of machine N answers with.
    ///
    /// # Errors
    ///
    /// If it does not answer, or with another page than the guest's.
    pub fn serves(&self, number: u8) -> Result<String> {
        let machine = self.lan().machine(number);
        let page = machine.get(&machine.url(), ANSWER)?.text();
        let digest = asked::digest_in(&page).with_context(|| page.clone())?;
        Ok(digest.to_owned())
    }

    /// An app file of this content, that is no node's own.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn app_file(&self, content: &[u8]) -> Result<PathBuf> {
        let path = self.lan().scratch().join("pushed.wasm");
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// Push an app at machine N, or go back there if there is none, and wait until
    /// every node serves it.
    ///
    /// # Errors
    ///
    /// If they do not within the bound, or the command says something else.
    pub fn roll_out(&self, number: u8, app: Option<&Path>, bound: Duration) -> Result<Rollout> {
        let push = Push::start(self.lan(), number, app, bound)?;
        let pushed = push.end(bound)?;
        ensure!(pushed.code == Some(0), "{pushed:#?}\n{}", self.output());
        self.rollout_of(&pushed, bound)
    }

    fn rollout_of(&self, pushed: &Pushed, bound: Duration) -> Result<Rollout> {
        let digest = pushed.digest().context("nothing was released")?.to_owned();
        let short = digest.get(..SHORT).context("a short digest")?;
        let started = pushed.started;
        let share = |number: &u8| {
            let host = self.host(*number);
            let line = |words: &[&str]| host.wait_for_line_after(started, words, bound);
            let served = line(&["the app changed", short])?.at;
            let heard = line(&["release in force", short])?.at;
            let status = self.lan().machine(*number).status(ANSWER)?;
            let serving = &status["serving"];
            ensure!(serving["digest"] == *digest, "node {number}: {status:#}");
            let step = |name: &str| serving["steps"][name].as_u64().map(Duration::from_micros);
            let known = |name| step(name).with_context(|| format!("no {name}: {status:#}"));
            Ok(Share {
                number: *number,
                heard: heard - started,
                served: served - started,
                fetched: step("fetched_us"),
                compiled: known("compiled_us")?,
                validated: known("validated_us")?,
                swapped: known("swapped_us")?,
            })
        };
        Ok(Rollout {
            started,
            nodes: self.numbers.iter().map(share).collect::<Result<_>>()?,
            released: pushed.released().context("nothing was released")? - started,
            told: pushed.ended - started,
            digest,
        })
    }

    /// The processor time that all hosts have taken so far.
    ///
    /// # Errors
    ///
    /// If one has ended.
    pub fn processor_time(&self) -> Result<Duration> {
        let hosts = self.numbers.iter().map(|number| self.host(*number));
        hosts.map(Process::processor_time).sum()
    }

    /// What all nodes have printed, for a failure to show.
    pub fn output(&self) -> String {
        self.cluster.output()
    }
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
        let patience = format!("{}s", patience.as_secs().max(1));
        let command = command.arg("--json").flag("--timeout", patience).spawn()?;
        Ok(Self { command })
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

impl Rollout {
    /// From the start of the command until the last node served it.
    pub fn served(&self) -> Duration {
        let served = self.nodes.iter().map(|node| node.served);
        served.max().unwrap_or_default()
    }
}
