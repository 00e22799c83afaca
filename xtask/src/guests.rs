//! Builds components: the example guest, and the fixtures that only tests run.

use crate::command::{cargo, run};
use crate::workspace;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Builds the guest for use, and returns its path.
///
/// This uses cargo itself, which needs only the wasm target.
pub(crate) fn release() -> Result<PathBuf> {
    run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "guest",
        "--target",
        "wasm32-wasip2",
    ]))?;
    Ok(workspace::target().join("wasm32-wasip2/release/guest.wasm"))
}

/// Builds the guest and all fixtures for the tests, into
/// `wasm32-wasip2/debug/*.wasm`.
pub(crate) fn for_tests() -> Result<()> {
    let mut build = cargo(&["build", "--target", "wasm32-wasip2", "--package", "guest"]);
    for fixture in fixtures()? {
        build.args(["--package", &fixture]);
    }
    run(&mut build)
}

/// The names of the packages in `fixtures/`. Each folder with a manifest is a
/// package with the name `fixture-FOLDER`.
fn fixtures() -> Result<Vec<String>> {
    let dir = workspace::root().join("fixtures");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in dir
        .read_dir()
        .with_context(|| format!("cannot list {}", dir.display()))?
    {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(format!("fixture-{}", entry.file_name().to_string_lossy()));
        }
    }
    names.sort();
    Ok(names)
}
