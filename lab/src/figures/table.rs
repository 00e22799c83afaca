//! A table of figures that fills row by row, as the measurements come in. What
//! was measured flows in; lines on standard output flow out.

use super::{Summary, Target, machine};
use anyhow::{Result, ensure};
use std::time::Duration;

/// One line of a table.
pub(super) struct Row {
    pub(super) event: &'static str,
    pub(super) target: Target,
    /// Whether so many hosts on few processors make the figure, more than the
    /// network does.
    pub(super) is_crowded: bool,
}

/// What was measured together.
pub(super) struct Measured {
    /// All values of each row, in the order of the rows.
    pub(super) values: Vec<Vec<f64>>,
    /// What the reader of the figures has to know.
    pub(super) note: String,
}

/// A row of which the network, or a timer of the protocol, makes the figure.
pub(super) const fn row(event: &'static str, target: Target) -> Row {
    Row {
        event,
        target,
        is_crowded: false,
    }
}

/// A row of which the processors make the figure.
pub(super) const fn crowded(event: &'static str, target: Target) -> Row {
    Row {
        event,
        target,
        is_crowded: true,
    }
}

/// At most so long.
pub(super) const fn time(target: Duration) -> Target {
    Target::Seconds(target.as_secs_f64())
}

/// How nodes are started that come one after the other.
pub(super) const IN_TURN: &str =
    "nodes start one after the other, each with an empty cache of compiled code";

/// The rows that are wanted, and how many of them came to nothing.
pub(super) struct Table<'plan> {
    only: &'plan str,
    missed: u32,
    failed: u32,
}

impl<'plan> Table<'plan> {
    /// Print the head. `on`: what is measured on; `how`: how often; `started`: how
    /// the nodes come to be; `only`: a part of the names of the rows that are wanted.
    pub(super) fn begin(on: &str, how: &str, started: &str, only: &'plan str) -> Self {
        println!("{on}; {}; {how}", machine());
        println!("{started}");
        println!(
            "{:<58} {:>11} {:>11} {:>11}  met",
            "event", "target", "p50", "worst"
        );
        Self {
            only,
            missed: 0,
            failed: 0,
        }
    }

    /// Whether any of these rows is wanted.
    pub(super) fn wants(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| row.event.contains(self.only))
    }

    /// Print these rows.
    pub(super) fn fill(&mut self, rows: &[Row], measured: Result<Measured>) {
        match measured {
            Ok(measured) => {
                for (row, values) in rows.iter().zip(measured.values) {
                    self.missed += u32::from(!print_row(row, values));
                }
                for line in measured.note.lines() {
                    println!("    {line}");
                }
            }
            Err(error) => {
                for row in rows {
                    println!("{:<58} {:>11} not measured", row.event, row.target);
                    self.failed += 1;
                }
                println!("    {error:#}");
            }
        }
    }

    /// Print the foot. `hosts`: what the rows of the processors are made by.
    ///
    /// # Errors
    ///
    /// If a row could not be measured.
    pub(super) fn end(self, hosts: &str) -> Result<()> {
        println!("* {hosts} share the processors, and this figure shows it");
        println!("{} of these miss their target on this machine", self.missed);
        ensure!(
            self.failed == 0,
            "{} rows could not be measured; the reasons are above",
            self.failed
        );
        Ok(())
    }
}

/// Returns whether the target was met by the typical value.
fn print_row(row: &Row, values: Vec<f64>) -> bool {
    let event = format!("{}{}", row.event, if row.is_crowded { " *" } else { "" });
    let Some(summary) = Summary::of(row.target, values) else {
        println!("{event:<58} {:>11} no value", row.target);
        return false;
    };
    println!(
        "{event:<58} {:>11} {:>11} {:>11}  {}",
        row.target,
        row.target.show(summary.typical),
        row.target.show(summary.worst),
        summary.met
    );
    summary.met != "no"
}
