//! This host beside other servers: what a request costs each of them, on the same machine, in the
//! same minute. `cargo xtask bench http` sets up what it needs; `docs/benchmarks.md` says how to
//! read what it prints.
//!
//! ```text
//! Plan -> servers of a case, on one processor -> rounds: each server in turn, the others stopped
//!      -> Sample -> Report -> table, JSON, chart
//! ```
//!
//! | module | what it gives |
//! |---|---|
//! | [`cases`] | what is asked |
//! | [`servers`] | who is asked, and how each is started |
//! | [`load`] | `wrk` and `h2load`, and what they say |
//! | [`streams`] | many open streams, with an event on each |
//! | [`usage`] | processor time and memory of a server |
//! | [`report`] | medians, ratios, the table, JSON |
//! | [`chart`] | the same as a picture |

pub mod cases;
mod chart;
mod load;
mod pinned;
mod report;
pub mod servers;
mod streams;
mod usage;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::cases::Case;
use self::load::Load;
use self::pinned::Processors;
use self::report::{CaseReport, Report, Sample};
use self::servers::{Contender, Running, Site};

pub use self::servers::Tools;

/// The rate at which all servers of a crowd are asked, of what the slowest of them can answer.
const EQUAL_RATE: f64 = 0.7;

/// What is compared, and for how long.
#[derive(Debug)]
pub struct Plan {
    /// Where the programs and components are.
    pub tools: Tools,
    /// What is asked.
    pub cases: Vec<Case>,
    /// Who is asked.
    pub servers: Vec<Contender>,
    /// How often each server has its turn.
    pub rounds: u32,
    /// For how long it is asked each time, in whole seconds.
    pub seconds: u64,
    /// Where `http.json` and `http.svg` go.
    pub out: PathBuf,
}

/// Measures, and prints the table of each case as it is done.
///
/// # Errors
/// If a program is missing, a server does not start, or one answers with an error.
pub fn print(plan: &Plan) -> Result<()> {
    ensure!(plan.rounds > 0, "--rounds must be at least 1");
    ensure!(plan.seconds > 0, "--seconds must be at least 1");
    let servers = plan.tools.check(&plan.servers)?;
    crate::load::raise_file_limit()?;
    let processors = Processors::take()?;
    println!("{processors}");
    let folder = tempfile::tempdir().context("cannot make a folder for the servers")?;
    let site = Site::new(&plan.tools, folder.path(), processors)?;
    let mut report = Report::new(plan.rounds, plan.seconds, &processors);
    for case in &plan.cases {
        let asked: Vec<Contender> = servers
            .iter()
            .copied()
            .filter(|server| server.takes_part(*case))
            .collect();
        if asked.is_empty() {
            println!("\n{case}: none of these servers takes part in it");
            continue;
        }
        let samples = match case {
            Case::Events => streams::measure(plan, &site, &asked)?,
            Case::Crowd => crowd(plan, &site, &asked)?,
            _ => requests(plan, &site, *case, &asked)?,
        };
        let measured = CaseReport::new(*case, &asked, &samples);
        print!("{measured}");
        report.add(measured);
    }
    fs::create_dir_all(&plan.out).with_context(|| format!("cannot make {}", plan.out.display()))?;
    write(plan, "http.json", &report.json()?)?;
    write(plan, "http.svg", &chart::draw(&report))
}

fn write(plan: &Plan, name: &str, text: &str) -> Result<()> {
    let file = plan.out.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("written: {}", file.display());
    Ok(())
}

/// A round of samples: one for each server, in their order.
pub(crate) type Round = Vec<Sample>;

/// As many requests as each server can answer, then half as many a second.
fn requests(plan: &Plan, site: &Site<'_>, case: Case, asked: &[Contender]) -> Result<Vec<Round>> {
    let servers = site.start(case, asked)?;
    let load = Load::new(case, site.folder())?;
    let time = Duration::from_secs(plan.seconds);
    for server in &servers {
        server.in_turn(|| load.all(server, Duration::from_secs(1)))?;
    }
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let mut samples = vec![Sample::default(); servers.len()];
        for at in turns(round, servers.len()) {
            let server = &servers[at];
            samples[at] = server.in_turn(|| sample(&load, server, time))?;
            eprintln!("lab: {case}, round {}: {server}", round + 1);
        }
        rounds.push(samples);
    }
    Ok(rounds)
}

/// Each round begins with another server, so that none is always the first.
fn turns(round: u32, servers: usize) -> impl Iterator<Item = usize> {
    (0..servers).map(move |at| (at + round as usize) % servers)
}

fn sample(load: &Load, server: &Running, time: Duration) -> Result<Sample> {
    let before = server.usage()?;
    let full = load.all(server, time)?;
    let after = server.usage()?;
    let half = load.at_rate(server, full.per_second / 2.0, time)?;
    let memory = server.memory()?;
    Ok(Sample {
        processor_us: Some((after - before).as_secs_f64() * 1e6 / full.requests as f64),
        per_second: Some(full.per_second),
        p50_us: Some(half.percentile(50)),
        p99_us: Some(half.percentile(99)),
        resident: Some(memory.resident as f64),
        proportional: Some(memory.proportional as f64),
        ..Sample::default()
    })
}

/// Many connections: first as many requests as each server can answer, then all servers at one
/// rate, which the slowest of them can answer too.
fn crowd(plan: &Plan, site: &Site<'_>, asked: &[Contender]) -> Result<Vec<Round>> {
    let case = Case::Crowd;
    let servers = site.start(case, asked)?;
    let load = Load::new(case, site.folder())?;
    let time = Duration::from_secs(plan.seconds);
    let mut slowest = f64::MAX;
    for server in &servers {
        let full = server.in_turn(|| load.all(server, time))?;
        slowest = slowest.min(full.per_second);
    }
    let rate = slowest * EQUAL_RATE;
    println!("\n{case}: all at {rate:.0} requests per second, and as many as each can answer");
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let mut samples = vec![Sample::default(); servers.len()];
        for at in turns(round, servers.len()) {
            let server = &servers[at];
            samples[at] = server.in_turn(|| {
                let before = server.usage()?;
                let full = load.all(server, time)?;
                let after = server.usage()?;
                let equal = load.at_rate(server, rate, time)?;
                let memory = server.memory()?;
                Ok(Sample {
                    processor_us: Some((after - before).as_secs_f64() * 1e6 / full.requests as f64),
                    per_second: Some(full.per_second),
                    full_p99_us: Some(full.p99_us),
                    p50_us: Some(equal.percentile(50)),
                    p99_us: Some(equal.percentile(99)),
                    equal_per_second: Some(equal.per_second()),
                    resident: Some(memory.resident as f64),
                    proportional: Some(memory.proportional as f64),
                    ..Sample::default()
                })
            })?;
            eprintln!("lab: {case}, round {}: {server}", round + 1);
        }
        rounds.push(samples);
    }
    Ok(rounds)
}
