//! The program `host`: parses, builds a node or does what was asked instead,
//! waits for its end, exits.

use std::process::ExitCode;

use clap::Parser as _;
use host::cli::{Cli, Command};
use host::{cookies, log, node};

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    let ended = match cli.command.take() {
        Some(Command::Cookie { command }) => {
            cookies::command::run(command).map_err(|error| error.to_string())
        }
        None => {
            log::init(cli.log_format);
            node::run(cli).map_err(|error| error.to_string())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
