//! A node: built from its parts, run until it is told to stop, taken down in
//! order.
//!
//! The order at the start: who am I, is that IP here, is the port free, does
//! the app work; then HTTP, and only then do other nodes hear of this one. So
//! a member that is listed serves. At the end the reverse: leave, close the
//! listener, drain.

mod apps;
pub mod config;
pub mod cookies;
mod desk;
mod face;
mod first;
pub mod flags;
pub mod log;
mod start;
mod stop;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use apps::Apps;
use desk::Desk;
use face::Face;
use flags::Run;
pub use start::StartError;

use crate::api;
use crate::api::{SocketError, ToolSocket};
use crate::app;
use crate::app::deploy::{BakeChecks, Candidate, Reporter};
use crate::app::publish;
use crate::app::publish::Inbox;
use crate::edge::{HttpLimits, Server};
use crate::node::config::{Config, ConfigError, Environment};
use cluster::Counted;
use mesh::counts::Publications;
use mesh::membership;
use mesh::membership::{FatalError, Membership};
use mesh::store::{Store, StoreError, StoreLimits};
use mesh::transfer::{ChunkServer, Fetcher};
use runtime::contract::NodeInfo;
use runtime::engine::{Runtime, RuntimeConfig, RuntimeError};
use runtime::exchange::{BodyLimits, Exchanges, ExchangesConfig};
use runtime::generation::{ComponentError, Slot};
use runtime::loader::Loader;
use runtime::smoke::Smoke;
use runtime::views::Views;

/// How long what was cut at the end of the drain may take to notice.
const CUT: Duration = Duration::from_millis(100);

