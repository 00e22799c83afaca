//! The app: from the file or release that names its component to the code that serves, and
//! what follows from how that code does.
//!
//! ```text
//! app file: watch -> intake -> Loader -> candidate -> release
//! target:   candidate | store | members -> Loader -> Slot; bake check -> vote
//! ```
//!
//! [`App`] has all that belongs to one app. [`deploy`] decides what serves here, and
//! [`first`] decides what serves before other nodes are heard. [`crash_loop`] keeps a node from
//! starting again and again what kills its process.

pub mod bake;
pub(crate) mod crash_loop;
pub mod deploy;
pub mod first;
pub mod publish;
mod retry;
mod tasks;
mod uploads;
mod watch;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{AppName, ComponentBytes, Digest};
use http::uri::PathAndQuery;
use tokio::sync::watch::Receiver;

use bake::Rule;
use deploy::{Candidate, Deployment, Reporter};
use runtime::component::NamedComponent;
use runtime::engine::Runtime;
use runtime::exchange::{BodyLimits, Exchanges, ExchangesConfig, UnreadableStates};
use runtime::generation::{ComponentError, Slot};
use runtime::loader::Loader;
use runtime::smoke::Smoke;
use runtime::views::Views;

pub(crate) use tasks::Tasks;
pub use watch::{Seen, WatchMode, WatchedFile};

/// How long an uploaded component stays loaded if nobody releases it. Until then no other
/// one can be loaded.
const UNRELEASED: Duration = Duration::from_secs(5);

/// The app of this node: what users reach under one name, whichever component serves it.
/// So far there is only one app, and [`AppName::the_only`] is its name.
pub struct App {
    /// The name of the app.
    pub name: AppName,
    /// The generation that serves, and the one that drains.
    pub slot: Arc<Slot>,
    /// Makes generations of components for the slot.
    pub loader: Loader,
    /// The requests that are open, and what they publish.
    pub exchanges: Arc<Exchanges>,
    /// A component that is loaded and waits for its release.
    pub(crate) candidate: Arc<Candidate>,
    /// Where the state of the app is reported.
    pub(crate) report: Reporter,
    /// When the node leaves a new release by itself; none for never.
    rule: Option<Rule>,
}

/// What the operator of the node sets for an app.
#[derive(Debug)]
pub struct AppSettings {
    /// How long the exchanges of earlier code may go on.
    pub drain: Duration,
    /// The request that new code must answer before it serves.
    pub smoke: Option<PathAndQuery>,
    /// The config that the app is given.
    pub config: Bytes,
    /// The limits of bodies of requests.
    pub bodies: BodyLimits,
    /// When the node leaves a new release by itself; none for never.
    pub revert: Option<Rule>,
}

impl App {
    /// An app that serves nothing yet. `stopping` becomes true when the node begins to
    /// stop.
    pub fn new(
        runtime: Arc<Runtime>,
        views: Views,
        stopping: Receiver<bool>,
        settings: AppSettings,
    ) -> Arc<App> {
        let slot = Slot::new(settings.drain);
        let smoke = settings.smoke.map(|target| Smoke {
            target,
            config: settings.config.clone(),
        });
        let config = ExchangesConfig {
            config: settings.config,
            bodies: settings.bodies,
        };
        Arc::new(App {
            name: AppName::the_only(),
            loader: Loader::new(runtime, slot.clone()).with_smoke(smoke),
            exchanges: Exchanges::new(views, slot.clone(), stopping, config),
            slot,
            candidate: Arc::default(),
            report: Reporter::new(),
            rule: settings.revert,
        })
    }

    /// The digest of the component that serves now; none if nothing does.
    pub fn serving(&self) -> Option<Digest> {
        self.loader.serves()
    }

    /// The state of the app, always the newest.
    pub fn deployment(&self) -> Receiver<Arc<Deployment>> {
        self.report.subscribe()
    }

    /// Whether a component is loaded, and waits for its release.
    pub fn is_prepared(&self, digest: Digest) -> bool {
        self.candidate.held(digest).is_some()
    }

    /// Tries whether a component that was loaded for a release can take over the streams
    /// that are open here. One that is not loaded is not tried.
    ///
    /// # Errors
    /// If it cannot take over some of them.
    pub async fn try_states(&self, digest: Digest) -> Result<(), UnreadableStates> {
        match self.candidate.held(digest) {
            Some(generation) => self.exchanges.try_states(&generation).await,
            None => Ok(()),
        }
    }

    /// Loads and checks a component that will be released in a moment. It is dropped if it
    /// is not released within a few seconds.
    ///
    /// # Errors
    /// See [`ComponentError`].
    pub async fn prepare_upload(&self, component: ComponentBytes) -> Result<(), ComponentError> {
        if self.serving() == Some(component.digest()) {
            return Ok(());
        }
        let path = "the component".into();
        self.candidate.clear();
        let prepared = self.loader.prepare(NamedComponent { path, component });
        self.candidate.offer_for(prepared.await?, UNRELEASED);
        Ok(())
    }
}
