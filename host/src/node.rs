//! A node: built from its parts in phases, runs until it is told to stop, and ends in order.
//!
//! ```text
//! NodeConfig -> Claimed -> Recovered -> Loaded -> Listening -> Joined -> HttpServing -> StartedNode
//! ```
//!
//! Each phase is a type that is built from the phases before it. So the order of a start is: who
//! am I, is that IP here, is the port free, does the app work. Then HTTP listens, and only then
//! other nodes hear of this one. So a member that is listed serves. The end has the reverse
//! order: leave, close the listener, drain.

mod address;
mod claimed;
pub mod config;
mod control_service;
mod cookie_watcher;
mod error;
pub mod flags;
mod joined;
mod listening;
mod loaded;
pub mod log;
mod outgoing;
mod recovered;
mod release_check;
mod running;
mod stopping;
mod supervisor;

use std::time::{Duration, Instant, SystemTime};

use cluster::NodeName;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;

pub use address::AddressLost;
pub use claimed::ClaimError;
use claimed::Claimed;
pub use error::NodeError;
use flags::RunArgs;
use joined::Joined;
use listening::{HttpServing, Listening};
use loaded::Loaded;
use recovered::Recovered;
use stopping::Signals;

use crate::app::crash_loop::OrderlyEnd;
use crate::node::config::{Environment, NodeConfig};
use mesh::data::DataFile;
use mesh::membership::FatalError;

/// How long exchanges that are cut at the end of the drain may take to notice.
const CUT: Duration = Duration::from_millis(100);

/// Runs a node until it is told to stop.
///
/// # Errors
/// See [`NodeError`].
pub fn run(typed: RunArgs) -> Result<(), NodeError> {
    let config = NodeConfig::check(typed, Environment::of_process())?;
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("worker")
        .enable_all()
        .build()
        .map_err(ClaimError::Threads)?;
    let ended = runtime.block_on(run_until_signal(config, workers));
    runtime.shutdown_timeout(CUT);
    ended
}

async fn run_until_signal(config: NodeConfig, workers: usize) -> Result<(), NodeError> {
    // From here on no signal is lost, whatever the start is busy with.
    let mut signals = Signals::listen().map_err(ClaimError::Signals)?;
    let hangups = stopping::hangups().map_err(ClaimError::Signals)?;
    let wait = config.wait_address;
    let mut node = tokio::select! {
        started = StartedNode::start(config, workers) => started?,
        () = signals.next() => return Ok(()),
    };
    node.read_cookies_again(hangups);
    supervisor::ready(&node.name().to_string(), &node.url());
    let lost = address::lost(node.name().ip(), wait);
    let lost = tokio::select! {
        () = signals.next() => None,
        lost = lost => Some(lost),
        // The node must not go on with what it has done wrong, not even during a drain.
        fatal = node.fatal() => return Err(fatal.into()),
    };
    supervisor::stopping();
    node.stop(signals.next()).await;
    match lost {
        Some(lost) => Err(lost.into()),
        None => Ok(()),
    }
}

/// A node that runs: it serves, and is a member. If it is dropped, it goes without telling
/// others.
pub struct StartedNode {
    serving: HttpServing,
    joined: Joined,
    /// How long open exchanges have when the node stops.
    drain: Duration,
    /// The tasks that follow the target, the app file and the tools.
    tasks: JoinSet<()>,
    /// Stores the key-value data, to the end.
    data_file: Option<DataFile>,
    /// As long as this is here, an end of the process counts as its death.
    orderly_end: OrderlyEnd,
}

impl StartedNode {
    /// Starts a node. When this returns, the node serves, and other nodes hear of it. If this is
    /// dropped before, only the data folder is left. Runs in a tokio runtime of `workers`
    /// threads.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn start(mut config: NodeConfig, workers: usize) -> Result<StartedNode, NodeError> {
        let (began, started) = (Instant::now(), SystemTime::now());
        let claimed = Claimed::take(&config).await?;
        let mut recovered = Recovered::read(&config, &claimed)?;
        // Dropped with an error of the start, or with the node.
        let orderly_end = OrderlyEnd(recovered.crash_guard.clone());
        let loaded = Loaded::load(&mut config, workers, &claimed, &mut recovered).await?;
        let listening = Listening::listen(claimed.port, claimed.http, &claimed.name, &loaded)?;
        let (name, socket) = (claimed.name, claimed.socket);
        let mut joined = Joined::join(
            &config,
            &name,
            claimed.data,
            &listening.url,
            loaded,
            &recovered,
        )?;
        let tools = joined.open(&config, &recovered.store, started, &listening.url);
        joined.has_settings().await?;
        let serving = listening.serve();
        let drain = config.drain;
        tracing::info!(
            started_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "{name} is ready at {}",
            serving.url,
        );
        let data_file = recovered.data_file.take();
        let mut tasks = joined.follow(config, recovered);
        tasks.spawn(socket.serve(tools));
        Ok(StartedNode {
            serving,
            joined,
            drain,
            tasks,
            data_file,
            orderly_end,
        })
    }

    /// The name of the node.
    pub fn name(&self) -> &NodeName {
        &self.joined.name
    }

    /// The address where the node serves, as it tells other nodes.
    pub fn url(&self) -> String {
        self.serving.url.to_string()
    }

    /// Reads the cookie files again at each of these signals.
    fn read_cookies_again(&mut self, hangups: Signal) {
        if let Some(watching) = self.joined.watch_cookies(hangups) {
            self.tasks.spawn(watching);
        }
    }

    /// Waits until the node cannot stay in the cluster.
    pub async fn fatal(&mut self) -> FatalError {
        self.joined.membership.fatal().await
    }

    /// Leaves the cluster, closes the listener, and waits until nothing is open any more, the
    /// drain is over, or `at_once` completes.
    pub async fn stop(mut self, at_once: impl Future<Output = ()>) {
        drop(self.orderly_end);
        self.tasks.abort_all();
        stopping::take_down(self.serving, self.joined, self.drain, at_once).await;
        drop(self.data_file);
    }
}
