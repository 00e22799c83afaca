//! The command line as it is typed. Nothing is checked here beyond its form;
//! [`crate::node::config`] makes of it what a node can be built from.

mod cookie;
mod tools;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, Subcommand, ValueEnum};

pub use cookie::{CookieCommand, RotateStep, WhichNode};
pub use tools::{Ask, KeyCommand, LogLevel, Logs, Push, Releases, Rollback, Rollout};

use crate::app::health::{RevertOnErrors, Rule};

const ABOUT: &str = "Runs one node of a live cluster that serves a WASI component as its web app";

const LONG_ABOUT: &str = "\
Runs one node of a live cluster that serves a WASI component as its web app.

Nodes on one network find each other by UDP broadcast, trust each other by a \
shared cookie, and each serves the app over HTTP. There is nothing else to \
run: no control plane, no registry, no broker.

  host --name example@10.10.10.2 --cookie ace --app guest.wasm

The name says which IP the node has, and the IP must be this machine's. Start \
the same line on other machines, with their own IPs and the same cookie, and \
they are a cluster.";

const AFTER: &str = "\
Signals:
  SIGTERM, SIGINT  leave the cluster, close the listener, let open exchanges
                   finish for up to --drain, and exit; a second one exits at once
  SIGHUP           read the cookie files again; see host cookie --help

Ports:
  8080/tcp         HTTP/1.1 and HTTP/2 without TLS: the app
  8383/udp         beacons and membership, between nodes
  8383/tcp         control channel, TLS by the cookie, between nodes

Exit status:
  0  stopped by a signal, after the drain
  1  could not start, or had to stop; the last line on standard error says why
  2  the command line could not be understood";

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "host", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = AFTER)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(override_usage = "host [--app <FILE>] [OPTIONS]\n       host <COMMAND>")]
#[command(
    subcommand_help_heading = "Other commands",
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do instead of running a node.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Who this node is: NAME@IP, with an IPv4 address of this machine
    ///
    /// The name is free; nodes of a cluster often share it, as they differ by
    /// IP. Without it, the node is called `node` at the one private IPv4
    /// address of this machine, or at 127.0.0.1 if there is none or more than
    /// one; it says which.
    #[arg(long, value_name = "NAME@IP")]
    pub name: Option<String>,

    /// The web app: a WASI component
    ///
    /// It exports ace:raxx/server, ace:raxx/simple-server or
    /// wasi:http/incoming-handler (0.2). A bare file name that is not in this
    /// folder is looked for in target/wasm32-wasip{1,2}/{release,debug}, and
    /// the newest is taken; so is a newer one in another of these folders
    /// while the node runs.
    ///
    /// It is what the cluster serves first, and what it serves whenever the
    /// file has changed. Without it, a node serves what the cluster has agreed
    /// on, and until it knows of that, answers 503.
    #[arg(long, value_name = "FILE")]
    pub app: Option<PathBuf>,

    /// How changes of the app's file are noticed
    ///
    /// The node takes up a changed file while it runs: requests go to the new
    /// code, and open streams go over to it. A file that is no app is refused,
    /// and the app before goes on serving.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Watch::Notify)]
    pub watch: Watch,

    /// A request that an app must answer before it serves: GET and a path
    ///
    /// It is made to the new code alone, within the limits of a callback. A
    /// success or a redirect passes. After any other answer, a trap, or none in
    /// time the code is refused, and the app before goes on serving. Without
    /// it, an app must only start.
    #[arg(long, num_args = 2, value_names = ["GET", "PATH"])]
    pub smoke: Option<Vec<String>>,

    /// The shared secret of the cluster
    ///
    /// Only nodes with the same cookie see each other. Other users of this
    /// machine can read it in the list of processes: prefer --cookie-file, or
    /// the environment variable HOST_COOKIE. If no cookie is given at all, a
    /// strong one is made and kept in the data folder.
    #[arg(long, value_name = "COOKIE", conflicts_with = "cookie_file")]
    pub cookie: Option<String>,

    /// A file that holds the cookie; one line end at its end does not count
    #[arg(long, value_name = "FILE")]
    pub cookie_file: Option<PathBuf>,

    /// A file with a second cookie, that is accepted but not sent with
    ///
    /// For changing the cookie of a cluster by restarts; without restarts it
    /// goes by `host cookie rotate`. The environment variable HOST_ALSO_COOKIE
    /// does the same. [default: FILE.next or FILE.previous beside the file of
    /// the cookie, where `host cookie rotate` has put it]
    #[arg(long, value_name = "FILE")]
    pub also_cookie_file: Option<PathBuf>,

    /// Take only releases that this key has signed: 64 hex digits
    ///
    /// The public half of a deploy key, as `host key generate` prints it. Then
    /// who has the cookie alone cannot deploy, and a changed app file is not
    /// released either. Give it to every node.
    #[arg(long, value_name = "PUBLIC")]
    pub deploy_key: Option<String>,

    /// Where HTTP listens, instead of the IP of the name and port 8080
    ///
    /// The environment variable PORT changes the port alone.
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Option<SocketAddr>,

    /// The UDP and TCP port of membership; the same on every node
    #[arg(long, value_name = "PORT", default_value_t = crate::node::config::CLUSTER_PORT)]
    pub cluster_port: u16,

    /// Nodes to join where broadcast does not reach, retried for ever
    ///
    /// May be given more than once, and takes a list: 10.1.0.5,10.2.0.5:8383.
    /// A DNS name stands for all its IPv4 addresses; it need not resolve yet,
    /// and is looked up again while none of them is a member. Addresses
    /// outside of the own subnet need --allow, on both sides.
    #[arg(long, value_name = "IP|NAME[:PORT]", value_delimiter = ',')]
    pub join: Vec<String>,

    /// Networks outside of the own subnet that nodes may come from
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub allow: Vec<String>,

    /// Where this node keeps what outlives it: its run number, a generated
    /// cookie, apps and releases, compiled code
    ///
    /// [default: a folder for each NAME@IP in /var/lib/ace-raxx for root, else in
    /// $XDG_STATE_HOME/ace-raxx or ~/.local/state/ace-raxx]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// Wait so long for the IP of the name to be on this machine
    ///
    /// For services that start before the network: 60s, 5m. Without it, a node
    /// whose IP is not there refuses to start.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub wait_address: Option<Duration>,

    /// A file whose bytes the app is given as its config, at most 64 KiB
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Processor time that one callback of the app may use
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration,
          help_heading = "Limits")]
    pub cpu_limit: Duration,

    /// Time that one callback may take; for a wasi:http app, until its response head
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration,
          help_heading = "Limits")]
    pub wall_limit: Duration,

    /// Memory that one instance of the app may use
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "128MiB",
        help_heading = "Limits"
    )]
    pub memory_limit: ByteSize,

    /// State that one exchange may keep between two callbacks
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64KiB",
        help_heading = "Limits"
    )]
    pub max_state: ByteSize,

    /// Body of a request to a simple app; a larger one is answered with 413
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "8MiB",
        help_heading = "Limits"
    )]
    pub max_body: ByteSize,

    /// An app, as a file, pushed, or of another node; the same on every node
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Limits"
    )]
    pub max_app: ByteSize,

    /// How many apps are kept in the data folder, to go back to; the one that
    /// serves and the one before it always are
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 5,
        value_parser = clap::value_parser!(u8).range(2..=100),
        help_heading = "Limits"
    )]
    pub keep_apps: u8,

    /// Time that open exchanges have to finish when the node stops, or the code
    /// changes and does not take them over
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration,
          help_heading = "Limits")]
    pub drain: Duration,

    /// When new code is left for the release before: RATE%/TIME, or off
    ///
    /// This node votes against a release if, in any such time while it is new,
    /// more than RATE of its requests trapped or passed their limits beyond
    /// what did of the release before. Fewer than 20 requests say nothing. More
    /// votes against a release than for it, or one of a canary, and the release
    /// before is the target again.
    #[arg(long, value_name = "RATE/TIME|off", default_value_t = RevertOnErrors(Some(Rule::default())),
          help_heading = "Limits")]
    pub revert_on_errors: RevertOnErrors,

    /// How log lines are written, on standard error
    ///
    /// HOST_LOG sets how much: error, warn, info (the default), debug, or
    /// per module as in `info,host=debug`.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What can be done instead of running a node.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Says what the node of this machine is and does
    Status(Ask),
    /// Lists the members, and what each serves
    Nodes(Ask),
    /// Lists the releases, and what has become of each
    Releases(Releases),
    /// Releases an app to every node, and follows it
    #[command(after_help = tools::AFTER_PUSH)]
    Push(Push),
    /// Goes back to an earlier release, on every node, and follows it
    Rollback(Rollback),
    /// Shows the newest lines of the node's log
    Logs(Logs),
    /// Makes a deploy key: where nodes have one, only signed releases are taken
    #[command(after_help = tools::AFTER_KEY, disable_help_subcommand = true)]
    Key {
        /// What to do.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Makes a cookie, or changes that of a cluster while it runs
    #[command(after_help = cookie::AFTER, disable_help_subcommand = true)]
    Cookie {
        /// What to do.
        #[command(subcommand)]
        command: CookieCommand,
    },
}

