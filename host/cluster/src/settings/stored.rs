//! What a node stores of settings between two runs. It turns bytes into checked state, and back.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lines::ConfigLines;
use super::record::Setting;
use super::set::{NAMES_MAX, PAST_MAX, SettingSet};
use super::snapshot::Settings;
use crate::NodeName;
use crate::release::{DeployKey, Hlc, StoredError, read_stored};
use crate::wire::Version;

#[derive(Serialize, Deserialize)]
struct StoredSettings {
    clock: Hlc,
    records: Vec<Bytes>,
}

/// The most that is stored, in bytes.
pub const SETTINGS_STORED_MAX: usize = 2 * 1024 * 1024;

/// Whether a node can start from these stored bytes.
///
/// # Errors
/// Says why not.
pub fn check_settings(stored: &[u8]) -> Result<(), StoredError> {
    read(stored).map(|_| ())
}

fn read(stored: &[u8]) -> Result<(Hlc, Vec<Arc<Setting>>), StoredError> {
    let stored: StoredSettings = read_stored(stored)?;
    if stored.records.len() > NAMES_MAX + PAST_MAX || !stored.clock.is_plausible() {
        return Err(StoredError::Damaged);
    }
    let records: Result<_, _> = stored.records.iter().map(|it| Setting::read(it)).collect();
    Ok((stored.clock, records.map_err(|_| StoredError::Damaged)?))
}

impl Settings {
    /// What a node that starts knows before it has heard others. Bytes that cannot be used say
    /// nothing, and so do records that are not signed as they must be.
    pub fn at_start(
        me: &NodeName,
        deploy_key: Option<DeployKey>,
        stored: Option<&[u8]>,
        own: &ConfigLines,
    ) -> Arc<Self> {
        Self::of(&SettingSet::begin(me, deploy_key, stored).0, own)
    }
}

impl SettingSet {
    /// The set of a node that starts. It continues from the stored bytes, if they can be used. Also
    /// how many records were left out because they are not signed as they must be.
    pub(super) fn begin(
        me: &NodeName,
        deploy_key: Option<DeployKey>,
        stored: Option<&[u8]>,
    ) -> (Self, u64) {
        let mut set = Self::new(me.clone(), deploy_key);
        let Some((clock, records)) = stored.and_then(|stored| read(stored).ok()) else {
            return (set, 0);
        };
        let learnt = set.learn(records);
        set.restore(clock);
        (set, learnt.unsigned + learnt.forged)
    }

    /// The bytes for the next run.
    pub(super) fn store(&self) -> Option<Bytes> {
        let stored = StoredSettings {
            clock: self.clock(),
            records: self.all().map(|it| it.bytes().clone()).collect(),
        };
        let start = vec![Version::OURS.byte()];
        postcard::to_extend(&stored, start).ok().map(Bytes::from)
    }
}
