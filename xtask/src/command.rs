//! Runs other programs. Each command is shown before it runs, and the error
//! names it if it fails.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Says something to the person at the terminal.
///
/// This goes to stderr, so that stdout has only results.
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// A cargo command in the root of the workspace, with the cargo that runs this
/// program.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).current_dir(workspace::root());
    // `cargo run` has set these for xtask. Build scripts look at them, so with them cargo
    // would build again what it has built without.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Any other command in the root of the workspace.
pub(crate) fn program(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args).current_dir(workspace::root());
    command
}

/// Shows the command, runs it, and returns an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    say(&line);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Whether the command runs and succeeds. Prints nothing.
pub(crate) fn succeeds(mut command: Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What the command prints to stdout.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let line = line_of(&command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program of this name is on the PATH.
pub(crate) fn on_path(name: &str) -> bool {
    // Debian keeps some programs in folders that only root's PATH has.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(name).is_file())
}

/// The command as a person would type it.
fn line_of(command: &Command) -> String {
    let name = std::path::Path::new(command.get_program());
    let mut line = name
        .file_name()
        .unwrap_or(name.as_os_str())
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}
