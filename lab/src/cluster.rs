//! Nodes that are up on a LAN, and what each of them lists.
//!
//! What a node lists is read from its own `/updates`, on its own machine, so it
//! can be watched while its cable is out.

use crate::client::Sse;
use crate::lan::Lan;
use crate::process::{Launch, Process};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A host may take so long until it is ready: the key derivation, and
/// compiling the app on a busy machine.
pub const START: Duration = Duration::from_secs(30);

/// A request that is answered at all is answered within this.
pub const ANSWER: Duration = Duration::from_secs(5);

/// Some nodes of a LAN.
#[derive(Debug)]
pub struct Cluster<'lan> {
    lan: &'lan Lan,
    nodes: BTreeMap<u8, Node>,
}

#[derive(Debug)]
struct Node {
    host: Process,
    command: Launch,
    watch: Watch,
}

impl<'lan> Cluster<'lan> {
    /// Start a node on each of these machines, and wait until each lists all.
    ///
    /// # Errors
    ///
    /// If they do not within [`START`], with what they printed.
    pub fn start(lan: &'lan Lan, numbers: &[u8]) -> Result<Self> {
        let mut cluster = Self {
            lan,
            nodes: BTreeMap::new(),
        };
        let commands: Vec<_> = numbers
            .iter()
            .map(|number| (*number, lan.host(*number)))
            .collect();
        // All are spawned before any is awaited.
        let mut hosts = Vec::new();
        for (number, command) in commands {
            let host = command.spawn()?;
            hosts.push((number, command, host));
        }
        for (number, command, host) in hosts {
            cluster.adopt(number, command, host)?;
        }
        if !numbers.is_empty() {
            cluster.wait_until_all_list(numbers, START)?;
        }
        Ok(cluster)
    }

    /// Start a node on machine N and wait until it is ready. Returns when it
    /// was started and when it was ready.
    ///
    /// # Errors
    ///
    /// If it is not ready within [`START`].
    pub fn join(&mut self, number: u8) -> Result<(Instant, Instant)> {
        self.join_as(number, &self.lan.host(number))
    }

    /// As [`Cluster::join`], with this command instead of the usual one.
    ///
    /// # Errors
    ///
    /// If it is not ready within [`START`].
    pub fn join_as(&mut self, number: u8, command: &Launch) -> Result<(Instant, Instant)> {
        // Of a restarted node the old process goes before the new one comes.
        self.nodes.remove(&number);
        let host = command.spawn()?;
        let started = host.started();
        let ready = self.adopt(number, command.clone(), host)?;
        Ok((started, ready))
    }

    /// Start node N again as it was started before, after it has ended.
    ///
    /// # Errors
    ///
    /// As [`Cluster::join`].
    ///
    /// # Panics
    ///
    /// If none was started there: the test is wrong.
    pub fn restart(&mut self, number: u8) -> Result<(Instant, Instant)> {
        let command = self.node(number).command.clone();
        self.join_as(number, &command)
    }

