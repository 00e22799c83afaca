//! Nodes that take only what a deploy key has signed, each on its machine; what
//! they count and tell, and what must not change on them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::release::Release;
use lab::cluster::{ANSWER, START};
use lab::process::Line;
use lab::{Lan, Launch, Process, Programs};
use mesh::control::Refuse;
use serde_json::Value;

use crate::liar::Liar;

/// What must come, comes within this. Reached only by a test that fails.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
/// Between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(20);

/// The cluster's port, UDP and TCP.
pub(crate) const PORT: u16 = 8383;
/// The machines of the nodes, that of the liar, and one for a node that comes
/// later.
pub(crate) const NODES: [u8; 2] = [2, 3];
pub(crate) const LIAR: u8 = 4;
pub(crate) const NEW: u8 = 5;

/// The notes of the releases that the deploy key has signed.
pub(crate) const FIRST: &str = "the first";
pub(crate) const SECOND: &str = "the second";

/// The machines, or none where there can be none.
pub(crate) fn lan() -> Result<Option<Lan>> {
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
    Ok(Lan::or_skip(programs, 4))
}

/// One of the three releases of the counter: `/` answers with their name.
pub(crate) fn counter(lan: &Lan, version: u8) -> Result<Vec<u8>> {
    let package = format!("fixture-counter-v{version}");
    Ok(std::fs::read(lan.programs().component(&package))?)
}

pub(crate) struct Scene<'lan> {
    pub(crate) lan: &'lan Lan,
    /// The file of the deploy key, and its public half.
    key: String,
    public: String,
    pub(crate) nodes: [Process; 2],
}

impl<'lan> Scene<'lan> {
    /// Two nodes that list each other, and serve nothing.
    pub(crate) fn new(lan: &'lan Lan) -> Result<Self> {
        let key = lan.scratch().join("deploy.key").display().to_string();
        let generate = Launch::new(lan.programs().host());
        let said = end(&generate.args(["key", "new", "--cluster", "test", &key]))?;
        let public = said
            .split_whitespace()
            .find(|word| word.starts_with("test:"));
        let public = public.context("no public key of the cluster `test` in what it says")?;
        let nodes = NODES.map(|node| launch(lan, node, public).spawn());
        let [first, second] = nodes;
        let scene = Self {
            lan,
            public: public.to_owned(),
            key,
            nodes: [first?, second?],
        };
        for node in &scene.nodes {
            node.wait_until_ready(START)?;
            node.wait_for_line(&["member up"], BOUND)?;
        }
        Ok(scene)
    }

    /// They serve the second of two releases.
    pub(crate) fn with_two_releases(lan: &'lan Lan) -> Result<Self> {
        let scene = Self::new(lan)?;
        for (version, note) in [(1, FIRST), (2, SECOND)] {
            scene.push(2, version, note)?;
        }
        Ok(scene)
    }

    /// Releases a counter on a node, signed, until both serve it.
    pub(crate) fn push(&self, node: u8, version: u8, note: &str) -> Result<()> {
        let package = format!("fixture-counter-v{version}");
        let app = self.lan.programs().component(&package);
        let push = self.lan.tool(node, &["push", "--sign-with", &self.key]);
        end(&push.arg("--note").arg(note).arg(app)).map(drop)
    }

    /// Starts a node as the two were started.
    pub(crate) fn start(&self, node: u8) -> Result<Process> {
        let process = launch(self.lan, node, &self.public).spawn()?;
        process.wait_until_ready(START)?;
        Ok(process)
    }

    /// What a node answers to `GET /` now.
    pub(crate) fn serves(&self, node: u8) -> Result<String> {
        let machine = self.lan.machine(node);
        Ok(machine.get(&machine.url(), ANSWER)?.text())
    }

    /// What `host status` or `host releases` says to programs.
    pub(crate) fn json(&self, node: u8, what: &str) -> Result<Value> {
        let said = end(&self.lan.tool(node, &[what, "--json"]))?;
        serde_json::from_str(&said).with_context(|| said.clone())
    }

