//! What CI runs besides the tests, and CI itself for those at home.

use crate::command::{cargo, program, run as run_command};
use crate::setup;
use anyhow::Result;

/// Licences, sources and duplicates of all dependencies, by `deny.toml`.
pub(crate) fn deny() -> Result<()> {
    setup::deny()?;
    // Advisories are left out: they need a database from the network, and
    // change without a change of ours.
    run_command(&mut cargo(&[
        "deny", "check", "licenses", "bans", "sources",
    ]))
}

/// The script that CI runs.
pub(crate) fn run() -> Result<()> {
    run_command(&mut program("bash", &[".ci/run"]))
}