/// How changes of the app's file are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Watch {
    /// The system tells; the file is looked at once a second besides
    Notify,
    /// The file is looked at ten times a second
    Poll,
    /// Not at all: the file is read at the start
    Off,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: one line each.
    Text,
    /// For machines: one JSON object each.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_line_of_the_readme_is_understood() {
        let line = "host --name example@10.10.10.2 --cookie ace --app guest.wasm";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.name.as_deref(), Some("example@10.10.10.2"));
        assert_eq!(cli.app, Some(PathBuf::from("guest.wasm")));
        assert!(cli.command.is_none());
        assert_eq!(cli.memory_limit.as_u64(), 128 << 20);
        assert_eq!(cli.revert_on_errors.to_string(), "20%/1m");
    }

    #[test]
    fn a_rate_that_is_none_is_refused_with_one_that_is() {
        let parse = |rate| Cli::try_parse_from(["host", "--app", "a", "--revert-on-errors", rate]);
        let error = parse("20").unwrap_err().to_string();
        assert!(error.contains("20%/60s, or off"), "{error}");
        assert_eq!(parse("off").unwrap().revert_on_errors.0, None);
    }

    #[test]
    fn fewer_apps_than_the_one_that_serves_and_the_one_before_it_are_never_kept() {
        let parse = |apps| Cli::try_parse_from(["host", "--keep-apps", apps]);
        let error = parse("1").unwrap_err().to_string();
        assert!(error.contains("2..=100"), "{error}");
        assert_eq!(parse("2").unwrap().keep_apps, 2);
    }

    #[test]
    fn a_command_about_cookies_takes_no_option_of_a_node() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("host --cookie ace").is_ok());
        assert!(parse("host cookie").is_err());
        let cli = parse("host cookie rotate accept new.cookie --name a@10.0.0.1").unwrap();
        assert!(matches!(
            cli.command,
            Some(Command::Cookie {
                command: CookieCommand::Rotate {
                    step: RotateStep::Accept { .. }
                }
            })
        ));
        assert!(parse("host cookie generate").is_ok());
        assert!(parse("host cookie generate --print").is_ok());
        assert!(parse("host --app a cookie status").is_err());
    }
}
