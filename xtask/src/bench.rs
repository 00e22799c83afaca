//! `cargo xtask bench`: builds a benchmark and what it needs, and runs it.

use crate::command::{cargo, run as run_command};
use crate::{guests, lab, makers, packages, setup, wasmtime, workspace};
use anyhow::Result;

/// The arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// The benchmarks.
#[derive(clap::Subcommand)]
enum What {
    /// What a change of code takes, and what it costs those who are served
    /// meanwhile; docs/swap.md explains the rows.
    Swap {
        /// Which part, `file` or `crowd`, and options: `--rounds N`,
        /// `--swaps N`, `--streams N`.
        #[arg(
            value_name = "PART|OPTION",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        args: Vec<String>,
    },
    /// What a request costs this host, a bare server, nginx and `wasmtime serve`, asked in turn
    /// on one machine; docs/benchmarks.md explains the table.
    Http(Http),
}

/// The arguments of `cargo xtask bench http`.
#[derive(clap::Args)]
struct Http {
    /// What is asked: hello, page, out, up, json, events, javascript, python, crowd; all of it by
    /// default.
    #[arg(long, value_name = "CASE,…")]
    cases: Option<String>,
    /// Who is asked: hyper, nginx, wasmtime, raxx, raxx-reused, wasi, wasi-reused; all by default.
    #[arg(long, value_name = "SERVER,…")]
    servers: Option<String>,
    /// How often each server has its turn [default: 5].
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// For how many seconds it is asked each time [default: 3].
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,
    /// Two rounds of one second, to see whether it works: no figures to quote.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
}

/// Builds what a benchmark needs, and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    guests::for_tests()?;
    match &args.what {
        What::Swap { args } => swap(args),
        What::Http(args) => http(args),
    }
}

fn swap(args: &[String]) -> Result<()> {
    // It is built as a test, so that it has the same profile as all native
    // code.
    run_command(
        cargo(&["test", "--release", "--bench", "swap"])
            .args(workspace::NATIVE)
            .arg("--")
            .args(args),
    )
}

fn http(args: &Http) -> Result<()> {
    packages::for_comparison()?;
    let wasmtime = wasmtime::installed()?;
    let wants = |case| args.cases.as_ref().is_none_or(|cases| cases.contains(case));
    if ["javascript", "python", "crowd"].into_iter().any(wants) {
        makers::all()?;
    }
    let app = guests::release()?;
    lab::build()?;
    let target = workspace::target();
    let (rounds, seconds) = match args.quick {
        true => (Some(2), Some(1)),
        false => (args.rounds, args.seconds),
    };
    let mut compare = lab::lab("compare", &app);
    compare
        .arg("--bare")
        .arg(target.join("release/examples/bare"))
        .arg("--fixtures")
        .arg(target.join("wasm32-wasip2/debug"))
        .arg("--makers")
        .arg(target.join("makers"))
        .arg("--out")
        .arg(target.join("bench"))
        .arg("--wasmtime")
        .arg(wasmtime);
    for (flag, value) in [
        ("--cases", args.cases.clone()),
        ("--servers", args.servers.clone()),
        ("--rounds", rounds.map(|it| it.to_string())),
        ("--seconds", seconds.map(|it| it.to_string())),
    ] {
        if let Some(value) = value {
            compare.args([flag, &value]);
        }
    }
    run_command(&mut compare)
}
