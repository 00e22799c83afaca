//! Membership on real sockets: the thread that drives [`cluster::Node`].
//!
//! In: datagrams, closed ports, the control channel, time, and messages from the rest of the
//! host. Out: views on a watch channel, datagrams, one log line per member that comes or goes,
//! and a fatal error if there is one.
//!
//! It has its own thread and runtime, so an app that keeps every core busy does not make the
//! node look dead. The control channel runs there too: it has little work, and a cut connection
//! becomes a hint without a detour through busy threads.

mod boot_store;
mod broadcast;
mod driver;
mod record_store;
mod releases;
mod report;
mod seeds;
mod settings;
mod silence;

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use cluster::data::DataStore;
use cluster::release::{DeployKey, Target};
use cluster::{
    Cidr, ConfigError, ConfigLines, Counted, HttpUrl, Keys, NodeName, Serving, Settings,
    TakenEvidence, View,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::control;
use crate::control::{Callers, Client, IdentityError};
use crate::data_dir::{DataDir, DataDirError};
use crate::net::{AddressError, BindError};
use driver::Driver;
pub use record_store::{stored_releases, stored_settings};
pub use releases::{FileOutcome, Overview, Releases, Stopping};
pub use seeds::{SeedName, SeedNameError};
pub use settings::{SettingsHandle, SettingsLook};

/// How long [`Membership::leave`] waits until the farewells are sent. They take 40 ms.
const FAREWELL: Duration = Duration::from_secs(1);

/// The configuration of membership.
pub struct MembershipConfig {
    /// The name of this node. The IP must be one of this machine's.
    pub name: NodeName,
    /// The URL where it serves the app; other members link to it.
    pub url: HttpUrl,
    /// The UDP and TCP port of membership; the same on all nodes.
    pub cluster_port: u16,
    /// Ranges from which datagrams and control connections may come, besides the subnet of the
    /// node's interface.
    pub allow: Vec<Cidr>,
    /// Nodes to join where broadcast does not reach.
    pub join: Vec<SocketAddrV4>,
    /// Nodes to join by their DNS names, which are looked up again and again.
    pub join_names: Vec<SeedName>,
    /// The keys from the cookie.
    pub keys: Keys,
    /// Answers questions of members and tools on the control channel, in the runtime that
    /// starts membership.
    pub service: Arc<dyn control::Service>,
    /// Where the boot number is kept.
    pub data_dir: Arc<DataDir>,
    /// The releases that the last run has stored, from [`stored_releases`].
    pub releases_stored: Option<Bytes>,
    /// The settings that the last run has stored, from [`stored_settings`].
    pub settings_stored: Option<Bytes>,
    /// Config of the app that is set on this node alone.
    pub app_config: ConfigLines,
    /// The key-value data, with what the last run has stored of it.
    pub data: DataStore,
    /// The key that signs releases and settings, if only signed ones are accepted.
    pub deploy_key: Option<DeployKey>,
    /// What this node serves at first.
    pub serving: Option<Serving>,
    /// Where views are published. Parts that are built before membership can already subscribe
    /// to it.
    pub views: watch::Sender<Arc<View>>,
    /// Where it is published what is set.
    pub settings: watch::Sender<Arc<Settings>>,
}

/// Why membership did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The IP of the name cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The boot number or the history of releases cannot be stored.
    #[error(transparent)]
    Kept(#[from] DataDirError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(io::Error),
    /// The system gives no thread, or no event queue for it.
    #[error("cannot start the thread of membership: {0}")]
    Thread(io::Error),
}

/// Why a node cannot stay in the cluster. The process should end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FatalError {
    /// Another machine has the name.
    #[error(
        "another machine uses the name {name} ({evidence}); \
         stop it, or give this one another IP and --name"
    )]
    NameTaken {
        /// The name of this node.
        name: NodeName,
        /// How this node knows that.
        evidence: TakenEvidence,
    },
    /// The thread has ended although nobody asked it to.
    #[error("membership has stopped; this is a fault of the program, and the log has its trace")]
    Stopped,
}

/// What was received and sent since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MembershipCounts {
    /// Received datagrams, by result.
    pub datagrams: cluster::Counters,
    /// Datagrams that the system did not accept.
    pub unsent: u64,
    /// States that were not sent, because another one was still being sent.
    pub syncs_dropped: u64,
    /// Boot numbers that could not be stored.
    pub boots_not_stored: u64,
    /// States of release agreement, and of settings, that could not be stored.
    pub releases_not_stored: u64,
    /// Callers on the control channel.
    pub callers: Callers,
}

/// Changes the keys of a running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keyring(watch::Sender<Option<Keys>>);

impl Keyring {
    /// Sends and accepts with these keys from now on.
    pub fn change(&self, keys: Keys) {
        self.0.send_replace(Some(keys));
    }
}

/// The orders to the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    /// Say farewell, then end.
    Leave,
    /// End, as if killed.
    Stop,
}

