//! Prints the figures of the cluster core, taken on the simulated network:
//! cases and seeds in, a table out. It ends with 1 if a target was missed. `cargo
//! xtask sim` builds and runs it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use clap::builder::PossibleValuesParser;
use cluster::sim::figures::{CASES, Case, Figure, Goal, HOUR, Notes, Unit, measure};

/// The figures of the cluster core, on a simulated network.
#[derive(Parser)]
struct Args {
    /// Measure only these cases; all if none is named.
    #[arg(value_name = "CASE", value_parser = PossibleValuesParser::new(CASES.iter().map(|it| it.name)))]
    cases: Vec<String>,
    /// Measure at these sizes, from 3, instead of each case's own.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = size)]
    nodes: Vec<usize>,
    /// So many seeds at every size, instead of each case's own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Only this seed, to look into one run.
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// The simulated day instead: 24 runs of one hour, each with a seed of its
    /// own, from 1; with `--seed` the hour of that one.
    #[arg(long, conflicts_with = "cases")]
    day: bool,
    /// Print a Markdown table, as docs/simulation.md holds it.
    #[arg(long)]
    markdown: bool,
}

/// One run that is to be made.
struct Run {
    case: &'static Case,
    nodes: usize,
    seed: u64,
}

/// Reads a number of nodes: a cluster in which one may be cut off, and as many
/// as there are addresses.
fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(nodes) if (3..=50_000).contains(&nodes) => Ok(nodes),
        _ => Err("a number of nodes from 3 to 50000".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let cases: Vec<&'static Case> = if args.day {
        vec![&HOUR]
    } else {
        let wanted =
            |case: &&Case| args.cases.is_empty() || args.cases.iter().any(|name| name == case.name);
        CASES.iter().filter(wanted).collect()
    };
    let mut missed = false;
    print_head(args.markdown);
    for case in cases {
        let sizes = if args.nodes.is_empty() {
            case.sizes
        } else {
            &args.nodes
        };
        let mut runs = Vec::new();
        for &nodes in sizes {
            let seeds = match args.seed {
                Some(seed) => seed..seed + 1,
                None => 1..args.seeds.unwrap_or((case.seeds)(nodes)) + 1,
            };
            runs.extend(seeds.map(|seed| Run { case, nodes, seed }));
        }
        let results = run_all(&runs);
        for (at, figure) in case.figures.iter().enumerate() {
            for (&nodes, notes) in &results {
                missed |= !print_row(args.markdown, figure, nodes, notes, at);
            }
        }
    }
    if missed {
        eprintln!("a target was missed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Makes the runs on all cores; gives what was noted, by size.
fn run_all(runs: &[Run]) -> BTreeMap<usize, Notes> {
    let results = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let notes = measure(run.case, run.nodes, run.seed);
            report(run, &notes);
            if let Ok(mut results) = results.lock() {
                let all: &mut Notes = results
                    .entry(run.nodes)
                    .or_insert_with(|| Notes::new(run.case.figures.len()));
                all.add(notes);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap_or_default()
}

/// Says on the error stream what one run gave, so that its seed is known.
fn report(run: &Run, notes: &Notes) {
    let values: Vec<String> = run
        .case
        .figures
        .iter()
        .enumerate()
        .map(|(at, figure)| {
            let worst = notes.percentile(at, 1.0);
            format!("{} {}", figure.name, show(figure.unit, worst))
        })
        .collect();
    eprintln!(
        "{} nodes {} seed {}: {} ({:.0} s, {} datagrams)",
        run.case.name,
        run.nodes,
        run.seed,
        values.join("; "),
        notes.simulated.as_secs_f64(),
        notes.datagrams
    );
}

const HEAD: [&str; 7] = [
    "what",
    "nodes",
    "values",
    "p50",
    "p99",
    "worst",
    "target p50 / p99",
];

fn print_head(markdown: bool) {
    if markdown {
        println!("| {} |", HEAD.join(" | "));
        println!("|---|{}", "---:|".repeat(HEAD.len() - 1));
    } else {
        line(&HEAD.map(str::to_owned));
    }
}

/// Prints the row of a figure; whether it is as is wanted.
fn print_row(markdown: bool, figure: &Figure, nodes: usize, notes: &Notes, at: usize) -> bool {
    let target = (figure.target)(nodes);
    let (p50, p99) = (notes.percentile(at, 0.5), notes.percentile(at, 0.99));
    let met = target.is_none_or(|it| it.is_met(p50, p99));
    let cells = [
        figure.name.to_owned(),
        nodes.to_string(),
        notes.count(at).to_string(),
        show(figure.unit, p50),
        show(figure.unit, p99),
        show(figure.unit, notes.percentile(at, 1.0)),
        wanted(figure.unit, target, met),
    ];
    if markdown {
        println!("| {} |", cells.join(" | "));
    } else {
        line(&cells);
    }
    met
}

fn wanted(unit: Unit, target: Option<Goal>, met: bool) -> String {
    let Some(target) = target else {
        return String::new();
    };
    let (p50, p99) = (show(unit, Some(target.p50)), show(unit, Some(target.p99)));
    let wanted = if p50 == p99 {
        p50
    } else {
        format!("{p50} / {p99}")
    };
    format!("{wanted}{}", if met { "" } else { " MISSED" })
}

fn line(cells: &[String; 7]) {
    let [what, nodes, values, p50, p99, worst, target] = cells;
    println!("{what:<58} {nodes:>5} {values:>6} {p50:>10} {p99:>10} {worst:>10}  {target}");
}

fn show(unit: Unit, value: Option<f64>) -> String {
    match (value, unit) {
        (None, _) => "-".to_owned(),
        (Some(value), _) if value.is_infinite() => "never".to_owned(),
        (Some(value), Unit::Seconds) if value < 0.01 => format!("{:.1} ms", value * 1000.0),
        (Some(value), Unit::Seconds) if value < 1.0 => format!("{:.0} ms", value * 1000.0),
        (Some(value), Unit::Seconds) => format!("{value:.2} s"),
        (Some(value), Unit::KilobytesPerSecond) => format!("{value:.2} KB/s"),
        (Some(value), Unit::Count) => format!("{value:.0}"),
    }
}
