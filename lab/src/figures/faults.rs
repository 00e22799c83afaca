//! The table that `cargo xtask lab faults` prints: what a crowd of nodes on real
//! sockets takes for each fault, and that it raises no false alarm.

mod measure;

use super::table::{IN_TURN, Measured, Row, Table};
use crate::faults::Crowd;
use crate::lan::Lan;
use crate::programs::Programs;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// What is measured, on how many nodes, how often and how long.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// The programs.
    pub programs: Programs,
    /// The fixture whose guests burn: `misbehave`.
    pub misbehave: PathBuf,
    /// How many nodes, 4 to 200.
    pub nodes: u8,
    /// How often each fault happens.
    pub rounds: u32,
    /// How long cables are poor.
    pub poor: Duration,
    /// How long guests burn.
    pub burn: Duration,
    /// How long nothing happens.
    pub idle: Duration,
    /// What the dice of the poor cables begin with.
    pub seed: u64,
    /// Only rows whose name contains this.
    pub only: String,
}

/// Rows that are measured together.
struct Part {
    rows: &'static [Row],
    measure: fn(&mut Session<'_>) -> Result<Measured>,
}

/// A LAN, and the crowd that is on it at the moment.
struct Session<'lan> {
    plan: &'lan FaultPlan,
    lan: &'lan Lan,
    crowd: Option<Crowd<'lan>>,
}

impl<'lan> Session<'lan> {
    /// A crowd that serves the guest: the one that is there, or a new one.
    fn crowd(&mut self) -> Result<&mut Crowd<'lan>> {
        if self.crowd.is_none() {
            let (crowd, _) = Crowd::start(self.lan, self.plan.programs.app(), measure::BOUND)?;
            self.crowd = Some(crowd);
        }
        self.crowd.as_mut().context("no crowd")
    }

    /// One fault in each round, each at another node.
    fn each_round<const ROWS: usize>(
        &mut self,
        fault: impl Fn(&mut Crowd<'lan>, u8) -> Result<[Duration; ROWS]>,
    ) -> Result<Measured> {
        let rounds = self.plan.rounds.max(1) as usize;
        let crowd = self.crowd()?;
        let mut values = vec![Vec::new(); ROWS];
        for round in 0..rounds {
            let victim = crowd.victim(round);
            for (row, took) in values.iter_mut().zip(fault(crowd, victim)?) {
                row.push(took.as_secs_f64());
            }
        }
        Ok(Measured {
            values,
            note: String::new(),
        })
    }
}

/// Measure, and print the table row by row as it fills.
///
/// # Errors
///
/// If a row could not be measured; the others are all the same. A target that
/// is missed is no error, since it may be the machine's.
pub fn print(plan: &FaultPlan) -> Result<()> {
    ensure!(
        (4..=200).contains(&plan.nodes),
        "a crowd has 4 to 200 nodes, not {}",
        plan.nodes
    );
    let lan = Lan::new(plan.programs.clone(), plan.nodes)?;
    let mut session = Session {
        plan,
        lan: &lan,
        crowd: None,
    };
    let on = format!(
        "{} nodes, a network namespace each, on one bridge",
        plan.nodes
    );
    let how = format!("{} rounds, seed {}", plan.rounds.max(1), plan.seed);
    let mut table = Table::begin(&on, &how, IN_TURN, &plan.only);
    for part in measure::PARTS {
        if !table.wants(part.rows) {
            continue;
        }
        let measured = (part.measure)(&mut session);
        if measured.is_err() {
            // Whatever state it is in: the next part begins with another.
            session.crowd = None;
        }
        table.fill(part.rows, measured);
    }
    table.end(&format!("{} hosts", plan.nodes))
}