/// Why a node did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The command line.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something on this machine.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The app could not be read.
    #[error(transparent)]
    Intake(#[from] app::IntakeError),
    /// The app cannot be one.
    #[error(transparent)]
    Refused(#[from] ComponentError),
    /// The store of apps.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The socket for `host status` and the like.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The engine.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Membership could not be set up.
    #[error(transparent)]
    Membership(#[from] membership::StartError),
    /// Membership cannot go on.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// See [`NodeError`].
pub fn run(typed: Run) -> Result<(), NodeError> {
    let config = Config::check(typed, Environment::of_process())?;
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("worker")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let ended = runtime.block_on(serve(config, workers));
    runtime.shutdown_timeout(CUT);
    ended
}

async fn serve(config: Config, workers: usize) -> Result<(), NodeError> {
    let (began, started) = (Instant::now(), SystemTime::now());
    // From here on a signal is taken note of, whatever the start is busy with.
    let mut signals = stop::Signals::listen().map_err(StartError::Signals)?;
    let hangups = stop::hangups().map_err(StartError::Signals)?;
    let identity = tokio::select! {
        identity = start::identity(&config) => identity?,
        () = signals.next() => return Ok(()),
    };
    let name = identity.name;
    let http = start::http_address(&config, &name);
    let port = start::take_port(http)?;
    let socket = ToolSocket::listen(identity.data.path())?;
    let limits = StoreLimits {
        component: config.max_component,
        components: config.keep_components,
        ..StoreLimits::default()
    };
    let store = Store::open(identity.data.clone(), limits)?;
    let stored = membership::stored_releases(&identity.data).map_err(StartError::Data)?;
    let followed = config.app.clone().zip(config.watch);
    let mut first = first::Start::read(
        config.app.as_deref(),
        config.max_component,
        config.deploy_key,
        stored.as_deref(),
        &name,
    )?;

    // Keys take their time from the processor; the compiler does not wait for them.
    let (cookie, also, data) = (config.cookie, config.also_cookie, identity.data.clone());
    let keys = tokio::task::spawn_blocking(move || start::cookies(cookie, also, &data));
    let members = watch::Sender::new(Arc::new(cluster::View::default()));
    let views = Views::new(members.subscribe(), name.clone());
    let engine = RuntimeConfig {
        limits: config.limits,
        workers,
        code_cache: Some(start::code_folder(&identity.data)?),
    };
    let runtime = Runtime::new(
        engine,
        Arc::new(NodeInfo {
            views: views.clone(),
        }),
    )?;
    let slot = Slot::new(config.drain);
    let smoke = config.smoke.map(|target| Smoke {
        target,
        config: config.app_config.clone(),
    });
    let loader = Arc::new(Loader::new(runtime, slot.clone()).with_smoke(smoke));
    let report = Reporter::new();
    tokio::select! {
        loaded = first.load(&store, &loader, &report) => loaded?,
        () = signals.next() => return Ok(()),
    }
    first.store(&store);
    let (cookies, keys) = keys.await.map_err(|_| StartError::Keys)??;

    let (stop, stopping) = watch::channel(false);
    let exchanges = Exchanges::new(
        views,
        slot.clone(),
        stopping.clone(),
        ExchangesConfig {
            config: config.app_config,
            bodies: BodyLimits {
                whole: config.body_limit,
                ..BodyLimits::default()
            },
        },
    );
    let limits = HttpLimits {
        connections: start::connections(),
        ..HttpLimits::default()
    };
    let server = Server::new(slot.clone(), exchanges.clone(), limits, stopping);
    let listener = start::listen(port, http)?;
    let bound = listener.local_addr().unwrap_or(http);
    let link = start::link_address(bound, &name);
    start::warn_of_link(link, &name);
    let desk = Arc::new(Desk::default());
    // From here on clients can connect. They are answered a few milliseconds
    // later, when there is a view for the app to see.
    let mut membership = Membership::start(membership::Settings {
        name: name.clone(),
        url: cluster::HttpUrl::plain(link),
        cluster_port: config.cluster_port,
        allow: config.member_nets,
        join: config.join,
        join_names: config.join_names,
        keys,
        service: Arc::new(desk::Shared(desk.clone())),
        data_dir: identity.data.clone(),
        releases_stored: stored,
        deploy_key: config.deploy_key,
        release: loader.serves(),
        views: members,
    })?;
    tokio::spawn(cookies.run(membership.keyring(), membership.views(), hangups));
    let serving = tokio::spawn(server.clone().run(listener));
    tracing::info!(
        started_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "{name} is ready at http://{link}",
    );

    let releases = membership.releases();
    let candidate = Arc::new(Candidate::default());
    let fetcher = Fetcher::new(membership.views(), membership.client(), store.clone());
    let published = Arc::<Counted<Publications>>::default();
    let face = Arc::new(Face {
        name: name.clone(),
        url: cluster::HttpUrl::plain(link).to_string(),
        started,
        file: config.app,
        members: membership.views(),
        slot,
        loader: loader.clone(),
        store: store.clone(),
        releases: releases.clone(),
        counting: membership.counting(),
        client: membership.client(),
        fetcher: fetcher.clone(),
        published: published.clone(),
        candidate: candidate.clone(),
        report: report.clone(),
        deploy_key: config.deploy_key,
    });
    let limits = api::Limits {
        component: config.max_component,
        ..api::Limits::default()
    };
    let tools = api::Service::new(face.clone(), log::recent(), limits);
    desk.open(desk::Parts {
        face,
        tools: tools.clone(),
        chunk_server: ChunkServer::new(store.clone()),
        inbox: Inbox::new(
            exchanges.topics().clone(),
            membership.views(),
            Arc::clone(&published),
        ),
    });
    tokio::spawn(publish::run(
        exchanges.topics().clone(),
        membership.views(),
        membership.client(),
        published,
    ));
    let mut apps = Apps {
        ip: name.ip(),
        followed,
        first,
        loader,
        store,
        fetcher,
        releases,
        candidate,
        report,
        bake_checks: BakeChecks::new(config.revert),
    }
    .start();
    apps.spawn(socket.serve(tools));
    let fatal = tokio::select! {
        () = signals.next() => None,
        fatal = membership.fatal() => Some(fatal),
    };
    apps.abort_all();
    if let Some(fatal) = fatal {
        // What this node has done wrong it should not do for a drain longer.
        return Err(fatal.into());
    }
    stop::Parts {
        membership,
        stop,
        server,
        serving,
        exchanges,
    }
    .take_down(config.drain, &mut signals)
    .await;
    Ok(())
}
