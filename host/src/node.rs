//! A node: built from its parts, run until it is told to stop, taken down in
//! order.
//!
//! The order at the start: who am I, is that IP here, is the port free, does
//! the app work; then HTTP, and only then do other nodes hear of this one. So
//! a member that is listed serves. At the end the reverse: leave, close the
//! listener, drain.

mod start;
mod stop;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use cluster::release;
pub use start::StartError;

use crate::app::{self, Generation, Loader, Runtime, RuntimeConfig, Slot, WatchedFile};
use crate::cli::Cli;
use crate::cluster_view::{Views, short};
use crate::config::{Config, ConfigError, Environment};
use crate::contract::NodeInfo;
use crate::exchange::{BodyLimits, Exchanges, ExchangesConfig};
use crate::http::{HttpLimits, Server};
use crate::membership::{self, FatalError, Membership};

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
    Refused(#[from] app::Refusal),
    /// The engine.
    #[error(transparent)]
    Runtime(#[from] app::RuntimeError),
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
pub fn run(cli: Cli) -> Result<(), NodeError> {
    let config = Config::check(cli, Environment::of_process())?;
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
    let began = Instant::now();
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
    let app = app::read(&app::locate(&config.app)?)?;

    // Keys take their time from the processor; the compiler does not wait for them.
    let (cookie, also, data) = (config.cookie, config.also_cookie, identity.data.clone());
    let keys = tokio::task::spawn_blocking({
        let name = name.clone();
        move || start::cookies(cookie, also, &name, data)
    });
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
    let path = app.path.clone();
    let app_file = start::app_file(&app);
    let generation = tokio::select! {
        generation = app::validate(&runtime, app) => generation?,
        () = signals.next() => return Ok(()),
    };
    announce(&generation, &path);
    let (keeper, keys) = keys.await.map_err(|_| StartError::Keys)??;

    let (stop, stopping) = watch::channel(false);
    let slot = Slot::new(config.drain);
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
    let (digest, generation) = (generation.digest, Arc::new(generation));
    if let Some(smoke) = &config.smoke {
        tokio::select! {
            asked = smoke.ask(&exchanges, &generation) => {
                asked.map_err(|cause| app::Refusal::Smoke { app: path.display().to_string(), cause })?
            }
            () = signals.next() => return Ok(()),
        };
    }
    slot.room().await.put(generation);
    let limits = HttpLimits {
        connections: start::connections(),
        ..HttpLimits::default()
    };
    let server = Server::new(slot.clone(), exchanges.clone(), limits, stopping);
    let listener = start::listen(port, http)?;
    let bound = listener.local_addr().unwrap_or(http);
    let link = start::link_address(bound, &name);
    start::warn_of_link(link, &name);
    // From here on clients can connect. They are answered a few milliseconds
    // later, when there is a view for the app to see.
    let mut membership = Membership::start(membership::Settings {
        name: name.clone(),
        http: link,
        cluster_port: config.cluster_port,
        allow: config.allow,
        join: config.join,
        join_names: config.join_names,
        keys,
        data_dir: identity.data,
        release: Some(digest),
        app_file: Some(app_file),
        views: members,
    })?;
    tokio::spawn(keeper.run(membership.keyring(), hangups));
    let serving = tokio::spawn(server.clone().run(listener));
    tracing::info!(
        started_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "{name} is ready at http://{link}",
    );

    let (swapped, mut swaps) = mpsc::channel(1);
    let following = config.watch.map(|mode| {
        let file = WatchedFile::watch(&path, digest, mode).compiling_ahead(runtime.clone());
        let loader = Loader::new(runtime, slot).smoking(config.smoke, exchanges.clone());
        tokio::spawn(app::follow(file, loader, swapped))
    });
    let fatal = loop {
        tokio::select! {
            () = signals.next() => break None,
            fatal = membership.fatal() => break Some(fatal),
            Some(app) = swaps.recv() => {
                membership.serve_release(app.digest);
                membership.app_file(release::AppFile { app, ..app_file });
            }
        }
    };
    if let Some(following) = following {
        following.abort();
    }
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

fn announce(generation: &Generation, path: &std::path::Path) {
    tracing::info!(
        digest = short(&generation.release.digest),
        size = %bytesize::ByteSize(generation.size as u64),
        compiled_ms = u64::try_from(generation.compiled_in.as_millis()).unwrap_or(u64::MAX),
        handler = generation.kind.name(),
        "app {}",
        path.display(),
    );
}
