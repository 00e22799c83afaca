//! The figures: what is measured, at which sizes, and with which goal. One row of the table is
//! one [`Figure`]. [`CASES`] is the list; `runs` and `fetches` contain the runs that give the
//! values. To add a row, add a case.

mod course;
mod fetches;
mod runs;

use std::time::Duration;

use super::Lan;

pub use self::runs::{CASES, HOUR};

/// The cluster sizes at which figures are measured.
pub const SIZES: [usize; 4] = [3, 50, 254, 1000];

/// One experiment, which gives values for one or more figures.
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// The default sizes at which it is measured.
    pub sizes: &'static [usize],
    /// How many seeds are enough at a size.
    pub seeds: fn(nodes: usize) -> u64,
    /// What it measures.
    pub figures: &'static [Figure],
    /// Runs it once, and notes every value of each figure that it gets.
    pub run: fn(&mut Lan, nodes: usize, &mut Notes),
}

/// Something that is measured.
pub struct Figure {
    /// Its name in the table.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The goal at a size; none if the figure is only watched.
    pub target: fn(nodes: usize) -> Option<Goal>,
}

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Thousands of bytes per second.
    KilobytesPerSecond,
    /// How many of something.
    Count,
}

/// The highest values that meet the goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// For the median.
    pub p50: f64,
    /// For the 99th percentile.
    pub p99: f64,
}

impl Goal {
    /// Whether a median and a 99th percentile meet the goal. Without values they do not.
    pub fn is_met(&self, p50: Option<f64>, p99: Option<f64>) -> bool {
        p50.is_some_and(|p50| p50 <= self.p50) && p99.is_some_and(|p99| p99 <= self.p99)
    }
}

/// The values of one size, for each figure of a case.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    values: Vec<Vec<f64>>,
    /// How long the runs took in virtual time.
    pub simulated: Duration,
    /// How many datagrams reached a node.
    pub datagrams: u64,
}

impl Notes {
    /// Notes for this number of figures.
    pub fn new(figures: usize) -> Self {
        Self {
            values: vec![Vec::new(); figures],
            ..Self::default()
        }
    }

    /// Notes a value of a figure. An infinite value means that it was not reached in time.
    pub fn note(&mut self, figure: usize, value: f64) {
        self.values[figure].push(value);
    }

    /// Adds what another run has noted.
    pub fn add(&mut self, other: Notes) {
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            mine.extend(theirs);
        }
        self.simulated += other.simulated;
        self.datagrams += other.datagrams;
    }

    /// How many values a figure has.
    pub fn count(&self, figure: usize) -> usize {
        self.values[figure].len()
    }

    /// The value that this share of a figure's values does not exceed (nearest rank). None
    /// without values.
    pub fn percentile(&self, figure: usize, share: f64) -> Option<f64> {
        let mut sorted = self.values[figure].clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
    }
}

/// Runs a case once, with one seed.
pub fn measure(case: &Case, nodes: usize, seed: u64) -> Notes {
    let mut notes = Notes::new(case.figures.len());
    let mut lan = Lan::new(seed);
    (case.run)(&mut lan, nodes, &mut notes);
    notes.simulated = lan.now.since_start();
    notes.datagrams = lan.machines.iter().map(|machine| machine.received.0).sum();
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut notes = Notes::new(2);
        (1..=200).rev().for_each(|n| notes.note(0, f64::from(n)));
        assert_eq!(notes.percentile(0, 0.5), Some(100.0));
        assert_eq!(notes.percentile(0, 0.99), Some(198.0));
        assert_eq!(notes.percentile(0, 1.0), Some(200.0));
        assert_eq!(notes.percentile(1, 0.5), None);
    }

    #[test]
    fn a_case_gives_the_same_values_for_the_same_seed() {
        let case = CASES
            .iter()
            .find(|case| case.name == "cut")
            .expect("a case");
        let (one, other) = (measure(case, 3, 7), measure(case, 3, 7));
        assert_eq!(one.values, other.values);
        assert!(one.count(0) > 0);
        assert_ne!(one.values, measure(case, 3, 8).values);
    }
}
