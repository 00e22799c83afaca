//! The four nodes: what each says of itself over its `host.sock`, and what its
//! log says when.

use super::draw::HALVES;
use crate::client;
use crate::cluster::{ANSWER, START};
use crate::lan::Lan;
use crate::process::{Line, Process};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(20);

/// A release, as `GET /v1/apps/app/releases` and `host releases --json` show it
/// (docs/api.md).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Release {
    /// 32 hex digits.
    pub(super) id: String,
    /// `bootstrap`, `push` or `rollback`.
    pub(super) kind: String,
    /// `target`, `superseded` and the like.
    pub(super) status: String,
    /// The app.
    pub(super) digest: String,
    /// When it was decided, in milliseconds since 1970-01-01 UTC.
    pub(super) at_ms: u64,
    /// Which node that was.
    pub(super) node: String,
    /// Who wanted it.
    pub(super) by: String,
    /// What they say about it.
    pub(super) note: String,
    /// The id of the release that it follows.
    pub(super) parent: Option<String>,
}

impl Release {
    /// Where it stands in the order of decisions (ARCHITECTURE.md): by the time,
    /// then by node and app. Of two that do not know each other the counter
    /// within the millisecond is 0.
    pub(super) fn rank(&self) -> (u64, &str, &str) {
        (self.at_ms, &self.node, &self.digest)
    }
}

/// `GET /v1/apps/app/releases`.
#[derive(Debug, Deserialize)]
pub(super) struct Releases {
    pub(super) releases: Vec<Release>,
}

/// What is read of `GET /v1/status`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    members: usize,
    serving: Option<Serving>,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Serving {
    digest: String,
}

#[derive(Debug, Deserialize)]
struct Target {
    release: String,
    digest: String,
}

impl Status {
    /// The target, if the node serves its app.
    fn settled(&self) -> Option<&str> {
        let (serving, target) = (self.serving.as_ref()?, self.target.as_ref()?);
        (serving.digest == target.digest).then_some(target.release.as_str())
    }

    /// The app that it serves.
    pub(super) fn serves(&self) -> Option<&str> {
        Some(&self.serving.as_ref()?.digest)
    }
}

/// A node that runs.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) number: u8,
    process: Process,
    socket: PathBuf,
}

impl Node {
    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = client::get_over(&self.socket, path, ANSWER)?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).with_context(|| format!("{path}: {}", answer.text()))
    }

    pub(super) fn status(&self) -> Result<Status> {
        self.get("/v1/status")
    }

    pub(super) fn releases(&self) -> Result<Vec<Release>> {
        self.get::<Releases>("/v1/apps/app/releases")
            .map(|it| it.releases)
    }

    /// The lines of its log from this moment on.
    pub(super) fn log_since(&self, since: Instant) -> Vec<Line> {
        let mut lines = self.process.lines();
        lines.retain(|line| line.at >= since);
        lines
    }
}

/// All four of them.
#[derive(Debug)]
pub(super) struct Nodes(Vec<Node>);

impl Nodes {
    /// Start a node on each machine, and wait until all are of one mind.
    pub(super) fn start(lan: &Lan) -> Result<Self> {
        let mut nodes = Vec::new();
        for number in HALVES.into_iter().flatten() {
            nodes.push(Node {
                number,
                process: lan.host(number).spawn()?,
                socket: lan.machine(number).data_dir().join("host.sock"),
            });
        }
        for node in &nodes {
            node.process.wait_until_ready(START)?;
        }
        let nodes = Self(nodes);
        nodes.wait_until_settled(START)?;
        Ok(nodes)
    }

    pub(super) fn all(&self) -> &[Node] {
        &self.0
    }

    /// Wait until all list all, and serve one release.
    pub(super) fn wait_until_settled(&self, bound: Duration) -> Result<()> {
        let settled = |all: &[Status]| {
            let whole = all.iter().all(|status| status.members == all.len());
            whole && one_release(all).is_some()
        };
        self.wait_for("all to list all and serve one release", bound, settled)
            .map(drop)
    }

    /// Wait until each lists as many as its half has.
    pub(super) fn wait_until_apart(&self, bound: Duration) -> Result<()> {
        let apart = |all: &[Status]| all.iter().all(|it| it.members == HALVES[0].len());
        self.wait_for("each half to list itself", bound, apart)
            .map(drop)
    }

    /// Wait until all serve one release and list the same ones, these two
    /// among them. Returns when, and what they list.
    pub(super) fn wait_until_agreed(
        &self,
        ids: [&str; 2],
        bound: Duration,
    ) -> Result<(Instant, Vec<Release>)> {
        let deadline = Instant::now() + bound;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let serve_one = |all: &[Status]| one_release(all).is_some();
            let at = self.wait_for("all to serve one release", left, serve_one)?;
            let listed: Vec<_> = self.0.iter().map(Node::releases).collect::<Result<_>>()?;
            let (first, others) = listed.split_first().context("there are no nodes")?;
            let has = |id: &&str| first.iter().any(|it| it.id.starts_with(*id));
            if ids.iter().all(has) && others.iter().all(|other| other == first) {
                return Ok((at, first.clone()));
            }
            if Instant::now() > deadline {
                let newest = |it: &Vec<Release>| it.iter().take(4).cloned().collect::<Vec<_>>();
                let newest: Vec<_> = listed.iter().map(newest).collect();
                bail!("they do not list the same releases within {bound:?}: {newest:#?}");
            }
            std::thread::sleep(LOOK);
        }
    }

    fn wait_for(
        &self,
        what: &str,
        bound: Duration,
        holds: impl Fn(&[Status]) -> bool,
    ) -> Result<Instant> {
        let deadline = Instant::now() + bound;
        loop {
            let all: Vec<Status> = self.0.iter().map(Node::status).collect::<Result<_>>()?;
            if holds(&all) {
                return Ok(Instant::now());
            }
            if Instant::now() > deadline {
                bail!("waited {bound:?} for {what}: {all:#?}");
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The release that all of them serve.
fn one_release(all: &[Status]) -> Option<&str> {
    let first = all.first()?.settled()?;
    all.iter()
        .all(|it| it.settled() == Some(first))
        .then_some(first)
}
