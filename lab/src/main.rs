//! `lab`: measures the cluster on a LAN of network namespaces, and walks
//! through the README. `cargo xtask lab` and `cargo xtask readme` build what
//! this needs and call it.

use anyhow::{Result, bail};
use clap::Parser;
use lab::figures::Plan;
use lab::{Programs, figures, readme, skip};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
enum Command {
    /// Measure, and print the table.
    Figures {
        /// The host program.
        #[arg(long)]
        host: PathBuf,
        /// The component to serve.
        #[arg(long)]
        app: PathBuf,
        /// The bare server to compare with.
        #[arg(long)]
        bare: PathBuf,
        /// How often each event is measured.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Only rows whose name contains this.
        #[arg(default_value = "")]
        only: String,
    },
    /// Run the line of the README on 10.10.10.2, and look at the page.
    Readme {
        /// The folder that `host` was installed to.
        #[arg(long)]
        bin: PathBuf,
        /// The line.
        #[arg(long)]
        line: String,
    },
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    if let Some(obstacle) = skip::lan_obstacle() {
        bail!("{obstacle}; run this as root, with iproute2");
    }
    match command {
        Command::Figures {
            host,
            app,
            bare,
            rounds,
            only,
        } => {
            let programs = Programs::new(&host, &app)?;
            figures::print(&Plan {
                programs,
                bare,
                rounds,
                only,
            })
        }
        Command::Readme { bin, line } => readme::walk(&bin, &line),
    }
}
