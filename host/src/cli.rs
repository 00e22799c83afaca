//! The command line as it is typed. Nothing is checked here beyond its form;
//! what each command takes is in [`crate::node::flags`] and [`crate::commands::cli`].
//!
//! ```text
//! words -> run, if they begin with a flag -> old_names -> variables -> clap -> Command
//! ```

mod old_names;
mod variables;

use std::ffi::OsString;

use clap::error::Error;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::cli::Tool;
use crate::node::flags::{self, RunArgs};
use runtime::compile::COMMAND;

const ABOUT: &str = "Runs one node of a live cluster that serves a WASI component as its web app";

const LONG_ABOUT: &str = "\
Runs one node of a live cluster that serves a WASI component as its web app.

Nodes on one network find each other by UDP broadcast, trust each other by a \
shared cookie, and each serves the app over HTTP. There is nothing else to \
run: no control plane, no registry, no broker.

  host --name example@10.10.10.2 --cookie ace --app guest.wasm

The name says which IP the node has, and the IP must be this machine's. Start \
the same line on other machines, with their own IPs and the same cookie, and \
they are a cluster. `host run --help` says what else a node can be told.";

const AFTER: &str = "\
Each flag can be given as an environment variable too: --data-dir is
HOST_DATA_DIR. A flag that is typed counts before any variable.";

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "host", version, about = ABOUT, long_about = LONG_ABOUT, after_help = AFTER)]
#[command(override_usage = "host --name <NAME@IP> [--app <FILE>] [OPTIONS]\n       host <COMMAND>")]
#[command(disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the program can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Runs a node; `host --name …` is short for `host run --name …`
    #[command(after_long_help = flags::AFTER)]
    Run(Box<RunArgs>),
    /// Compiles components for the node that started it
    #[command(name = COMMAND, hide = true)]
    CompileWorker,
    /// Something else than a node.
    #[command(flatten)]
    Tool(Box<Tool>),
}

/// What was typed, and the hints that whoever typed it is to see.
#[derive(Debug)]
pub struct CommandLine {
    /// What to do.
    pub command: Command,
    /// One for each old name that was used.
    pub hints: Vec<String>,
}

/// Understands a command line, whose first word is the program, and the
/// `HOST_*` variables of this process.
///
/// # Errors
/// It cannot be understood, or asks for the help or the version.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<CommandLine, Error> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    match words.get(1).map(|word| word.as_encoded_bytes()) {
        None => words = vec!["host".into(), "-h".into()],
        Some(b"-h" | b"--help" | b"-V" | b"--version") => {}
        Some(flag) if flag.starts_with(b"-") => words.insert(1, "run".into()),
        Some(_) => {}
    }
    let hints = old_names::replace(&mut words);
    let typed = variables::Typed::new(&words);
    let command = typed.with_variables(Cli::command(), &|name| std::env::var_os(name).is_some());
    let matches = command.try_get_matches_from(words);
    let matches = matches.map_err(|error| typed.name_the_variable(error))?;
    let command = Cli::from_arg_matches(&matches)?.command;
    Ok(CommandLine { command, hints })
}

#[cfg(test)]
mod tests;