    /// The LAN it is on.
    pub fn lan(&self) -> &'lan Lan {
        self.lan
    }

    /// The host on machine N.
    ///
    /// # Panics
    ///
    /// If none was started there: the test is wrong.
    pub fn host(&self, number: u8) -> &Process {
        &self.node(number).host
    }

    /// Wait until node N lists exactly these. Returns when it began to.
    ///
    /// # Errors
    ///
    /// If it does not within the bound: with what it lists, and what all
    /// printed.
    pub fn wait_until_lists(
        &mut self,
        number: u8,
        expected: &[u8],
        bound: Duration,
    ) -> Result<Instant> {
        let Some(node) = self.nodes.get_mut(&number) else {
            bail!("no node {number}")
        };
        match node.watch.wait_for(&names(expected), bound) {
            Ok(at) => Ok(at),
            Err(lists) => bail!(
                "node {number} does not list {expected:?} within {bound:?}, but {lists:?}\n{}",
                self.output()
            ),
        }
    }

    /// Wait until each of these nodes lists exactly all of these. Returns when
    /// the last of them began to.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_until_lists`].
    pub fn wait_until_all_list(&mut self, numbers: &[u8], bound: Duration) -> Result<Instant> {
        self.wait_until_each_lists(numbers, numbers, bound)
    }

    /// Wait until each of `numbers` lists exactly `expected`. Returns when the
    /// last of them began to.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_until_lists`].
    pub fn wait_until_each_lists(
        &mut self,
        numbers: &[u8],
        expected: &[u8],
        bound: Duration,
    ) -> Result<Instant> {
        let deadline = Instant::now() + bound;
        let mut last: Option<Instant> = None;
        for number in numbers {
            let left = deadline.saturating_duration_since(Instant::now());
            last = last.max(Some(self.wait_until_lists(*number, expected, left)?));
        }
        last.context("no node was named")
    }

    /// The views that node N has told since they were last asked for, oldest
    /// first. Does not wait.
    pub fn views_of(&mut self, number: u8) -> Vec<Vec<String>> {
        self.nodes
            .get_mut(&number)
            .map(|node| node.watch.drain())
            .unwrap_or_default()
    }

    /// What all nodes have printed, for a failure to show.
    pub fn output(&self) -> String {
        let mut output = String::new();
        for (number, node) in &self.nodes {
            output.push_str(&format!("node {number} printed:\n{}", node.host.output()));
        }
        output
    }

    /// End node N and forget it.
    pub fn remove(&mut self, number: u8) {
        self.nodes.remove(&number);
    }

    fn node(&self, number: u8) -> &Node {
        self.nodes
            .get(&number)
            .unwrap_or_else(|| panic!("no node on machine {number}"))
    }

    /// Wait until the host is ready, and watch it from then on.
    fn adopt(&mut self, number: u8, command: Launch, host: Process) -> Result<Instant> {
        let ready = host.wait_until_ready(START)?;
        let machine = self.lan.machine(number);
        let watch = Watch::of(machine.follow(&format!("{}/updates", machine.url()), ANSWER)?);
        let node = Node {
            host,
            command,
            watch,
        };
        self.nodes.insert(number, node);
        Ok(ready.at)
    }
}

/// The names of the nodes on these machines.
pub fn names(numbers: &[u8]) -> Vec<String> {
    numbers
        .iter()
        .map(|number| format!("example@10.10.10.{number}"))
        .collect()
}

/// One node's `/updates`, and the newest view it told.
#[derive(Debug)]
pub struct Watch {
    stream: Sse,
    newest: Option<(Instant, Vec<String>)>,
    unread: Vec<Vec<String>>,
}

impl Watch {
    /// Watch this stream.
    pub fn of(stream: Sse) -> Self {
        Self {
            stream,
            newest: None,
            unread: Vec::new(),
        }
    }

    /// Wait until the newest view is this. Returns when it came.
    ///
    /// # Errors
    ///
    /// The newest view, if it is not this one within the bound.
    pub fn wait_for(
        &mut self,
        expected: &[String],
        bound: Duration,
    ) -> Result<Instant, Vec<String>> {
        let deadline = Instant::now() + bound;
        loop {
            // What has come already goes first: the newest view counts.
            while self.take(Duration::ZERO) {}
            match &self.newest {
                Some((at, view)) if view == expected => return Ok(*at),
                _ => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.take(left) {
                return Err(self.newest.take().map(|(_, view)| view).unwrap_or_default());
            }
        }
    }

    fn drain(&mut self) -> Vec<Vec<String>> {
        while self.take(Duration::ZERO) {}
        std::mem::take(&mut self.unread)
    }

    /// Take in one event if one comes within the bound.
    fn take(&mut self, bound: Duration) -> bool {
        let Some(event) = self.stream.next(bound) else {
            return false;
        };
        if event.event == "nodes"
            && let Ok(view) = serde_json::from_str::<Vec<String>>(&event.data)
        {
            self.unread.push(view.clone());
            self.newest = Some((event.at, view));
        }
        true
    }
}
