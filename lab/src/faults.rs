//! A crowd: a node on every machine of a LAN, and the faults that a simulation
//! cannot show. Each fault is one function that lets it happen, waits until the
//! crowd is whole again, and tells how long that took. The tests call them under
//! a bound, the lab calls them for the figures.

mod calm;

use crate::cluster::Cluster;
use crate::events::{Absence, Join};
use crate::lan::Lan;
use crate::process::Process;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::{Duration, Instant};

pub use calm::{Alarms, Burn, Deaf, Idle};

/// A node on every machine of a LAN, all of which list all.
#[derive(Debug)]
pub struct Crowd<'lan> {
    cluster: Cluster<'lan>,
    numbers: Vec<u8>,
}

/// How long the two sides of a cut took to see it, and to be whole again.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// From the fault until all others list all but the one.
    pub noticed: Duration,
    /// From the fault until the one lists itself alone.
    pub alone: Duration,
    /// From its end until all list all.
    pub healed: Duration,
}

impl<'lan> Crowd<'lan> {
    /// Start a node on every machine that serves this component, one after the
    /// other: each derives its keys and compiles the app itself, and side by
    /// side they would wait for processors, not for each other. Returns how long
    /// it took from the third on until all list each new one.
    ///
    /// # Errors
    ///
    /// If one is not ready within [`crate::cluster::START`], or not listed within the bound.
    pub fn start(lan: &'lan Lan, app: &Path, bound: Duration) -> Result<(Self, Vec<Join>)> {
        let mut crowd = Self {
            cluster: Cluster::start(lan, &[])?,
            numbers: Vec::new(),
        };
        let mut joins = Vec::new();
        for machine in lan.machines() {
            let number = machine.number();
            let command = lan.host(number).flag("--app", app);
            let (started, ready) = crowd.cluster.join_as(number, &command)?;
            crowd.numbers.push(number);
            let listed = crowd.whole(bound)?;
            if crowd.numbers.len() > 2 {
                joins.push(Join {
                    since_start: listed.saturating_duration_since(started),
                    since_ready: listed.saturating_duration_since(ready),
                });
            }
        }
        Ok((crowd, joins))
    }

    /// The machines of its nodes.
    pub fn numbers(&self) -> &[u8] {
        &self.numbers
    }

    /// The machine whose turn it is in this round: faults go round, so that not
    /// one place in the cluster makes the figure.
    pub fn victim(&self, round: usize) -> u8 {
        // Three and the usual sizes have no common factor.
        let at = (round * 3 + 2) % self.numbers.len().max(1);
        self.numbers.get(at).copied().unwrap_or(2)
    }

    /// One is killed with signal 9. Until all others know; then it is started
    /// again, until all list all.
    ///
    /// # Errors
    ///
    /// If either takes longer than the bound.
    pub fn kill(&mut self, victim: u8, bound: Duration) -> Result<(Duration, Join)> {
        let killed = self.cluster.host(victim).kill()?;
        let noticed = self.others_know(victim, bound)? - killed;
        let (started, ready) = self.cluster.restart(victim)?;
        let listed = self.whole(bound)?;
        let back = Join {
            since_start: listed.saturating_duration_since(started),
            since_ready: listed.saturating_duration_since(ready),
        };
        Ok((noticed, back))
    }

    /// One hangs (SIGSTOP), and goes on (SIGCONT) when all others know.
    ///
    /// # Errors
    ///
    /// If either takes longer than the bound.
    pub fn hang(&mut self, victim: u8, bound: Duration) -> Result<Absence> {
        let frozen = self.cluster.host(victim).freeze()?;
        let noticed = self.others_know(victim, bound)? - frozen;
        let thawed = self.cluster.host(victim).thaw()?;
        // What it listed when it froze may still be its newest view: it counts
        // only that all agree.
        let healed = self.whole(bound)?.saturating_duration_since(thawed);
        Ok(Absence { noticed, healed })
    }

    /// The cable of one is pulled, and plugged in again when both sides know.
    ///
    /// # Errors
    ///
    /// If any of it takes longer than the bound.
    pub fn cut(&mut self, victim: u8, bound: Duration) -> Result<Cut> {
        let lan = self.cluster.lan();
        let cut = Instant::now();
        lan.cut(victim)?;
        let noticed = self.others_know(victim, bound)? - cut;
        let alone = self.cluster.wait_until_lists(victim, &[victim], bound)? - cut;
        let mended = Instant::now();
        lan.mend(victim)?;
        let healed = self.whole(bound)?.saturating_duration_since(mended);
        Ok(Cut {
            noticed,
            alone,
            healed,
        })
    }

    /// The LAN falls into two halves, which become one again when each node
    /// lists exactly its half.
    ///
    /// # Errors
    ///
    /// If either takes longer than the bound.
    pub fn split(&mut self, bound: Duration) -> Result<Absence> {
        let lan = self.cluster.lan();
        let (here, there) = self.numbers.split_at(self.numbers.len() / 2);
        let split = Instant::now();
        lan.split_off(there)?;
        let one = self.cluster.wait_until_all_list(here, bound)?;
        let other = self.cluster.wait_until_all_list(there, bound)?;
        let mended = Instant::now();
        lan.reunite(there)?;
        let healed = self.whole(bound)?.saturating_duration_since(mended);
        Ok(Absence {
            noticed: one.max(other) - split,
            healed,
        })
    }

    /// Wait until all list all. Returns when the last of them began to.
    fn whole(&mut self, bound: Duration) -> Result<Instant> {
        self.cluster.wait_until_all_list(&self.numbers, bound)
    }

    /// Wait until all but this one list all but this one.
    fn others_know(&mut self, victim: u8, bound: Duration) -> Result<Instant> {
        let mut others = self.numbers.clone();
        others.retain(|number| *number != victim);
        self.cluster.wait_until_all_list(&others, bound)
    }

    /// Their hosts.
    fn hosts(&self) -> impl Iterator<Item = &Process> {
        self.numbers.iter().map(|number| self.cluster.host(*number))
    }

    /// The processor time that all of them have taken so far.
    fn processor_time(&self) -> Result<Duration> {
        self.hosts()
            .map(Process::processor_time)
            .sum::<Result<Duration>>()
            .context("a node has ended")
    }
}
