//! `cargo xtask bench`: builds a benchmark and what it needs, and runs it.

use crate::command::{cargo, run as run_command};
use crate::{guests, setup, workspace};
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
}

/// Builds the guests and the benchmark, and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    guests::for_tests()?;
    let What::Swap { args } = &args.what;
    // It is built as a test, so that it has the same profile as all native
    // code.
    run_command(
        cargo(&["test", "--release", "--bench", "swap"])
            .args(workspace::NATIVE)
            .arg("--")
            .args(args),
    )
}
