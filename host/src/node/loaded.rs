//! The third phase of a start: the app is loaded, and the keys are derived at the same
//! time.

use std::sync::Arc;

use bytesize::ByteSize;
use cluster::{Keys, Settings, View};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::NodeError;
use super::claimed::{self, ClaimError, Claimed};
use super::config::NodeConfig;
use super::cookie_watcher::CookieWatcher;
use super::outgoing;
use super::recovered::Recovered;
use crate::app::{App, AppSettings};
use runtime::capacity::{MachineLimits, PlaceLimits};
use runtime::contract::NodeInfo;
use runtime::engine::{Runtime, RuntimeConfig};
use runtime::exchange::BodyLimits;
use runtime::views::Views;

/// All that a node needs before others may hear of it.
pub(super) struct Loaded {
    pub(super) app: Arc<App>,
    /// Where membership publishes its views.
    pub(super) members: watch::Sender<Arc<View>>,
    /// Where it publishes what is set.
    pub(super) settings: watch::Sender<Arc<Settings>>,
    /// Becomes true when the node begins to stop.
    pub(super) stop: watch::Sender<bool>,
    pub(super) cookies: CookieWatcher,
    pub(super) keys: Keys,
}

impl Loaded {
    pub(super) async fn load(
        config: &mut NodeConfig,
        workers: usize,
        claimed: &Claimed,
        recovered: &mut Recovered,
    ) -> Result<Loaded, NodeError> {
        let (cookie, also) = (config.cookie.take(), config.also_cookie.take());
        let origins = claimed::origins(cookie, also, &claimed.data)?;
        // Deriving keys takes processor time; the compiler does not wait for it.
        let keys = spawn_blocking(move || CookieWatcher::start(origins));
        let members = watch::Sender::new(Arc::new(View::default()));
        let views = Views::new(members.subscribe(), claimed.name.clone());
        let machine = MachineLimits::look();
        let beside = || machine.budget_beside(config.compiler.limits.memory);
        let budget = config.memory_budget.unwrap_or_else(beside);
        let engine = RuntimeConfig {
            limits: config.limits,
            places: PlaceLimits::of(machine, Some(budget)),
            room: config.room,
            instances: config.instances,
            workers,
            code_cache: Some(claimed::code_folder(&claimed.data)),
            compiler: config.compiler.clone(),
        };
        let settings = watch::Sender::new(what_is_set(config, claimed, recovered));
        let now = settings.subscribe();
        let rules = Arc::new(move || now.borrow().egress().clone());
        let info = NodeInfo {
            views: views.clone(),
            settings: settings.subscribe(),
            egress: outgoing::client(&views, rules),
            data: recovered.data.clone(),
        };
        let instances = config.instances;
        let runtime = Runtime::new(engine, Arc::new(info))?;
        let room = runtime.places().now().most;
        tracing::info!(
            requests = room.calls,
            streams = room.streams,
            instances = %instances,
            "there is room for so many requests and wasi:http streams at a time, and for {} of memory",
            ByteSize(room.budget),
        );
        let (stop, stopping) = watch::channel(false);
        let of_app = AppSettings {
            drain: config.drain,
            smoke: config.smoke.take(),
            config: config.app_config.clone(),
            bodies: BodyLimits {
                whole: config.body_limit,
                ..BodyLimits::default()
            },
            revert: config.revert,
        };
        let app = App::new(runtime, views, stopping, of_app);
        let guard = &recovered.crash_guard;
        recovered.first.load(&recovered.store, &app, guard).await?;
        recovered.first.store(&recovered.store);
        let keys = keys.await.map_err(|_| ClaimError::Keys)?;
        let (cookies, keys) = keys.map_err(ClaimError::from)?;
        Ok(Loaded {
            app,
            members,
            settings,
            stop,
            cookies,
            keys,
        })
    }
}

/// What is set for the app, as far as this node knows before it hears others.
fn what_is_set(config: &NodeConfig, claimed: &Claimed, recovered: &Recovered) -> Arc<Settings> {
    if !config.app_config.is_empty() {
        tracing::info!(
            "--app-config is not in lines KEY=VALUE: apps of ace:raxx are given the file as it is, and \
             nothing of it is seen in the environment or by wasi:config"
        );
    }
    Settings::at_start(
        &claimed.name,
        config.deploy_key.clone(),
        recovered.settings.as_deref(),
        &config.own_config,
    )
}
