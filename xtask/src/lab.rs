//! `cargo xtask lab`: builds what the `lab` program measures, and runs it.

use crate::command::{cargo, run as run_command};
use crate::{guests, makers, packages, setup, workspace};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// The arguments of `cargo xtask lab`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// How often each event is measured.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Measure only the rows whose name contains this.
    #[arg(value_name = "ROW")]
    only: Option<String>,
    #[command(subcommand)]
    what: Option<What>,
}

/// The other measurements.
#[derive(clap::Subcommand)]
enum What {
    /// Let faults happen to ten nodes or more and print the table: kill -9,
    /// SIGSTOP, cut cables, halves, lost and late frames, guests that burn all
    /// processors, and a while in which nothing happens.
    Faults(Faults),
    /// Make two decisions about the app at once, on two sides of a LAN that falls
    /// apart and heals, by random schedules, and print the table.
    Schedules(Schedules),
    /// Push to three nodes and to many, and print the table: how long until all
    /// serve it and what takes that time, requests lost under load, a cable that is
    /// pulled while a node fetches, a full disk.
    Push(Push),
    /// Let releases fail, kill nodes and commands that have a part in them, and
    /// print the table: a release that traps, on all nodes or on a canary, with the
    /// LAN whole or cut; a newer push while nodes go back; kill -9 of a canary, of
    /// the command that pushes, and of a node that fetches.
    Rollouts(Rollouts),
    /// Let random troubles come to three nodes under load, while components are
    /// pushed all along, and check that no request is lost which no trouble
    /// explains, that all serve one release in the end, and that memory, handles
    /// and disk are back where they were.
    Soak(Soak),
}

/// The arguments of `cargo xtask lab soak`.
#[derive(clap::Args)]
struct Soak {
    /// For how long troubles come, e.g. 5m.
    #[arg(long, value_name = "TIME", default_value = "30m")]
    time: String,
    /// The seed: the same troubles in the same order.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// The arguments of `cargo xtask lab rollouts`.
#[derive(clap::Args)]
struct Rollouts {
    /// How often each is measured.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Measure only the rows whose name contains this.
    #[arg(value_name = "ROW")]
    only: Option<String>,
}

/// The arguments of `cargo xtask lab schedules`.
#[derive(clap::Args)]
struct Schedules {
    /// How many schedules.
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: u32,
    /// The seed of the first schedule. Each further schedule has the next seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// The arguments of `cargo xtask lab faults`.
#[derive(clap::Args)]
struct Faults {
    /// How many nodes, 4 to 200.
    #[arg(long, value_name = "N", default_value_t = 10)]
    nodes: u8,
    /// How often each fault happens.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// How long frames are lost or late, e.g. 1m.
    #[arg(long, value_name = "TIME", default_value = "1m")]
    poor: String,
    /// How long guests use all processors.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    burn: String,
    /// How long nothing happens.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    idle: String,
    /// The seed for losing and delaying frames.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Measure only the rows whose name contains this.
    #[arg(value_name = "ROW")]
    only: Option<String>,
}

/// The arguments of `cargo xtask lab push`.
#[derive(clap::Args)]
struct Push {
    /// How many nodes the large cluster has, 4 to 100.
    #[arg(long, value_name = "N", default_value_t = 20)]
    nodes: u8,
    /// How large the component is that is pushed to these nodes, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000)]
    size: usize,
    /// How often each is measured.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// How many pushes are made under load.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pushes: u32,
    /// Measure only the rows whose name contains this.
    #[arg(value_name = "ROW")]
    only: Option<String>,
}

/// Builds the programs and runs the lab.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    packages::for_tests()?;
    let app = guests::release()?;
    build()?;
    match &args.what {
        None => run_command(&mut figures(args, &app)),
        Some(What::Push(args)) => run_command(&mut push(args, &app)),
        Some(What::Faults(args)) => {
            guests::for_tests()?;
            run_command(&mut faults(args, &app))
        }
        Some(What::Rollouts(args)) => {
            guests::for_tests()?;
            run_command(&mut rollouts(args, &app))
        }
        Some(What::Schedules(args)) => run_command(&mut schedules(args, &app)),
        Some(What::Soak(args)) => {
            guests::for_tests()?;
            makers::all()?;
            run_command(&mut soak(args, &app))
        }
    }
}

/// Builds the programs together, so that what they share is built once.
pub(crate) fn build() -> Result<()> {
    let parts = [
        "--bins",
        "--example",
        "bare",
        "--package",
        "host",
        "--package",
        "lab",
    ];
    run_command(cargo(&["build", "--release"]).args(parts))
}

fn figures(args: &Args, app: &Path) -> Command {
    let mut lab = lab("figures", app);
    lab.arg("--bare")
        .arg(workspace::target().join("release/examples/bare"))
        .arg("--rounds")
        .arg(args.rounds.to_string())
        .args(&args.only);
    lab
}

fn faults(args: &Faults, app: &Path) -> Command {
    let mut lab = lab("faults", app);
    lab.arg("--misbehave")
        .arg(workspace::target().join("wasm32-wasip2/debug/fixture_misbehave.wasm"))
        .args(["--nodes", &args.nodes.to_string()])
        .args(["--rounds", &args.rounds.to_string()])
        .args(["--poor", &args.poor])
        .args(["--burn", &args.burn])
        .args(["--idle", &args.idle])
        .args(["--seed", &args.seed.to_string()])
        .args(&args.only);
    lab
}

fn schedules(args: &Schedules, app: &Path) -> Command {
    let mut lab = lab("schedules", app);
    lab.args(["--count", &args.count.to_string()])
        .args(["--seed", &args.seed.to_string()]);
    lab
}

fn push(args: &Push, app: &Path) -> Command {
    let mut lab = lab("push", app);
    lab.args(["--nodes", &args.nodes.to_string()])
        .args(["--size", &args.size.to_string()])
        .args(["--rounds", &args.rounds.to_string()])
        .args(["--pushes", &args.pushes.to_string()])
        .args(&args.only);
    lab
}

fn rollouts(args: &Rollouts, app: &Path) -> Command {
    let mut lab = lab("rollouts", app);
    lab.args(["--rounds", &args.rounds.to_string()])
        .args(&args.only);
    lab
}

fn soak(args: &Soak, app: &Path) -> Command {
    let mut lab = lab("soak", app);
    lab.args(["--time", &args.time])
        .args(["--seed", &args.seed.to_string()])
        .args(makers::built());
    lab
}

/// The program `lab` with this command.
pub(crate) fn lab(command: &str, app: &Path) -> Command {
    let mut lab = Command::new(workspace::target().join("release/lab"));
    lab.arg(command)
        .arg("--host")
        .arg(workspace::host())
        .arg("--app")
        .arg(app);
    lab
}
