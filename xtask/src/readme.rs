//! `cargo xtask readme`: does exactly what the README says. The README must
//! contain these two lines, so that the two cannot differ.

use crate::command::{cargo, run as run_command, say};
use crate::{packages, setup, workspace};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// The two lines that build and run a node.
const BUILD: &str = "cargo component build -p guest";
const RUN: &str = "host --name example@10.10.10.2 --cookie ace --app guest.wasm";

/// Builds and runs a node as the README says, and looks at the page.
pub(crate) fn run() -> Result<()> {
    let readme = workspace::root().join("README.md");
    let text = std::fs::read_to_string(&readme).context("cannot read README.md")?;
    for line in [BUILD, RUN] {
        if !text.lines().any(|one| one.trim() == line) {
            bail!("README.md no longer has the line `{line}`");
        }
    }
    setup::targets()?;
    setup::component()?;
    packages::for_tests()?;

    // `host` comes on the PATH as the README says, but not into the home of the
    // user.
    let root = workspace::target().join("readme");
    run_command(cargo(&["install", "--path", "host", "--locked", "--force", "--root"]).arg(&root))?;
    say(&format!("$ {BUILD}"));
    run_command(
        Command::new("bash")
            .args(["-c", BUILD])
            .current_dir(workspace::root()),
    )?;

    run_command(&mut cargo(&["build", "--release", "--package", "lab"]))?;
    run_command(
        Command::new(workspace::target().join("release/lab"))
            .args(["readme", "--bin"])
            .arg(root.join("bin"))
            .args(["--line", RUN])
            .current_dir(workspace::root()),
    )
}
