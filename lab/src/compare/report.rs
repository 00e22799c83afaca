//! What the rounds have shown: medians and their spread, ratios within a round, the table, and the
//! same as JSON.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Round;
use super::cases::Case;
use super::pinned::Processors;
use super::servers::Contender;

/// What one server showed in one round. What a case does not measure is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Processor time of the server for each request, user and system, in microseconds.
    pub(super) processor_us: Option<f64>,
    /// As many requests a second as it could answer.
    pub(super) per_second: Option<f64>,
    /// At that load.
    pub(super) full_p99_us: Option<f64>,
    /// At half of that load, or at the rate that is the same for all.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    /// What it answered when all were asked at the same rate.
    pub(super) equal_per_second: Option<f64>,
    /// Memory after the load, in bytes.
    pub(super) resident: Option<f64>,
    pub(super) proportional: Option<f64>,
    /// Memory of one open stream, in bytes.
    pub(super) per_stream: Option<f64>,
}

/// The median of the rounds, and the least and most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Spread> {
        let mut values: Vec<f64> = values.flatten().filter(|it| it.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Some(Spread {
            median: *values.get(values.len() / 2)?,
            least: *values.first()?,
            most: *values.last()?,
        })
    }
}

/// What one server showed in all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) server: String,
    pub(super) processor_us: Option<Spread>,
    /// Its processor time divided by that of bare hyper in the same round.
    to_hyper: Option<Spread>,
    /// The processor time of `wasmtime serve` divided by its own in the same round.
    wasmtime_to_it: Option<Spread>,
    per_second: Option<Spread>,
    full_p99_us: Option<Spread>,
    p50_us: Option<Spread>,
    p99_us: Option<Spread>,
    equal_per_second: Option<Spread>,
    resident_bytes: Option<Spread>,
    proportional_bytes: Option<Spread>,
    bytes_per_stream: Option<Spread>,
}