/// Takes part in the cluster until it leaves or is dropped. If it is dropped, it ends without a
/// farewell, and the others have to find out.
pub struct Membership {
    views: watch::Receiver<Arc<View>>,
    releases: Releases,
    settings: SettingsHandle,
    keyring: Keyring,
    client: Client,
    order: watch::Sender<Order>,
    fatal: watch::Receiver<Option<FatalError>>,
    counters: Arc<Counted<MembershipCounts>>,
    /// Closed when the thread is about to end.
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// The other ends of [`Membership`]'s channels.
struct Outside {
    views: watch::Sender<Arc<View>>,
    settings: watch::Sender<Arc<Settings>>,
    /// Whether this node knows the settings that the others know.
    merged: watch::Sender<bool>,
    serving: watch::Receiver<Option<Serving>>,
    wanted: mpsc::Receiver<releases::CoreRequest>,
    target: watch::Sender<Option<Target>>,
    overview: watch::Sender<Arc<Overview>>,
    keys: watch::Receiver<Option<Keys>>,
    order: watch::Receiver<Order>,
    fatal: watch::Sender<Option<FatalError>>,
    counters: Arc<Counted<MembershipCounts>>,
    client: Client,
}

/// What the control channel gets in addition to what all share.
struct Channel {
    /// Shared by all ends of the channel, so that the keys change for all of them together.
    identity: control::Identity,
    /// The runtime in which the service answers.
    runtime: Option<Handle>,
}

impl Membership {
    /// Binds the sockets, stores a new boot number and joins the cluster.
    /// Blocks for the milliseconds that this takes.
    ///
    /// # Errors
    /// [`StartError`]; then nothing keeps running.
    pub fn start(settings: MembershipConfig) -> Result<Self, StartError> {
        let views = settings.views.subscribe();
        let (serving, serving_out) = watch::channel(settings.serving.clone());
        let set = settings.settings.subscribe();
        let (merged_in, merged) = watch::channel(false);
        let (keys, keys_out) = watch::channel(None);
        let (wanted, wanted_out) = mpsc::channel(releases::WANTED);
        let (target_in, target) = watch::channel(None);
        let (overview_in, overview) = watch::channel(Arc::default());
        let (order, order_out) = watch::channel(Order::Run);
        let (fatal_in, fatal) = watch::channel(None);
        let counters = Arc::<Counted<MembershipCounts>>::default();
        let identity = control::Identity::new(&settings.keys)?;
        let dialler = control::Dialler {
            me: settings.name.clone(),
            identity: identity.clone(),
        };
        let client = Client::new(dialler, settings.cluster_port);
        let outside = Outside {
            views: settings.views.clone(),
            settings: settings.settings.clone(),
            merged: merged_in,
            serving: serving_out,
            wanted: wanted_out,
            target: target_in,
            overview: overview_in,
            keys: keys_out,
            order: order_out,
            fatal: fatal_in,
            client: client.clone(),
            counters: counters.clone(),
        };
        let runtime = Handle::try_current().ok();
        let channel = Channel { identity, runtime };
        let (started_in, started) = std::sync::mpsc::sync_channel(1);
        let (ended_in, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("membership".to_owned())
            .spawn(move || {
                live(settings, channel, outside, &started_in);
                drop(ended_in);
            })
            .map_err(StartError::Thread)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self {
                views,
                settings: SettingsHandle {
                    wanted: wanted.clone(),
                    set,
                    merged,
                },
                releases: Releases {
                    wanted,
                    serving,
                    target,
                    overview,
                },
                keyring: Keyring(keys),
                client,
                order,
                fatal,
                counters,
                ended,
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Thread(io::Error::other("it panicked"))),
        }
    }

    /// The members, always the newest view. The first holds at least this node.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Sees and makes releases.
    pub fn releases(&self) -> Releases {
        self.releases.clone()
    }

    /// Sees and changes settings.
    pub fn settings(&self) -> SettingsHandle {
        self.settings.clone()
    }

    /// Changes the keys of this node.
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Asks other members on the control channel.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits until this node cannot stay in the cluster; that may never happen.
    pub async fn fatal(&mut self) -> FatalError {
        match self.fatal.wait_for(Option::is_some).await {
            Ok(fatal) => fatal.clone().unwrap_or(FatalError::Stopped),
            Err(_) => FatalError::Stopped,
        }
    }

    /// What was received and sent until now.
    pub fn counters(&self) -> MembershipCounts {
        self.counters.now()
    }

    /// The counts, to read now and later.
    pub fn counting(&self) -> Arc<Counted<MembershipCounts>> {
        self.counters.clone()
    }

    /// Tells the members that this node leaves, and ends. Takes some 40 ms.
    pub async fn leave(mut self) {
        self.order.send_replace(Order::Leave);
        // The thread has ended or is overdue: either way, dropping `self` ends and joins it.
        let _ = timeout(FAREWELL, &mut self.ended).await;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.order
            .send_if_modified(|order| std::mem::replace(order, Order::Stop) != Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of membership panicked");
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").finish_non_exhaustive()
    }
}

/// All that the thread does.
fn live(
    settings: MembershipConfig,
    channel: Channel,
    outside: Outside,
    started: &std::sync::mpsc::SyncSender<Result<(), StartError>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(seeds::LOOKUPS_MAX)
        .build()
        .map_err(StartError::Thread);
    let start = runtime.and_then(|runtime| {
        let entered = runtime.enter();
        let driver = Driver::start(settings, channel, outside)?;
        drop(entered);
        Ok((runtime, driver))
    });
    match start {
        Ok((runtime, driver)) => {
            // The caller can only be gone if nobody waits for it; then the order to stop comes
            // next.
            let _ = started.send(Ok(()));
            crate::net::raise_thread_priority();
            runtime.block_on(driver.run());
            // Do not wait for a name that is still being looked up.
            runtime.shutdown_background();
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}
