//! How the loop comes up: sockets, the control server, lookups, the core, and the boot number.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use cluster::{Boot, Config, DATAGRAM_MAX, Effect, Input, Node, Serving, Time};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Clock, Driver};
use crate::control;
use crate::control::{ControlServer, Dialler, Links};
use crate::data::wall_ms;
use crate::data_dir::DataDir;
use crate::membership::boot_store::BootStore;
use crate::membership::broadcast::Broadcast;
use crate::membership::record_store::{RELEASES, RecordStore, SETTINGS};
use crate::membership::seeds::{self, FoundSeed, Search, SeedName, System};
use crate::membership::silence::SilenceHint;
use crate::membership::{Channel, MembershipConfig, MembershipCounts, Outside, StartError};
use crate::net::{self, LocalAddress};

/// How many events of the control channel may wait; beyond that, its connections are held back.
const EVENTS_WAITING: usize = 64;

/// How many lookup results may wait; the next lookup waits for room.
const FOUND_WAITING: usize = 16;

/// Callers that may wait to be accepted.
const BACKLOG: i32 = 64;

/// When this program was built, in milliseconds since 1970-01-01 UTC; build.rs writes it.
const BUILT_MS: u64 = include!(concat!(env!("OUT_DIR"), "/built_ms"));

impl Driver {
    /// Binds everything and stores the boot number. Must be called in the runtime that runs it.
    pub(in crate::membership) fn start(
        settings: MembershipConfig,
        channel: Channel,
        outside: Outside,
    ) -> Result<Self, StartError> {
        let local = net::find(settings.name.ip())?;
        let boots = BootStore::new(settings.data_dir.clone());
        let [releases, stored_settings] = record_stores(&settings.data_dir)?;
        let config = core_config(&settings, &local, boots.load()?)?;

        let at = SocketAddrV4::new(local.ip, settings.cluster_port);
        let listener = net::tcp_listener(at, BACKLOG, "--cluster-port")?;
        let gossip = net::gossip_socket(at)?;
        let broadcast = Broadcast::start(local, settings.cluster_port)?;

        let (events_in, events) = mpsc::channel(EVENTS_WAITING);
        let control = Arc::new(control::CallerCounts::default());
        let server = ControlServer {
            me: settings.name.clone(),
            identity: channel.identity.clone(),
            reach: [&[config.subnet], &config.allow[..]].concat(),
            is_here: net::is_here,
            service: settings.service,
            runtime: channel.runtime,
            waits: control::WAITS,
            events: events_in.clone(),
            counters: control.clone(),
        };
        let dialler = Dialler {
            me: settings.name.clone(),
            identity: channel.identity.clone(),
        };
        let links = Links::new(dialler, settings.cluster_port, events_in);
        let may_find_others = may_find_others(&config, &settings.join_names);
        let (mut tasks, found) = look_up(settings.join_names, &config, &outside);
        let clock = Clock::begin();
        let mut node = Node::new(config, &settings.keys, clock.now(), seed()?);
        let waiting = begin(&mut node, clock.now(), settings.serving, &boots)?;
        outside.views.send_replace(node.view());
        outside.settings.send_replace(node.settings());
        tasks.spawn(server.run(listener));
        let mut driver = Self {
            node,
            silence: SilenceHint::new(clock.start, settings.cluster_port),
            name: settings.name,
            clock,
            gossip,
            broadcast,
            links,
            events,
            boots,
            held: None,
            may_find_others,
            releases,
            stored_settings,
            file_again: None,
            file_asked: None,
            shown: 0,
            outside,
            counters: MembershipCounts::default(),
            control,
            identity: channel.identity,
            found,
            _tasks: tasks,
            departed: false,
            buffer: vec![0; DATAGRAM_MAX + 1],
        };
        driver.begin(waiting);
        Ok(driver)
    }

    /// Does what the core wants first, and shows what is known.
    fn begin(&mut self, waiting: Vec<Effect>) {
        for effect in waiting {
            self.carry_out(effect, &mut None);
        }
        self.publish_overview();
        self.publish_merged();
    }
}

fn seed() -> Result<u64, StartError> {
    SysRng
        .try_next_u64()
        .map_err(|error| StartError::Random(io::Error::other(error)))
}

/// The files of releases and of settings.
fn record_stores(folder: &Arc<DataDir>) -> Result<[RecordStore; 2], StartError> {
    let start = |file| RecordStore::start(file, folder.clone()).map_err(StartError::Thread);
    Ok([start(&RELEASES)?, start(&SETTINGS)?])
}

/// Whether there is a way in which others can be found.
fn may_find_others(config: &Config, join_names: &[SeedName]) -> bool {
    config.broadcast.is_some() || !config.join.is_empty() || !join_names.is_empty()
}

/// What the core is told of this node.
fn core_config(
    settings: &MembershipConfig,
    local: &LocalAddress,
    boot_stored: Option<Boot>,
) -> Result<Config, StartError> {
    let config = Config {
        name: settings.name.clone(),
        url: settings.url.clone(),
        cluster_port: settings.cluster_port,
        broadcast: local
            .broadcast
            .map(|ip| SocketAddrV4::new(ip, settings.cluster_port)),
        subnet: local.subnet,
        allow: settings.allow.clone(),
        join: settings.join.clone(),
        boot_stored,
        releases_stored: settings.releases_stored.clone(),
        settings_stored: settings.settings_stored.clone(),
        app_config: settings.app_config.clone(),
        data: settings.data.clone(),
        deploy_key: settings.deploy_key.clone(),
        built_ms: BUILT_MS,
        wall_ms: wall_ms(),
    };
    config.check()?;
    if config.broadcast.is_none() && config.join.is_empty() && settings.join_names.is_empty() {
        tracing::warn!(
            interface = local.interface,
            "this network has no broadcast, so nobody is found; name a member with --join"
        );
    }
    Ok(config)
}

/// Looks up the names to join, each in a task, and returns where the results come.
fn look_up(
    names: Vec<SeedName>,
    config: &Config,
    outside: &Outside,
) -> (JoinSet<()>, mpsc::Receiver<FoundSeed>) {
    let (found_in, found) = mpsc::channel(FOUND_WAITING);
    let mut tasks = JoinSet::new();
    for (number, name) in (0..).zip(names) {
        let search = Search {
            number,
            name,
            me: config.name.ip(),
            config: config.clone(),
            views: outside.views.subscribe(),
            found: found_in.clone(),
            waits: seeds::WAITS,
        };
        tasks.spawn(search.run(System));
    }
    (tasks, found)
}

/// Tells the core what serves, and stores the boot number, which it wants first: here a failure
/// can still be reported to the caller. Returns what else the core wants.
fn begin(
    node: &mut Node,
    now: Time,
    serving: Option<Serving>,
    boots: &BootStore,
) -> Result<Vec<Effect>, StartError> {
    if let Some(serving) = serving {
        node.handle(now, wall_ms(), Input::Serving(serving));
    }
    let mut waiting = Vec::new();
    while let Some(effect) = node.poll_effect() {
        match effect {
            Effect::StoreBoot(boot) => boots.store(boot)?,
            other => waiting.push(other),
        }
    }
    Ok(waiting)
}