/// One case.
#[derive(Debug, Serialize)]
pub(super) struct CaseReport {
    name: &'static str,
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

impl CaseReport {
    /// What these servers showed, in this order.
    pub(super) fn new(case: Case, servers: &[Contender], rounds: &[Round]) -> CaseReport {
        let at = |wanted| servers.iter().position(|server| *server == wanted);
        let (hyper, wasmtime) = (at(Contender::Hyper), at(Contender::Wasmtime));
        let row = |(at, server): (usize, &Contender)| {
            let all = |of: fn(&Sample) -> Option<f64>| {
                Spread::of(rounds.iter().map(|round| of(&round[at])))
            };
            let ratio = |over: usize, under: usize| {
                Spread::of(
                    rounds
                        .iter()
                        .map(|round| Some(round[over].processor_us? / round[under].processor_us?)),
                )
            };
            let runs_the_same = matches!(server, Contender::Wasi | Contender::WasiReused);
            Row {
                server: server.to_string(),
                processor_us: all(|it| it.processor_us),
                to_hyper: hyper.and_then(|hyper| ratio(at, hyper)),
                wasmtime_to_it: wasmtime
                    .filter(|_| runs_the_same)
                    .and_then(|wasmtime| ratio(wasmtime, at)),
                per_second: all(|it| it.per_second),
                full_p99_us: all(|it| it.full_p99_us),
                p50_us: all(|it| it.p50_us),
                p99_us: all(|it| it.p99_us),
                equal_per_second: all(|it| it.equal_per_second),
                resident_bytes: all(|it| it.resident),
                proportional_bytes: all(|it| it.proportional),
                bytes_per_stream: all(|it| it.per_stream),
            }
        };
        CaseReport {
            name: case.name(),
            title: case.to_string(),
            rows: servers.iter().enumerate().map(row).collect(),
        }
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_rates = self.rows.iter().any(|row| row.per_second.is_some());
        writeln!(formatter, "\n{}", self.title)?;
        writeln!(
            formatter,
            "  {:<18} {:>24} {:>20} {:>20} {:>9} {:>9} {:>9} {:>8} {:>8}{}",
            "server",
            "us of processor time",
            "/ bare hyper",
            "wasmtime / it",
            "a second",
            "p50 us",
            "p99 us",
            "RSS MiB",
            "PSS MiB",
            match has_rates {
                true => "",
                false => "  KiB per stream",
            }
        )?;
        for row in &self.rows {
            let mib = |bytes: Option<Spread>| short(bytes, 1024.0 * 1024.0, 1);
            write!(
                formatter,
                "  {:<18} {:>24} {:>20} {:>20} {:>9} {:>9} {:>9} {:>8} {:>8}",
                row.server,
                long(row.processor_us, 1),
                long(row.to_hyper, 2),
                long(row.wasmtime_to_it, 2),
                short(row.per_second, 1.0, 0),
                short(row.p50_us, 1.0, 0),
                short(row.p99_us, 1.0, 0),
                mib(row.resident_bytes),
                mib(row.proportional_bytes),
            )?;
            if let Some(bytes) = row.bytes_per_stream {
                write!(formatter, "  {}", short(Some(bytes), 1024.0, 1))?;
            }
            if let Some(p99) = row.full_p99_us {
                write!(
                    formatter,
                    "  p99 of as many as it can: {:.0} us; answered of the same rate: {} a second",
                    p99.median,
                    short(row.equal_per_second, 1.0, 0)
                )?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

/// The median and, in brackets, least and most.
fn long(spread: Option<Spread>, digits: usize) -> String {
    match spread {
        Some(Spread {
            median,
            least,
            most,
        }) => format!("{median:.digits$} ({least:.digits$}-{most:.digits$})"),
        None => "-".to_owned(),
    }
}

/// The median in this unit.
fn short(spread: Option<Spread>, unit: f64, digits: usize) -> String {
    match spread {
        Some(spread) => format!("{:.digits$}", spread.median / unit),
        None => "-".to_owned(),
    }
}

/// All cases, and where they were measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether servers and load had a processor each.
    apart: bool,
    processor: String,
    kernel: String,
    rounds: u32,
    seconds: u64,
    pub(super) cases: Vec<CaseReport>,
}

impl Report {
    pub(super) fn new(rounds: u32, seconds: u64, processors: &Processors) -> Report {
        let read = |file| std::fs::read_to_string(file).unwrap_or_default();
        let model = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, model)| model.to_owned());
        Report {
            apart: processors.are_apart(),
            processor: model.unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rounds,
            seconds,
            cases: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, case: CaseReport) {
        self.cases.push(case);
    }

    pub(super) fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).context("the report is no JSON")
    }

    /// What the figures are of, in a line.
    pub(super) fn told(&self) -> String {
        format!(
            "{} rounds of {} s, Linux {}, {}",
            self.rounds, self.seconds, self.kernel, self.processor
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(processor_us: f64) -> Sample {
        Sample {
            processor_us: Some(processor_us),
            ..Sample::default()
        }
    }

    #[test]
    fn ratios_are_of_one_round_and_the_middle_one_is_told() {
        let servers = [Contender::Hyper, Contender::Wasmtime, Contender::Wasi];
        // The machine becomes slower from round to round, and the ratios stay.
        let rounds: Vec<Round> = [1.0, 2.0, 9.0]
            .iter()
            .map(|slow| [10.0, 80.0, 20.0].map(|us| sample(us * slow)).to_vec())
            .collect();
        let report = CaseReport::new(Case::Hello, &servers, &rounds);
        let ours = &report.rows[2];
        let always = |value| {
            Some(Spread {
                median: value,
                least: value,
                most: value,
            })
        };
        assert_eq!(
            (ours.to_hyper, ours.wasmtime_to_it),
            (always(2.0), always(4.0))
        );
        assert_eq!(ours.processor_us.map(|it| it.most), Some(180.0));
        assert_eq!(report.rows[1].wasmtime_to_it, None);
        assert!(report.to_string().contains("2.00 (2.00-2.00)"));
    }

    #[test]
    fn what_was_not_measured_is_no_figure() {
        let report = CaseReport::new(Case::Events, &[Contender::Raxx], &[vec![Sample::default()]]);
        assert!(report.rows[0].processor_us.is_none());
        assert!(report.to_string().contains(" - "));
    }
}
