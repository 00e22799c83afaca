//! `cargo xtask …`: the one door to the project's own commands.
//!
//! Each command does its own set-up, shows what it runs, and runs it where a
//! newcomer can read it. This crate is kept small, because it must be built
//! before anything else can start.

mod bench;
mod ci;
mod command;
mod fuzz;
mod guests;
mod lab;
mod makers;
mod packages;
mod readme;
mod setup;
mod sim;
mod test;
mod tidy;
mod up;
mod wasmtime;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the other commands need, each part only if it is missing.
    Setup,
    /// Build everything in release and run a cluster of three on
    /// 127.0.0.2-4:8080 until Ctrl-C. Needs no root.
    Up(up::Args),
    /// Do the set-up and run all tests, those in network namespaces included.
    Test(test::Args),
    /// Build the apps of fixtures/makers with what other makers offer for Rust,
    /// Python and JavaScript, from their registries.
    Makers,
    /// Run three nodes in network namespaces, measure how long the cluster
    /// takes for each event, and print the table. `lab faults` runs ten nodes
    /// or more, in ten minutes of which nothing happens; `lab push`, `lab rollouts` and
    /// `lab schedules` measure pushes.
    Lab(lab::Args),
    /// Measure what a change of code takes, or what a request costs this host and others, and
    /// print the table.
    Bench(bench::Args),
    /// Run the fuzz targets of the wire format's decoders for a bounded time.
    Fuzz(fuzz::Args),
    /// Measure the cluster core with 3 to 1000 nodes on a simulated network,
    /// and print the table.
    Sim(sim::Args),
    /// Do exactly what the README's two lines say, in a network namespace, and
    /// look at the page.
    Readme,
    /// Check rules for the code that no compiler checks: which crate and module
    /// may use which, the length of files and functions, the words of the
    /// glossary. `--lines` counts the lines of product code.
    Tidy(tidy::Args),
    /// Check the licences and sources of all dependencies.
    Deny,
    /// Run all that CI runs: `.ci/run`.
    Ci,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Setup => setup::all(),
        Command::Up(args) => up::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Makers => makers::all(),
        Command::Lab(args) => lab::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Readme => readme::run(),
        Command::Tidy(args) => tidy::run(&args),
        Command::Deny => ci::deny(),
        Command::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
