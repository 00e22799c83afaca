//! The program `host`: parses, builds a node or does what was asked instead,
//! waits for its end, exits.

use std::process::ExitCode;

use clap::Parser as _;
use host::commands::{self, cli::Cli};
use host::node::{self, log};

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    let ended = match cli.command.take() {
        Some(command) => match commands::run(command) {
            Ok(exit) => return ExitCode::from(exit.0),
            Err(error) => Err((error.exit().0, error.to_string())),
        },
        None => {
            log::init(cli.log_format);
            node::run(cli).map_err(|error| (1, error.to_string()))
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, error)) => {
            eprintln!("error: {error}");
            ExitCode::from(exit)
        }
    }
}
