//! `cargo xtask sim`: builds the program that measures the cluster core on the
//! simulated network, and runs it.

use crate::command::{cargo, run as run_command};
use crate::workspace;
use anyhow::Result;
use std::process::Command;

/// The arguments of `cargo xtask sim`: all of them are for that program.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The cases to measure, and options: `--nodes N,…`, `--seeds N`,
    /// `--seed SEED`, `--day`, `--markdown`; `--help` after `--` explains them.
    #[arg(
        value_name = "CASE|OPTION",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<String>,
}

/// Builds the program and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = ["--package", "cluster", "--example", "sim"];
    run_command(cargo(&["build", "--release"]).args(program))?;
    run_command(Command::new(workspace::target().join("release/examples/sim")).args(&args.args))
}
