//! The tables that `cargo xtask lab` prints. On three nodes: what the seed took
//! for each event, what this project has set itself, and what it takes. On a
//! crowd: [`faults`]. What becomes of a push: [`push`]; and of one that goes wrong:
//! [`rollouts`]. On four in two halves: [`schedules`].

pub mod faults;
mod measure;
pub mod push;
pub mod rollouts;
pub mod schedules;
mod table;

use crate::programs::Programs;
use anyhow::{Result, ensure};
use std::fmt;
use std::path::PathBuf;

pub use measure::GROUPS;

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The programs.
    pub programs: Programs,
    /// A bare server to compare with: `host/examples/bare.rs`.
    pub bare: PathBuf,
    /// How often each event is measured.
    pub rounds: u32,
    /// Only rows whose name contains this.
    pub only: String,
}

/// Rows that one measurement fills together.
#[derive(Debug)]
pub struct Group {
    /// The rows, in the order in which the measurement returns their values.
    pub rows: &'static [Row],
    /// Measures once: one value for each row.
    pub measure: fn(&Plan) -> Result<Vec<f64>>,
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// The event.
    pub event: &'static str,
    /// What the seed takes.
    pub seed: &'static str,
    /// What this project may take.
    pub target: Target,
}

/// What a row is measured in, and what it has to reach.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At most so many seconds.
    Seconds(f64),
    /// At most so many bytes.
    Bytes(f64),
    /// At most so many.
    Count(f64),
    /// At least this share.
    Share(f64),
    /// At most so many bytes a second.
    PerSecond(f64),
    /// At most so many of a hundred; the value is a share.
    Percent(f64),
    /// A number that nothing is demanded of.
    Told,
    /// Seconds of which nothing is demanded.
    Took,
}

impl Target {
    /// Whether the value reaches it.
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::Seconds(most) | Self::Bytes(most) | Self::Count(most) | Self::PerSecond(most) => {
                value <= most
            }
            Self::Percent(most) => value * 100.0 <= most,
            Self::Share(least) => value >= least,
            Self::Told | Self::Took => true,
        }
    }

    /// The worse of two values.
    fn worse(self, one: f64, other: f64) -> f64 {
        if matches!(self, Self::Share(_)) {
            one.min(other)
        } else {
            one.max(other)
        }
    }

    /// The value in this unit.
    fn show(self, value: f64) -> String {
        match self {
            Self::Took if value < 0.001 => format!("{:.0} us", value * 1e6),
            Self::Seconds(_) | Self::Took if value < 1.0 => format!("{:.1} ms", value * 1000.0),
            Self::Seconds(_) | Self::Took => format!("{value:.2} s"),
            Self::Bytes(_) if value.abs() < 1_048_576.0 => format!("{:.1} KiB", value / 1024.0),
            Self::Bytes(_) => format!("{:.1} MiB", value / 1_048_576.0),
            Self::Count(_) | Self::Told => format!("{value:.0}"),
            Self::Share(_) => format!("{value:.2}"),
            Self::PerSecond(_) => format!("{value:.0} B/s"),
            Self::Percent(_) => format!("{:.2} %", value * 100.0),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::Share(least) => format!(">= {}", self.show(least)),
            Self::Seconds(most) | Self::Bytes(most) | Self::Count(most) | Self::PerSecond(most) => {
                format!("<= {}", self.show(most))
            }
            Self::Percent(most) => format!("<= {}", self.show(most / 100.0)),
            Self::Told | Self::Took => "-".to_owned(),
        };
        formatter.pad(&text)
    }
}

/// Many values of one row in short.
struct Summary {
    typical: f64,
    worst: f64,
    /// Whether the target is met: `yes`, `typically` or `no`.
    met: &'static str,
}

impl Summary {
    /// None if there are no values.
    fn of(target: Target, mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let typical = values.get(values.len() / 2).copied()?;
        let worst = values
            .iter()
            .fold(typical, |worst, value| target.worse(worst, *value));
        let met = match (target.is_met_by(typical), target.is_met_by(worst)) {
            (true, true) => "yes",
            (true, false) => "typically",
            (false, _) => "no",
        };
        Some(Self {
            typical,
            worst,
            met,
        })
    }
}

