//! The table that `cargo xtask lab rollouts` prints: how long it takes until a
//! release that fails is left, who has served it until then, and what becomes of a
//! release when somebody is killed who has a part in it.

mod measure;

use super::table::{Measured, Row, Table};
use crate::programs::Programs;
use anyhow::Result;

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct RolloutPlan {
    /// The programs. The fixtures lie beside them.
    pub programs: Programs,
    /// How often each is measured.
    pub rounds: u32,
    /// Only rows whose name contains this.
    pub only: String,
}

/// Rows that are measured together, on a LAN of their own.
struct Part {
    rows: &'static [Row],
    measure: fn(&RolloutPlan) -> Result<Measured>,
}

/// Measure, and print the table row by row as it fills.
///
/// # Errors
///
/// If a row could not be measured; the others are all the same. A target that
/// is missed is no error, since it may be the machine's.
pub fn print(plan: &RolloutPlan) -> Result<()> {
    let on = "3 nodes, or 4 where the LAN is cut, a network namespace each, on one bridge";
    let how = format!("{} rounds", plan.rounds.max(1));
    let started = "nodes start at once, each with an empty cache of compiled code";
    let mut table = Table::begin(on, &how, started, &plan.only);
    for part in measure::PARTS {
        if table.wants(part.rows) {
            table.fill(part.rows, (part.measure)(plan));
        }
    }
    table.end("all hosts")
}
