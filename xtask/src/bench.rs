//! `cargo xtask bench`: builds a benchmark and what it needs, and hands over
//! to it.

use crate::command::{cargo, run as run_command};
use crate::{guests, setup, workspace};
use anyhow::Result;

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What can be measured.
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

/// Build the guests and the benchmark, run it.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    guests::for_tests()?;
    let What::Swap { args } = &args.what;
    // As a test, so that it is of the one profile that all native code is.
    run_command(
        cargo(&["test", "--release", "--bench", "swap"])
            .args(workspace::NATIVE)
            .arg("--")
            .args(args),
    )
}
