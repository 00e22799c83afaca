//! The table that `cargo xtask lab faults` prints: what a crowd of nodes on real
//! sockets takes for each fault, and that it raises no false alarm.

mod measure;

use super::{Summary, Target, machine};
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
    pub soak: Duration,
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

/// One line of the table.
struct Row {
    event: &'static str,
    target: Target,
    /// Whether so many hosts on few processors make the figure, more than the
    /// network does.
    is_crowded: bool,
}

/// What a part measured.
struct Measured {
    /// All values of each row, in the order of the rows.
    values: Vec<Vec<f64>>,
    /// What the reader of the figures has to know.
    note: String,
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
    print_head(plan);
    let (mut missed, mut failed) = (0, 0);
    for part in measure::PARTS {
        if !part.rows.iter().any(|row| row.event.contains(&plan.only)) {
            continue;
        }
        match (part.measure)(&mut session) {
            Ok(measured) => {
                for (row, values) in part.rows.iter().zip(measured.values) {
                    missed += u32::from(!print_row(row, values));
                }
                for line in measured.note.lines() {
                    println!("    {line}");
                }
            }
            Err(error) => {
                for row in part.rows {
                    println!("{:<58} {:>11} not measured", row.event, row.target);
                    failed += 1;
                }
                println!("    {error:#}");
                // Whatever state it is in: the next part begins with another.
                session.crowd = None;
            }
        }
    }
    println!(
        "* {} hosts share the processors, and this figure shows it",
        plan.nodes
    );
    println!("{missed} of these miss their target on this machine");
    ensure!(
        failed == 0,
        "{failed} rows could not be measured; the reasons are above"
    );
    Ok(())
}

fn print_head(plan: &FaultPlan) {
    println!(
        "{} nodes, a network namespace each, on one bridge; {}; {} rounds, seed {}",
        plan.nodes,
        machine(),
        plan.rounds.max(1),
        plan.seed
    );
    println!("nodes start one after the other, each with an empty cache of compiled code");
    println!(
        "{:<58} {:>11} {:>11} {:>11}  met",
        "event", "target", "p50", "worst"
    );
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
