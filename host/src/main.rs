//! The program `host`: parses the command line, runs a node or another command,
//! and exits. A node starts it again, as the process that compiles.

use std::process::ExitCode;

use host::cli::{self, Command};
use host::commands;
use host::node::{self, log};
use runtime::compile::worker;

fn main() -> ExitCode {
    let typed = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    for hint in &typed.hints {
        eprintln!("{hint}");
    }
    let ended = match typed.command {
        Command::Run(run) => {
            log::init(run.log_format);
            let ended = node::run(*run).map(|()| 0);
            ended.map_err(|error| (1, error.to_string()))
        }
        Command::CompileWorker => {
            let ended = worker::run().map(|()| 0);
            ended.map_err(|error| (1, error.to_string()))
        }
        Command::Tool(tool) => commands::run(*tool)
            .map(|exit| exit.0)
            .map_err(|error| (error.exit().0, error.to_string())),
    };
    match ended {
        Ok(exit) => ExitCode::from(exit),
        Err((exit, error)) => {
            eprintln!("error: {error}");
            ExitCode::from(exit)
        }
    }
}
