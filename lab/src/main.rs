//! `lab`: measures the cluster on a LAN of network namespaces, and walks
//! through the README. `cargo xtask lab` and `cargo xtask readme` build what
//! this needs and call it.

use anyhow::{Result, bail};
use clap::Parser;
use lab::compare::cases::Case;
use lab::compare::servers::Contender;
use lab::compare::{self, Tools};
use lab::figures::Plan;
use lab::figures::faults::{self, FaultPlan};
use lab::figures::push::{self, PushPlan};
use lab::figures::rollouts::{self, RolloutPlan};
use lab::figures::schedules::{self, SchedulePlan};
use lab::soak::{self, SoakPlan};
use lab::{Programs, figures, readme, skip};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// Let faults happen to a crowd of nodes, and print the table.
    Faults(Faults),
    /// Push to three nodes and to many, and print the table.
    Push(Push),
    /// Let releases fail, and those who have a part in them die, and print the table.
    Rollouts {
        /// The host program.
        #[arg(long)]
        host: PathBuf,
        /// The component to serve, and to make others of.
        #[arg(long)]
        app: PathBuf,
        /// How often each is measured.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Only rows whose name contains this.
        #[arg(default_value = "")]
        only: String,
    },
    /// Let two decisions be made at once on two sides of a LAN that falls apart
    /// and heals, again and again, and print the table.
    Schedules {
        /// The host program.
        #[arg(long)]
        host: PathBuf,
        /// The component that is pushed, each time with another mark in it.
        #[arg(long)]
        app: PathBuf,
        /// How many schedules.
        #[arg(long, default_value_t = 100)]
        count: u32,
        /// The seed of the first; the next one has the next.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Let random troubles come to three nodes under load, to which components are
    /// pushed all along, and print what came of it.
    Soak(Soak),
    /// Ask this host and other servers the same, and print what it costs them.
    Compare(Compare),
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

/// What `lab faults` takes.
#[derive(clap::Args)]
struct Faults {
    /// The host program.
    #[arg(long)]
    host: PathBuf,
    /// The component to serve.
    #[arg(long)]
    app: PathBuf,
    /// The component whose guests burn: the fixture `misbehave`.
    #[arg(long)]
    misbehave: PathBuf,
    /// How many nodes.
    #[arg(long, default_value_t = 10)]
    nodes: u8,
    /// How often each fault happens.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long cables are poor.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    poor: Duration,
    /// How long guests burn.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    burn: Duration,
    /// How long nothing happens.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// What the dice of the poor cables begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only rows whose name contains this.
    #[arg(default_value = "")]
    only: String,
}

/// What `lab push` takes.
#[derive(clap::Args)]
struct Push {
    /// The host program.
    #[arg(long)]
    host: PathBuf,
    /// The component to serve, and to make others of.
    #[arg(long)]
    app: PathBuf,
    /// How many nodes the large cluster has.
    #[arg(long, default_value_t = 20)]
    nodes: u8,
    /// How large the component is that these are pushed, in bytes.
    #[arg(long, default_value_t = 1_000_000)]
    size: usize,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How many pushes are made under load.
    #[arg(long, default_value_t = 20)]
    pushes: u32,
    /// Only rows whose name contains this.
    #[arg(default_value = "")]
    only: String,
}

/// What `lab soak` takes.
#[derive(clap::Args)]
struct Soak {
    /// The host program.
    #[arg(long)]
    host: PathBuf,
    /// The component to serve, and to make others of.
    #[arg(long)]
    app: PathBuf,
    /// For how long troubles come.
    #[arg(long, default_value = "30m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// What the dice begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More components to push.
    apps: Vec<PathBuf>,
}

/// What `lab compare` takes.
#[derive(clap::Args)]
struct Compare {
    /// The host program.
    #[arg(long)]
    host: PathBuf,
    /// The example app.
    #[arg(long)]
    app: PathBuf,
    /// The bare server.
    #[arg(long)]
    bare: PathBuf,
    /// The program wasmtime.
    #[arg(long)]
    wasmtime: Option<PathBuf>,
    /// The folder of the components that are only for this.
    #[arg(long)]
    fixtures: PathBuf,
    /// The folder of the components of other makers.
    #[arg(long)]
    makers: PathBuf,
    /// Where http.json and http.svg go.
    #[arg(long)]
    out: PathBuf,
    /// What is asked; all of it by default.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Who is asked; all by default.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Contender>,
    /// How often each server has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// For how many seconds it is asked each time.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
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
    let needs_lan = !matches!(command, Command::Compare(_));
    if needs_lan && let Some(obstacle) = skip::lan_obstacle() {
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
        Command::Faults(args) => faults::print(&FaultPlan {
            programs: Programs::new(&args.host, &args.app)?,
            misbehave: args.misbehave,
            nodes: args.nodes,
            rounds: args.rounds,
            poor: args.poor,
            burn: args.burn,
            idle: args.idle,
            seed: args.seed,
            only: args.only,
        }),
        Command::Schedules {
            host,
            app,
            count,
            seed,
        } => schedules::print(&SchedulePlan {
            programs: Programs::new(&host, &app)?,
            count,
            seed,
        }),
        Command::Rollouts {
            host,
            app,
            rounds,
            only,
        } => rollouts::print(&RolloutPlan {
            programs: Programs::new(&host, &app)?,
            rounds,
            only,
        }),
        Command::Push(args) => push::print(&PushPlan {
            programs: Programs::new(&args.host, &args.app)?,
            nodes: args.nodes,
            size: args.size,
            rounds: args.rounds,
            pushes: args.pushes,
            only: args.only,
        }),
        Command::Soak(args) => soak::print(&SoakPlan {
            programs: Programs::new(&args.host, &args.app)?,
            apps: args.apps,
            lasting: args.time,
            seed: args.seed,
        }),
        Command::Readme { bin, line } => readme::walk(&bin, &line),
        Command::Compare(args) => compare(args),
    }
}

fn compare(args: Compare) -> Result<()> {
    compare::print(&compare::Plan {
        tools: Tools {
            host: args.host,
            bare: args.bare,
            wasmtime: args.wasmtime,
            app: args.app,
            fixtures: args.fixtures,
            makers: args.makers,
        },
        cases: match args.cases.is_empty() {
            true => Case::ALL.to_vec(),
            false => args.cases,
        },
        servers: match args.servers.is_empty() {
            true => Contender::ALL.to_vec(),
            false => args.servers,
        },
        rounds: args.rounds,
        seconds: args.seconds,
        out: args.out,
    })
}