/// Measure, and print the table row by row as it fills.
///
/// # Errors
///
/// If a row could not be measured; the others are all the same. A target that
/// is missed is no error, since it may be the machine's.
pub fn print(plan: &Plan) -> Result<()> {
    println!(
        "{:<46} {:>15} {:>13} {:>11} {:>11}  met",
        "event", "seed", "target", "p50", "worst"
    );
    let (mut missed, mut failed) = (0, 0);
    for group in GROUPS {
        if !group.rows.iter().any(|row| row.event.contains(&plan.only)) {
            continue;
        }
        match repeat(plan, group) {
            Ok(rounds) => {
                for (at, row) in group.rows.iter().enumerate() {
                    let values = rounds.iter().filter_map(|values| values.get(at).copied());
                    missed += u32::from(!print_row(row, values.collect()));
                }
            }
            Err(error) => {
                for row in group.rows {
                    println!(
                        "{:<46} {:>15} {:>13} not measured",
                        row.event, row.seed, row.target
                    );
                    failed += 1;
                }
                eprintln!("lab: {error:#}");
            }
        }
    }
    println!("{missed} of these miss their target on this machine");
    ensure!(
        failed == 0,
        "{failed} rows could not be measured; the reasons are above"
    );
    Ok(())
}

/// What figures depend on: the machine, and what else it does.
pub(crate) fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{processors} processors, Linux {}, load before {}",
        kernel.trim(),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}

fn repeat(plan: &Plan, group: &Group) -> Result<Vec<Vec<f64>>> {
    (0..plan.rounds.max(1))
        .map(|_| (group.measure)(plan))
        .collect()
}

/// Returns whether the target was met by the typical value.
fn print_row(row: &Row, values: Vec<f64>) -> bool {
    let Some(summary) = Summary::of(row.target, values) else {
        return false;
    };
    println!(
        "{:<46} {:>15} {:>13} {:>11} {:>11}  {}",
        row.event,
        row.seed,
        row.target,
        row.target.show(summary.typical),
        row.target.show(summary.worst),
        summary.met
    );
    summary.met != "no"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A panic is how a test fails.
mod tests {
    use super::{Summary, Target};

    #[test]
    fn a_share_is_met_from_below_and_a_time_from_above() {
        assert!(Target::Share(0.45).is_met_by(0.5) && !Target::Share(0.45).is_met_by(0.4));
        assert!(Target::Seconds(0.3).is_met_by(0.02) && !Target::Seconds(0.3).is_met_by(3.0));
    }

    #[test]
    fn values_are_shown_in_the_unit_a_person_would_use() {
        assert_eq!(Target::Seconds(1.0).show(0.0203), "20.3 ms");
        assert_eq!(Target::Seconds(1.0).show(2.345), "2.35 s");
        assert_eq!(Target::Took.show(0.0203), "20.3 ms");
        assert_eq!(Target::Took.show(0.000_018), "18 us");
        assert_eq!(Target::Bytes(1.0).show(4096.0), "4.0 KiB");
        assert_eq!(Target::Share(0.45).to_string(), ">= 0.45");
        assert_eq!(Target::Percent(1.0).show(0.0123), "1.23 %");
        assert_eq!(Target::Percent(1.0).to_string(), "<= 1.00 %");
    }

    #[test]
    fn a_row_is_met_typically_if_only_its_worst_value_is_not() {
        let met = |values: &[f64]| {
            Summary::of(Target::Seconds(1.0), values.to_vec())
                .unwrap()
                .met
        };
        assert_eq!(met(&[0.5, 0.9]), "yes");
        assert_eq!(met(&[0.5, 0.9, 3.0]), "typically");
        assert_eq!(met(&[0.5, 2.0, 3.0]), "no");
        assert!(Summary::of(Target::Told, Vec::new()).is_none());
    }
}
