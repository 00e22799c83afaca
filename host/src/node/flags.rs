//! What is typed for `host run`: what is particular to one node. Nothing is
//! checked here beyond its form; [`super::config`] makes of it what a node can be
//! built from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};

use runtime::engine::ComponentRoom;
use runtime::generation::InstancePolicy;

use crate::app::bake::{RevertOnErrors, Rule};

/// What `host run --help` says at its end.
pub(crate) const AFTER: &str = "\
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

/// The flags of a node, as they were typed.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
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
    /// It exports ace:raxx/server, ace:raxx/simple-server,
    /// wasi:http/incoming-handler (0.2) or wasi:http/handler (0.3). A bare file name that is not in this
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
    #[arg(long, num_args = 2, value_names = ["GET", "PATH"], value_delimiter = ' ')]
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
    #[arg(long, value_name = "FILE", conflicts_with = "cookie")]
    pub cookie_file: Option<PathBuf>,

    /// A file with a second cookie, which is accepted but not sent with
    ///
    /// For changing the cookie of a cluster: host cookie --help. The environment
    /// variable HOST_ALSO_COOKIE does the same. [default: FILE.also beside the
    /// file of the cookie, if there is such a file]
    #[arg(long, value_name = "FILE")]
    pub also_cookie_file: Option<PathBuf>,

    /// Take only releases that this key has signed: 64 hex digits
    ///
    /// The public half of a deploy key, as `host key new` prints it. Then
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
    #[arg(long, value_name = "PORT", default_value_t = cluster::CLUSTER_PORT)]
    pub cluster_port: u16,

    /// Nodes to join where broadcast does not reach, retried for ever
    ///
    /// May be given more than once, and takes a list: 10.1.0.5,10.2.0.5:8383.
    /// A DNS name stands for all its IPv4 addresses; it need not resolve yet,
    /// and is looked up again while none of them is a member. Addresses
    /// outside of the own subnet need --member-net, on both sides.
    #[arg(long, value_name = "IP|NAME[:PORT]", value_delimiter = ',')]
    pub join: Vec<String>,

    /// Networks outside of the own subnet that nodes may come from
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub member_net: Vec<String>,

    /// Where this node keeps what outlives it: its boot number, a generated
    /// cookie, components and releases, compiled code
    ///
    /// [default: a folder for each NAME@IP in /var/lib/ace-raxx for root, else in
    /// $XDG_STATE_HOME/ace-raxx or ~/.local/state/ace-raxx]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// Wait so long for the IP of the name to be on this machine
    ///
    /// For services that start before the network: 60s, 5m. Without it, a node
    /// whose IP is not there refuses to start. A node that runs waits as long if
    /// its IP goes away, else 10 s, and then ends.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub wait_address: Option<Duration>,

    /// A file with config of the app for this node alone, at most 64 KiB
    ///
    /// It has lines KEY=VALUE, and counts before what `host config set` sets for all nodes.
    /// docs/data.md says how values are written. A file in any other form is given to apps of
    /// ace:raxx as it is.
    #[arg(long, value_name = "FILE")]
    pub app_config: Option<PathBuf>,

    /// Whether calls of the app share instances: fresh, or reuse[=CALLS]
    ///
    /// fresh: each callback, or request of a wasi:http 0.2 app, has an instance
    /// of its own, and sees nothing of another. reuse: a live instance takes the
    /// next one, up to CALLS (1000) or up to a quarter fewer; so what an app
    /// leaves in its memory, a later call finds there. No instance outlives its
    /// code, a failure, or three seconds without a call.
    #[arg(long, value_name = "fresh|reuse[=CALLS]", default_value_t = InstancePolicy::Fresh)]
    pub instances: InstancePolicy,

    /// Processor time that one callback of the app may use
    ///
    /// A stream of a wasi:http app gets back what it used while it waits, so it
    /// may last.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration,
          help_heading = "Limits")]
    pub cpu_limit: Duration,

    /// Time that one callback may take; for a wasi:http app, until its response head
    ///
    /// The time that it waits for its client or for a processor does not count.
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

    /// Memory that the node may use; at nine tenths of it, new requests get 503
    ///
    /// What is resident and belongs to the process alone is counted, and looked
    /// at all the time. [default: three quarters of what the cgroup allows or the
    /// machine has, or less where --compile-memory leaves less]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub memory_budget: Option<ByteSize>,

    /// Core instances that one component may have, with the components in it
    ///
    /// Components of some toolchains have many parts, and one that is composed
    /// of others has all of theirs. A node that refuses a component for this
    /// names the number that it has.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = ComponentRoom::default().core_instances,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = "Limits"
    )]
    pub max_core_instances: u32,

    /// Memories that one component may have, with the components in it
    ///
    /// All of them together have --memory-limit. The more memories a component
    /// has, the fewer of its instances run at a time.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = ComponentRoom::default().memories,
        value_parser = clap::value_parser!(u32).range(1..=1_000),
        help_heading = "Limits"
    )]
    pub max_memories: u32,

    /// Tables that one component may have, with the components in it
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = ComponentRoom::default().tables,
        value_parser = clap::value_parser!(u32).range(1..=1_000),
        help_heading = "Limits"
    )]
    pub max_tables: u32,

    /// Elements that one table may have; they count as memory, 8 bytes each
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = ComponentRoom::default().table_elements as u32,
        value_parser = clap::value_parser!(u32).range(1_000..=1_000_000),
        help_heading = "Limits"
    )]
    pub max_table_elements: u32,

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

    /// The largest component that is taken, from a file, a push or another
    /// node; the same on every node
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Limits"
    )]
    pub max_component: ByteSize,

    /// Memory that compiling one component may take
    ///
    /// Components are compiled in a process of their own. One that needs more
    /// is refused; it has a function that is very large, as a rule. The
    /// compiled code may have a quarter of it. [default: half of the memory of
    /// this machine or control group, at least 640 MiB and at most 2 GiB, and never more than
    /// three quarters]
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub compile_memory: Option<ByteSize>,

    /// Processor time that compiling one component may take, of all processors
    /// together
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration,
          help_heading = "Limits")]
    pub compile_time: Duration,

    /// How many components are kept in the data folder, to go back to; the one
    /// that serves and the one before it always are
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 5,
        value_parser = clap::value_parser!(u8).range(2..=100),
        help_heading = "Limits"
    )]
    pub keep_components: u8,

    /// Time that open exchanges have to finish when the node stops, or the code
    /// changes and does not take them over
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration,
          help_heading = "Limits")]
    pub drain: Duration,

    /// When new code is left for the release before: RATE%/TIME, or off
    ///
    /// This node votes against a release if, in any such time while it is new,
    /// more than RATE of its requests failed (5xx, a trap, a limit, a response
    /// that was cut) beyond what did of the release before, or if answers take
    /// much longer. Fewer than 20 requests say nothing, and one client counts
    /// at most half of what is needed. More
    /// votes against a release than for it, or one of a canary, and the release
    /// before is the target again.
    #[arg(long, value_name = "RATE%/TIME|off", default_value_t = RevertOnErrors(Some(Rule::default())),
          help_heading = "Limits")]
    pub revert_on_errors: RevertOnErrors,

    /// How log lines are written, on standard error
    ///
    /// HOST_LOG sets how much: error, warn, info (the default), debug, or
    /// per module as in `info,host=debug`.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
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
