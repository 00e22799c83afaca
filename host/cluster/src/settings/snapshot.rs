//! What is set now, as one value that never changes. A new one takes its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::kind::SettingKind;
use super::lines::{self, ConfigLines};
use super::record::Setting;
use super::set::SettingSet;
use crate::hash::mix;
use crate::release::Hlc;
use crate::{AppName, Digest, EgressRule};

/// What is set for the app on this node.
#[derive(Clone, Default)]
pub struct Settings {
    /// Config and secrets; what is set on this node alone is in there.
    config: BTreeMap<Arc<str>, Arc<str>>,
    lines: Bytes,
    egress: Arc<[EgressRule]>,
    version: u64,
    live: Vec<Arc<Setting>>,
    past: Vec<Arc<Setting>>,
    next: Hlc,
}

impl Settings {
    /// What a set says, where this is set on the node alone.
    pub(super) fn of(set: &SettingSet, own: &ConfigLines) -> Arc<Self> {
        let live: Vec<Arc<Setting>> = set.live(&AppName::the_only()).cloned().collect();
        let is_config =
            |it: &&Arc<Setting>| matches!(it.kind(), SettingKind::Config | SettingKind::Secret);
        let of_cluster = live.iter().filter(is_config);
        let of_cluster = of_cluster.filter_map(|it| Some((it.key(), it.value()?)));
        let config = of_cluster.chain(own.iter());
        let config: BTreeMap<Arc<str>, Arc<str>> = config
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let entries = config.iter().map(|(key, value)| (&**key, &**value));
        let rules = live.iter().filter(|it| it.kind() == SettingKind::Egress);
        // A rule that a later version has written allows nothing here.
        let rules = rules.filter_map(|it| it.key().parse().ok());
        let removed = set.newest().filter(|it| it.is_removal());
        let mut past: Vec<Arc<Setting>> = set.past().chain(removed).cloned().collect();
        past.sort_by_key(|it| std::cmp::Reverse(it.place()));
        Arc::new(Self {
            version: version(&live, own),
            lines: lines::write(entries).into(),
            egress: rules.collect(),
            config,
            live,
            past,
            next: set.clock().tick(0),
        })
    }

    /// The value under a name, of config or of a secret.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(|value| &**value)
    }

    /// All config and secrets, by their names.
    pub fn config(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.iter().map(|(key, value)| (&**key, &**value))
    }

    /// All config and secrets in lines `KEY=VALUE`, for apps that read them so.
    pub fn lines(&self) -> &Bytes {
        &self.lines
    }

    /// Which other servers the app may reach.
    pub fn egress(&self) -> &Arc<[EgressRule]> {
        &self.egress
    }

    /// Equal if the app is given the same, and hardly ever if not.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The records of what is set in the cluster, by their names.
    pub fn live(&self) -> &[Arc<Setting>] {
        &self.live
    }

    /// The records that set nothing any more: names that were removed, and the newest changes that
    /// others have followed. The newest first.
    pub fn past(&self) -> &[Arc<Setting>] {
        &self.past
    }

    /// A time after all changes that are known here.
    pub fn next(&self) -> Hlc {
        self.next
    }
}

fn version(live: &[Arc<Setting>], own: &ConfigLines) -> u64 {
    let shares = live.iter().map(|it| it.share());
    let own = own.iter().map(|(key, value)| {
        let word = |text: &str| Digest::of(text.as_bytes()).first_word();
        mix(mix(word(key)) ^ word(value))
    });
    shares.chain(own).fold(0, u64::wrapping_add)
}

/// Without the values, which may be secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({:016x} {:?})", self.version, self.live)
    }
}
