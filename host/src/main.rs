//! The program `host`: parses, builds a node, waits for its end, exits.

use std::process::ExitCode;

use clap::Parser as _;
use host::{cli::Cli, log, node};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init(cli.log_format);
    match node::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
