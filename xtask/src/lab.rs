//! `cargo xtask lab`: builds what is to be measured, and hands over to the
//! `lab` program.

use crate::command::{cargo, run as run_command};
use crate::{guests, packages, setup, workspace};
use anyhow::Result;
use std::process::Command;

/// What `cargo xtask lab` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each event is measured.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Measure only the rows whose name contains this.
    #[arg(value_name = "ROW")]
    only: Option<String>,
}

/// Build the programs, run the lab.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    packages::for_tests()?;
    let app = guests::release()?;
    // Together, so that what they share is built once.
    let parts = [
        "--bins",
        "--example",
        "bare",
        "--package",
        "host",
        "--package",
        "lab",
    ];
    run_command(cargo(&["build", "--release"]).args(parts))?;
    let mut lab = Command::new(workspace::target().join("release/lab"));
    lab.arg("figures")
        .arg("--host")
        .arg(workspace::host())
        .arg("--app")
        .arg(app);
    lab.arg("--bare")
        .arg(workspace::target().join("release/examples/bare"));
    lab.arg("--rounds").arg(args.rounds.to_string());
    if let Some(only) = &args.only {
        lab.arg(only);
    }
    run_command(&mut lab)
}
