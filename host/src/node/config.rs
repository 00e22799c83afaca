//! The command line and the environment, checked: a node is built from this.
//! [`crate::node`] checks later what needs a look at the machine (its
//! addresses, its files).

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use cluster::release::{DeployKey, DeployKeyError};
use cluster::{Cidr, CidrError, ConfigLines, NameError, NodeName};
use http::uri::PathAndQuery;

use crate::app::WatchMode;
use crate::app::bake::Rule;
use crate::files::cookie::{COOKIE, CookieFileError, Origin};
use crate::node::flags::{RunArgs, Watch};
use mesh::membership::{SeedName, SeedNameError};
use mesh::store::LARGEST_APP;
use runtime::compile::{CompileLimits, CompilerConfig};
use runtime::contract::CallLimits;
use runtime::engine::ComponentRoom;
use runtime::generation::InstancePolicy;

/// The port of HTTP unless another one is given.
const HTTP_PORT: u16 = 8080;

/// The longest limit of time. A longer one would be none.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The least and the most memory that an instance can get, in bytes. A Rust
/// guest does not start in less, and WebAssembly does not address more.
const MEMORY: std::ops::RangeInclusive<u64> = 1 << 20..=4 << 30;
/// The least and the most of the memory budget, in bytes. A node without an app has some tens of
/// MiB.
const BUDGET: std::ops::RangeInclusive<u64> = 64 << 20..=1 << 46;
/// The least and the most memory that compiling a component can get, in bytes. The
/// compiler does not start in less, and no machine is asked for more.
const COMPILE_MEMORY: std::ops::RangeInclusive<u64> = 128 << 20..=1 << 40;
/// The executable of this process, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The largest limit of the state of an exchange, in bytes.
const MAX_STATE: u64 = 16 << 20;
/// The largest limit of a whole body, in bytes. Such a body is held in memory.
const MAX_BODY: u64 = 1 << 30;
/// How many nodes to join can be given.
const JOIN_MAX: usize = 64;
/// The least that `--max-component` can be, in bytes.
const MIN_COMPONENT: u64 = 64 << 10;
/// The longest path of a smoke request, in bytes.
const MAX_SMOKE: usize = 1024;
/// The largest config of an app, in bytes.
const MAX_CONFIG: u64 = 64 * 1024;

