//! The table that `cargo xtask lab push` prints: how long it takes until a push
//! is served by every node, what that time goes into, and what becomes of it when
//! something goes wrong on one of them.

mod measure;

use super::table::{IN_TURN, Measured, Row, Table};
use crate::programs::Programs;
use anyhow::{Result, ensure};

/// What is measured, on how many nodes and how often.
#[derive(Clone, Debug)]
pub struct PushPlan {
    /// The programs.
    pub programs: Programs,
    /// How many nodes the large cluster has, 4 to 100.
    pub nodes: u8,
    /// How large the component is that these are pushed, in bytes.
    pub size: usize,
    /// How often each is measured.
    pub rounds: u32,
    /// How many pushes are made under load.
    pub pushes: u32,
    /// Only rows whose name contains this.
    pub only: String,
}

/// Rows that are measured together, on a LAN of their own.
struct Part {
    rows: &'static [Row],
    measure: fn(&PushPlan) -> Result<Measured>,
}

/// Measure, and print the table row by row as it fills.
///
/// # Errors
///
/// If a row could not be measured; the others are all the same. A target that
/// is missed is no error, since it may be the machine's.
pub fn print(plan: &PushPlan) -> Result<()> {
    ensure!(
        (4..=100).contains(&plan.nodes),
        "the large cluster has 4 to 100 nodes, not {}",
        plan.nodes
    );
    let on = format!(
        "3 nodes and {}, a network namespace each, on one bridge",
        plan.nodes
    );
    let how = format!("{} rounds", plan.rounds.max(1));
    let mut table = Table::begin(&on, &how, IN_TURN, &plan.only);
    for part in measure::PARTS {
        if table.wants(part.rows) {
            table.fill(part.rows, (part.measure)(plan));
        }
    }
    table.end("all hosts")
}
