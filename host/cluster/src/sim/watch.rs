//! Watches the network: lets time pass until a condition holds, and shows what nodes list and
//! have reported.

use std::cmp::Reverse;
use std::time::Duration;

use crate::{Effect, NodeName};

use super::{Lan, LogEntry};

impl Lan {
    /// Runs until the condition holds; returns how long that took. The condition is checked
    /// whenever a node reports something.
    ///
    /// # Panics
    /// If the condition does not hold in time.
    pub fn wait(&mut self, within: Duration, what: &str, until: impl Fn(&Lan) -> bool) -> Duration {
        self.within(within, until).unwrap_or_else(|| {
            self.explain();
            panic!("seed {}: not within {within:?}: {what}", self.seed);
        })
    }

    /// Like `wait`, but returns none if the condition does not hold in time.
    pub fn within(&mut self, within: Duration, until: impl Fn(&Lan) -> bool) -> Option<Duration> {
        let start = self.now;
        let mut seen = usize::MAX;
        loop {
            if seen != self.log.len() {
                seen = self.log.len();
                if until(self) {
                    return Some(self.now.since(start));
                }
            }
            let next = self.queue.peek().map(|Reverse(queued)| queued.at);
            if next.is_none_or(|at| at.since(start) > within) {
                return None;
            }
            self.step();
        }
    }

    /// Runs for this long.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self
            .queue
            .peek()
            .is_some_and(|Reverse(queued)| queued.at <= end)
        {
            self.step();
        }
        self.now = end;
    }

    /// The names that a node lists.
    pub fn listed(&self, machine: usize) -> Vec<String> {
        let node = self.machines[machine].node.as_ref();
        node.map_or(Vec::new(), |node| {
            node.view()
                .members
                .iter()
                .map(|member| member.name.to_string())
                .collect()
        })
    }

    /// Whether each of these nodes lists exactly these nodes.
    pub fn agree(&self, on: &[usize]) -> bool {
        let mut names: Vec<NodeName> = on.iter().map(|&m| self.machines[m].name.clone()).collect();
        names.sort();
        on.iter().all(|&machine| {
            self.machines[machine].node.as_ref().is_some_and(|node| {
                node.view()
                    .members
                    .iter()
                    .map(|member| &member.name)
                    .eq(&names)
            })
        })
    }

    /// The reports since the log had this length.
    pub fn since(&self, log_length: usize) -> impl Iterator<Item = &LogEntry> {
        self.log[log_length..].iter()
    }

    /// How many members came up or went down, in all views, since then.
    pub fn changes_since(&self, log_length: usize) -> usize {
        let change = |entry: &&LogEntry| {
            matches!(
                entry.effect,
                Effect::Up { .. } | Effect::Down { .. } | Effect::View(_)
            )
        };
        self.since(log_length).filter(change).count()
    }

    /// The last `most` reports, as text.
    pub(super) fn log_tail(&self, most: usize) -> Vec<String> {
        let tail = &self.log[self.log.len().saturating_sub(most)..];
        let line = |entry: &LogEntry| {
            format!("{} machine {}: {:?}", entry.at, entry.machine, entry.effect)
        };
        tail.iter().map(line).collect()
    }

    /// Prints the end of the log and the views, for a person.
    pub(super) fn explain(&self) {
        for line in self.log_tail(40) {
            eprintln!("{line}");
        }
        for machine in 0..self.machines.len().min(8) {
            eprintln!("machine {machine} lists {:?}", self.listed(machine));
        }
    }
}
