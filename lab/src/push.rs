//! A push to nodes that are up, and what becomes of it: as the command tells it,
//! as each node logs it, and as those see it who ask the nodes for pages.
//!
//! ```text
//! app file -> Fleet::roll_out -> Rollout: when, and what took how long on which node
//!             Fleet::asked    -> Asked: answers, and those that never came
//! ```

mod asked;
mod command;
mod trouble;

use crate::cluster::{ANSWER, Cluster, START};
use crate::lan::Lan;
use crate::process::{Launch, Process};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use asked::digest_in;
pub use asked::{Asked, first_answers};
pub(crate) use command::short;
pub use command::{Push, Pushed, Released};
pub(crate) use trouble::wait_until_status;
pub use trouble::{CutFetch, FullDisk, SMALL_DISK, SMALL_QUOTA};

/// Nodes on all machines of a LAN, which list each other and serve the guest.
#[derive(Debug)]
pub struct Fleet<'lan> {
    cluster: Cluster<'lan>,
    numbers: Vec<u8>,
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
            host.wait_for_line(&["new target"], START)?;
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
        let digest = digest_in(&page).with_context(|| page.clone())?;
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
        let short = short(&digest)?;
        let started = pushed.started;
        let share = |number: &u8| {
            let host = self.host(*number);
            let line = |words: &[&str]| host.wait_for_line_after(started, words, bound);
            let served = line(&["the app changed", short])?.at;
            let heard = line(&["new target", short])?.at;
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

impl Rollout {
    /// From the start of the command until the last node served it.
    pub fn served(&self) -> Duration {
        let served = self.nodes.iter().map(|node| node.served);
        served.max().unwrap_or_default()
    }
}
