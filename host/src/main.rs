//! The program `host`: parses the command line, runs a node or another command,
//! and exits. A node starts it again, as a process that compiles.

use std::process::ExitCode;

use host::cli::{self, Command};
use host::commands;
use host::node::{self, log};
use host::terminal;
use runtime::compile::worker;

fn main() -> ExitCode {
    let typed = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match typed.command {
        Command::Run(run) => {
            log::init(run.log_format);
            for hint in &typed.hints {
                tracing::warn!("{hint}");
            }
            let error = node::run(*run).err().map(|error| error.to_string());
            log::end(error.as_deref());
            ExitCode::from(u8::from(error.is_some()))
        }
        Command::CompileWorker => match worker::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                commands::tell(&format!("error: {error}"));
                ExitCode::FAILURE
            }
        },
        Command::Tool(tool) => {
            for hint in &typed.hints {
                commands::tell(hint);
            }
            match commands::run(*tool) {
                Ok(exit) => ExitCode::from(exit.0),
                Err(error) => {
                    commands::tell(&format!("error: {}", terminal::lines(&error)));
                    ExitCode::from(error.exit().0)
                }
            }
        }
    }
}