/// Why no node can be built from a command line.
#[derive(Debug, thiserror::Error)]
pub enum NodeConfigError {
    /// `--name` is wrong.
    #[error("--name: {0}")]
    Name(#[from] NameError),
    /// A cookie is wrong: `--cookie`, `--cookie-file`, `HOST_COOKIE`, or the
    /// second one.
    #[error(transparent)]
    Cookie(#[from] CookieFileError),
    /// A file that was named cannot be read.
    #[error("{flag}: cannot read {path}: {cause}")]
    File {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: std::io::Error,
    },
    /// `--deploy-key` is wrong.
    #[error("--deploy-key: {0}; `host key public FILE` prints it")]
    DeployKey(#[from] DeployKeyError),
    /// `--smoke` is wrong.
    #[error(
        "--smoke: `{0}` is no request to be made; give GET and a path, e.g. --smoke GET /health"
    )]
    Smoke(String),
    /// `PORT` is wrong.
    #[error(
        "the environment variable PORT is `{0}`, which is not a port; unset it, or give --http ADDR:PORT"
    )]
    Port(String),
    /// `--join` is wrong.
    #[error(
        "--join: `{text}` is not to be understood: {cause}; give IP, IP:PORT, NAME or NAME:PORT"
    )]
    Join {
        /// What was given.
        text: String,
        /// What is wrong.
        cause: SeedNameError,
    },
    /// Too many of `--join`.
    #[error(
        "--join: these are {0} nodes to join; give at most {JOIN_MAX}, one of each network is enough"
    )]
    JoinMany(usize),
    /// `--member-net` is wrong.
    #[error("--member-net: {0}")]
    MemberNet(#[from] CidrError),
    /// A limit is out of range.
    #[error("{flag} is {given}; it is at least {least} and at most {most}")]
    Limit {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: bytesize::ByteSize,
        /// The least.
        least: bytesize::ByteSize,
        /// The most.
        most: bytesize::ByteSize,
    },
    /// A time is zero, or so long that it is no limit.
    #[error("{0} is zero, or longer than a day; give a time such as 10s")]
    NoTime(&'static str),
}

/// What a node is built from.
#[derive(Debug)]
pub struct NodeConfig {
    /// The name of the node; none to find one.
    pub name: Option<NodeName>,
    /// The value of `--app`; none to serve what the cluster has agreed on.
    pub app: Option<PathBuf>,
    /// The request that an app must answer before it serves, if there is one.
    pub smoke: Option<PathAndQuery>,
    /// The largest component, in bytes.
    pub max_component: u64,
    /// How many components the store keeps.
    pub keep_components: usize,
    /// How the app file is watched, if it is.
    pub watch: Option<WatchMode>,
    /// Where the cookie comes from; none to use one in the data folder.
    pub cookie: Option<Origin>,
    /// Where the second cookie comes from. The node only accepts it.
    pub also_cookie: Option<Origin>,
    /// Where HTTP listens, if that was given.
    pub http: Option<SocketAddr>,
    /// The port of HTTP, if no full address was given.
    pub http_port: u16,
    /// The port of membership.
    pub cluster_port: u16,
    /// Nodes to join, by address.
    pub join: Vec<SocketAddrV4>,
    /// Nodes to join, by DNS name.
    pub join_names: Vec<SeedName>,
    /// Networks that nodes may come from, besides the node's own.
    pub member_nets: Vec<Cidr>,
    /// The data folder, if it was given.
    pub data_dir: Option<PathBuf>,
    /// How long to wait for the IP.
    pub wait_address: Option<Duration>,
    /// The app's config of this node, as the app is given it, if it is not in lines `KEY=VALUE`.
    pub app_config: Bytes,
    /// The app's config of this node, if it is in such lines.
    pub own_config: ConfigLines,
    /// What a callback may use.
    pub limits: CallLimits,
    /// The memory that the node may use, in bytes, if it was given.
    pub memory_budget: Option<u64>,
    /// Where and within which limits components are compiled.
    pub compiler: CompilerConfig,
    /// How many parts a component may have.
    pub room: ComponentRoom,
    /// Whether live instances take further calls.
    pub instances: InstancePolicy,
    /// The largest whole body of a request, in bytes.
    pub body_limit: usize,
    /// How long exchanges may take to finish when the node stops.
    pub drain: Duration,
    /// The deploy key, if only signed releases are accepted.
    pub deploy_key: Option<DeployKey>,
    /// When the node leaves a new release by itself; none for never.
    pub revert: Option<Rule>,
}

/// Environment variables beyond those of the flags.
#[derive(Debug, Default)]
pub struct Environment {
    /// `HOST_ALSO_COOKIE`.
    pub also_cookie: Option<String>,
    /// `PORT`.
    pub port: Option<String>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Environment {
        let text = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Environment {
            also_cookie: text("HOST_ALSO_COOKIE"),
            port: text("PORT"),
        }
    }
}

impl NodeConfig {
    /// Checks the command line.
    ///
    /// # Errors
    /// The first value that is wrong.
    pub fn check(typed: RunArgs, environment: Environment) -> Result<NodeConfig, NodeConfigError> {
        let name = typed.name.as_deref().map(str::parse).transpose()?;
        let http_port = match environment.port.filter(|port| !port.is_empty()) {
            Some(port) => port.parse().map_err(|_| NodeConfigError::Port(port))?,
            None => HTTP_PORT,
        };
        times_are_limits(&typed)?;
        let (limits, compiler) = (call_limits(&typed)?, compiler(&typed)?);
        let file = |flag| move |path| Origin::file(flag, path);
        let given = |from| move |text| Origin::given(from, text);
        let cookie = typed.cookie.map(given(COOKIE));
        let cookie = cookie.or_else(|| typed.cookie_file.map(file("--cookie-file")));
        let also = typed.also_cookie_file.map(file("--also-cookie-file"));
        let also = also.or_else(|| environment.also_cookie.map(given("HOST_ALSO_COOKIE")));
        let (cookie, also_cookie) = (cookie.transpose()?, also.transpose()?);
        let seeds = Seeds::check(&typed.join, typed.cluster_port)?;
        let (app_config, own_config) = app_config(typed.app_config)?;
        Ok(NodeConfig {
            name,
            app: typed.app,
            smoke: typed.smoke.map(|given| smoke(&given)).transpose()?,
            keep_components: typed.keep_components.into(),
            max_component: limit(
                "--max-component",
                typed.max_component,
                MIN_COMPONENT..=LARGEST_APP,
            )? as u64,
            watch: match typed.watch {
                Watch::Notify => Some(WatchMode::Notify),
                Watch::Poll => Some(WatchMode::Poll),
                Watch::Off => None,
            },
            cookie,
            also_cookie,
            http: typed.http,
            http_port,
            cluster_port: typed.cluster_port,
            join: seeds.addresses,
            join_names: seeds.names,
            member_nets: typed
                .member_net
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()?,
            data_dir: typed.data_dir,
            wait_address: typed.wait_address,
            app_config,
            own_config,
            limits,
            compiler,
            memory_budget: typed.memory_budget.map(memory_budget).transpose()?,
            room: ComponentRoom {
                core_instances: typed.max_core_instances,
                memories: typed.max_memories,
                tables: typed.max_tables,
                table_elements: typed.max_table_elements as usize,
            },
            instances: typed.instances,
            body_limit: limit("--max-body", typed.max_body, 0..=MAX_BODY)?,
            drain: typed.drain,
            deploy_key: typed.deploy_key.as_deref().map(str::parse).transpose()?,
            revert: typed.revert_on_errors.0,
        })
    }
}

fn times_are_limits(typed: &RunArgs) -> Result<(), NodeConfigError> {
    for (flag, time) in [
        ("--cpu-limit", typed.cpu_limit),
        ("--wall-limit", typed.wall_limit),
        ("--compile-time", typed.compile_time),
    ] {
        if time.is_zero() || time > DAY {
            return Err(NodeConfigError::NoTime(flag));
        }
    }
    Ok(())
}

fn memory_budget(given: bytesize::ByteSize) -> Result<u64, NodeConfigError> {
    Ok(limit("--memory-budget", given, BUDGET)? as u64)
}

fn limit(
    flag: &'static str,
    given: bytesize::ByteSize,
    range: std::ops::RangeInclusive<u64>,
) -> Result<usize, NodeConfigError> {
    match usize::try_from(given.as_u64()) {
        Ok(bytes) if range.contains(&given.as_u64()) => Ok(bytes),
        _ => {
            let [least, most] = [*range.start(), *range.end()].map(bytesize::ByteSize);
            Err(NodeConfigError::Limit {
                flag,
                given,
                least,
                most,
            })
        }
    }
}

fn call_limits(typed: &RunArgs) -> Result<CallLimits, NodeConfigError> {
    Ok(CallLimits {
        cpu: typed.cpu_limit,
        wall: typed.wall_limit,
        memory: limit("--memory-limit", typed.memory_limit, MEMORY)?,
        state: limit("--max-state", typed.max_state, 0..=MAX_STATE)?,
    })
}

fn compiler(typed: &RunArgs) -> Result<CompilerConfig, NodeConfigError> {
    let mut limits = CompileLimits::of_this_machine(typed.compile_time);
    if let Some(memory) = typed.compile_memory {
        limits.memory = limit("--compile-memory", memory, COMPILE_MEMORY)? as u64;
    }
    Ok(CompilerConfig {
        program: Some(THIS_PROGRAM.into()),
        limits,
    })
}

/// Checks the target of the smoke request, so that the request can always be
/// made.
fn smoke(given: &[String]) -> Result<PathAndQuery, NodeConfigError> {
    let refused = || NodeConfigError::Smoke(given.join(" "));
    match given {
        [method, path] if method == "GET" && path.starts_with('/') && path.len() <= MAX_SMOKE => {
            path.parse().map_err(|_| refused())
        }
        _ => Err(refused()),
    }
}

/// The config of this node: as it is, or if it is in lines `KEY=VALUE`, by its names.
fn app_config(file: Option<PathBuf>) -> Result<(Bytes, ConfigLines), NodeConfigError> {
    let Some(path) = file else {
        return Ok(Default::default());
    };
    match read(&path, MAX_CONFIG) {
        Ok(bytes) => {
            let text = std::str::from_utf8(&bytes).ok();
            match text.and_then(|text| ConfigLines::read(text).ok()) {
                Some(lines) => Ok((Bytes::new(), lines)),
                None => Ok((bytes.into(), ConfigLines::default())),
            }
        }
        Err(cause) => Err(NodeConfigError::File {
            flag: "--app-config",
            path,
            cause,
        }),
    }
}

/// Reads a small file, and no more than `most` bytes of it.
fn read(path: &std::path::Path, most: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!(
            "it has more than {most} bytes"
        )));
    }
    Ok(bytes)
}

/// The nodes to join, as they were given.
struct Seeds {
    addresses: Vec<SocketAddrV4>,
    names: Vec<SeedName>,
}

impl Seeds {
    fn check(given: &[String], port: u16) -> Result<Seeds, NodeConfigError> {
        if given.len() > JOIN_MAX {
            return Err(NodeConfigError::JoinMany(given.len()));
        }
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for text in given {
            let ip = text.parse::<Ipv4Addr>();
            let address = ip.map(|ip| SocketAddrV4::new(ip, port));
            match address.or_else(|_| text.parse::<SocketAddrV4>()) {
                Ok(address) => addresses.push(address),
                Err(_) => {
                    let name = SeedName::parse(text, port);
                    names.push(name.map_err(|cause| NodeConfigError::Join {
                        text: text.clone(),
                        cause,
                    })?);
                }
            }
        }
        Ok(Seeds { addresses, names })
    }
}

#[cfg(test)]
mod tests;
