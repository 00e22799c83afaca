//! The set-up that the commands share. Every step first checks whether there is
//! anything to do, and says what it does.

use crate::command::{cargo, on_path, output, program, run, say, succeeds};
use crate::packages;
use anyhow::{Result, bail};
use std::path::Path;

/// The targets that guests are compiled for: cargo itself uses wasip2,
/// `cargo component` uses wasip1.
const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

/// The release of cargo-component that the project is built with.
const CARGO_COMPONENT: &str = "0.21.1";

/// The release of cargo-deny that the project is checked with.
const CARGO_DENY: &str = "0.20.2";

/// Does the whole set-up.
pub(crate) fn all() -> Result<()> {
    targets()?;
    component()?;
    packages::for_tests()?;
    say("the set-up is complete");
    Ok(())
}

/// Installs the standard libraries of the wasm targets.
pub(crate) fn targets() -> Result<()> {
    let sysroot = output(program("rustc", &["--print", "sysroot"]))?;
    let rustlib = Path::new(&sysroot).join("lib/rustlib");
    let missing: Vec<_> = TARGETS
        .into_iter()
        .filter(|target| !rustlib.join(target).is_dir())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !on_path("rustup") {
        bail!(
            "this Rust has no standard library for {} and there is no rustup to add it: \
             install Rust with rustup, or these targets with your package manager",
            missing.join(" and ")
        );
    }
    run(program("rustup", &["target", "add"]).args(missing))
}

/// Installs `cargo component`.
pub(crate) fn component() -> Result<()> {
    tool(
        "component",
        "cargo-component",
        CARGO_COMPONENT,
        "about 8 minutes on 2 cores",
    )
}

/// Installs `cargo deny`.
pub(crate) fn deny() -> Result<()> {
    tool("deny", "cargo-deny", CARGO_DENY, "some minutes on 2 cores")
}

fn tool(subcommand: &str, package: &str, version: &str, takes: &str) -> Result<()> {
    if succeeds(cargo(&[subcommand, "--version"])) {
        return Ok(());
    }
    say(&format!(
        "{package} is missing; compiling it takes {takes}, once"
    ));
    // This is outside the workspace's target folder, because the tool shares
    // nothing with it.
    run(
        cargo(&["install", package, "--version", version, "--locked"])
            .env_remove("CARGO_TARGET_DIR"),
    )
}
