//! The checks of CI besides the tests, and CI itself for people at home.

use crate::command::{cargo, program, run as run_command};
use crate::setup;
use anyhow::Result;

/// Checks licences, sources and duplicates of all dependencies, by `deny.toml`.
pub(crate) fn deny() -> Result<()> {
    setup::deny()?;
    // Advisories are left out: they need a database from the network, which
    // changes when our code does not.
    run_command(&mut cargo(&[
        "deny", "check", "licenses", "bans", "sources",
    ]))?;
    // A workspace of its own, which only tests build.
    run_command(&mut cargo(&[
        "deny",
        "--config",
        "deny.toml",
        "--manifest-path",
        "fixtures/makers/rust/Cargo.toml",
        "check",
        "licenses",
        "sources",
    ]))
}

/// Runs the script of CI.
pub(crate) fn run() -> Result<()> {
    run_command(&mut program("bash", &[".ci/run"]))
}