    /// All that must not change on either node: what it answers, what it is to
    /// serve, what is listed.
    pub(crate) fn known(&self) -> Result<Vec<Value>> {
        let mut known = Vec::new();
        for node in NODES {
            known.push(self.serves(node)?.into());
            known.push(self.json(node, "status")?["target"].clone());
            known.push(self.json(node, "releases")?["releases"].clone());
        }
        Ok(known)
    }

    /// What either node has counted.
    pub(crate) fn counted(&self, pointer: &str) -> Result<[u64; 2]> {
        let mut counted = [0; 2];
        for (counted, node) in counted.iter_mut().zip(NODES) {
            let status = self.json(node, "status")?;
            let number = status.pointer(pointer).and_then(Value::as_u64);
            *counted = number.with_context(|| format!("no {pointer} in {status:#}"))?;
        }
        Ok(counted)
    }

    /// Does something until either node has counted so much.
    pub(crate) fn until_counted(
        &self,
        pointer: &str,
        least: [u64; 2],
        mut act: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            act()?;
            let counted = self.counted(pointer)?;
            if counted.iter().zip(least).all(|(it, least)| *it >= least) {
                return Ok(());
            }
            ensure!(began.elapsed() < BOUND, "{pointer}: {counted:?}");
            std::thread::sleep(LOOK);
        }
    }

    /// Makes sure that a node has told of what it refused from this machine, in
    /// these words: not of each datagram, but of all in a minute.
    pub(crate) fn told_once(&self, at: usize, of: u8, words: &str, since: Instant) -> Result<()> {
        let (node, source) = (&self.nodes[at], format!("10.10.10.{of}:"));
        node.wait_for_line(&["datagrams refused", &source, words], BOUND)?;
        let is_of_it = |line: &&Line| line.text.contains("refused") && line.text.contains(&source);
        let told = node.lines().iter().filter(is_of_it).count();
        let minutes = usize::try_from(since.elapsed().as_secs() / 60)?;
        ensure!(told <= 1 + minutes, "{}", node.output());
        Ok(())
    }

    /// Makes sure that `host status` tells a person of this, on both nodes.
    pub(crate) fn a_person_is_told(&self, words: &str) -> Result<()> {
        for node in NODES {
            let status = end(&self.lan.tool(node, &["status"]))?;
            ensure!(status.contains(words), "a person is not told: {status}");
        }
        Ok(())
    }

    /// Lets a liar tell of what it makes up. Both nodes are to refuse that,
    /// count it as this and tell of it in these words, and nothing is to change.
    pub(crate) fn refuse(
        &self,
        counter: &str,
        words: &str,
        lie: impl FnOnce(&Liar) -> Result<Arc<Release>>,
    ) -> Result<()> {
        let known = self.known()?;
        let began = Instant::now();
        let liar = Liar::join(self.lan, Arc::new(Refuse), None)?;
        let lie = lie(&liar)?;
        self.until_counted(&format!("/records/{counter}"), [1; 2], || liar.tells(&lie))?;
        let reason = format!("/datagrams/refused_by/{counter}");
        self.until_counted(&reason, [1; 2], || Ok(()))?;
        liar.is_on(self.lan.machine(LIAR))?;
        for at in 0..self.nodes.len() {
            self.told_once(at, LIAR, words, began)?;
        }
        self.a_person_is_told(&format!(" {counter})"))?;
        let knows = self.known()?;
        ensure!(knows == known, "{known:#?}\nnow {knows:#?}");
        Ok(())
    }
}

/// How a node is started that takes only what this key has signed, and has no app
/// of its own.
fn launch(lan: &Lan, node: u8, public: &str) -> Launch {
    let usual = lan.host(node).without("--app");
    usual.flag("--deploy-key", public)
}

/// Runs a command that is to succeed. Says what it said.
fn end(command: &Launch) -> Result<String> {
    let command = command.spawn()?;
    let (status, _) = command.wait_for_end(BOUND)?;
    ensure!(status.success(), "{status}: {}", command.output());
    let lines = command.lines().into_iter().map(|line| line.text + "\n");
    Ok(lines.collect())
}
