//! What a node knows of itself: its configuration, its run, and what it serves.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::run::{Advertised, Run};
use crate::{Boot, Config, Keys, NodeId, Serving, Time};

/// How often another run may be ahead of this one within a time, until it is clear that another
/// machine has the same name.
const OVERTAKEN_MAX: usize = 3;
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(60);

/// How many boot numbers of this process are remembered.
const BOOTS_MAX: usize = 64;

/// What a node knows of itself.
pub(crate) struct Me {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) run: Run,
    pub(crate) advertised: Advertised,
    started: Time,
    /// The newest boot numbers of this process.
    boots: BTreeSet<Boot>,
    /// When another run was recently found to be ahead of this one.
    overtaken: VecDeque<Time>,
}

impl Me {
    /// A process that starts now, with the next boot number.
    pub(crate) fn new(config: Config, keys: Keys, now: Time, process: u64) -> Self {
        let boot = Boot::at_start(config.boot_stored, config.wall_ms);
        Self {
            run: Run {
                name: config.name.clone(),
                port: config.cluster_port,
                url: config.url.clone(),
                boot,
                process,
            },
            advertised: Advertised {
                revision: 0,
                serving: None,
                keys: keys.ids(),
            },
            config,
            keys,
            started: now,
            boots: BTreeSet::from([boot]),
            overtaken: VecDeque::new(),
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.run.id()
    }

    /// When the process started, by the caller's clock.
    pub(crate) fn started(&self) -> Time {
        self.started
    }

    /// How long the process has run, by the caller's clock.
    pub(crate) fn uptime(&self, clock: Time) -> Duration {
        clock.since(self.started)
    }

    /// Like `uptime`, in milliseconds.
    pub(crate) fn uptime_ms(&self, clock: Time) -> u64 {
        u64::try_from(self.uptime(clock).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether this process has, or had, this boot number.
    pub(crate) fn has_had(&self, boot: Boot) -> bool {
        self.boots.contains(&boot)
    }

    /// Continues with a boot number above this one.
    pub(crate) fn raise(&mut self, above: Boot) -> Boot {
        let boot = above.max(self.run.boot).next();
        self.run.boot = boot;
        self.boots.insert(boot);
        if self.boots.len() > BOOTS_MAX {
            self.boots.pop_first();
        }
        boot
    }

    /// Serves this from now on. False if it already did.
    pub(crate) fn serve(&mut self, serving: Serving) -> bool {
        let is_new = self.advertised.serving.as_ref() != Some(&serving);
        if is_new {
            self.advertised.serving = Some(serving);
            self.advertised.revision += 1;
        }
        is_new
    }

    /// Sends and accepts with these keys from now on. False if the key ids are the old ones.
    pub(crate) fn change_keys(&mut self, keys: Keys) -> bool {
        let ids = keys.ids();
        self.keys = keys;
        let is_new = self.advertised.keys != ids;
        if is_new {
            self.advertised.keys = ids;
            self.advertised.revision += 1;
        }
        is_new
    }

    /// Another run of this node is ahead of this one. Returns whether that happened so often
    /// recently that it must be another machine.
    pub(crate) fn is_overtaken(&mut self, now: Time) -> bool {
        let lately = |at: &Time| now.since(*at) < OVERTAKEN_WITHIN;
        self.overtaken.retain(lately);
        self.overtaken.push_back(now);
        self.overtaken.len() >= OVERTAKEN_MAX
    }

    /// How many of its own boot numbers it remembers.
    #[cfg(feature = "sim")]
    pub(crate) fn boots(&self) -> usize {
        self.boots.len()
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            config,
            keys: _,
            run,
            advertised,
            started: _,
            boots,
            overtaken,
        } = self;
        let data = config.data.fingerprint();
        format!("me {run:?} {advertised:?} {boots:?} {overtaken:?}\n{data}")
    }
}
