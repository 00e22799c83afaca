//! What the rest of the host asks of the core about settings.

use std::sync::Arc;

use cluster::{Input, Setting, SettingChange, SettingError};
use rand::TryRng as _;

use super::Driver;
use crate::data::wall_ms;
use crate::membership::releases::Drafted;
use crate::membership::settings::SettingsLook;

impl Driver {
    /// Shows the rest of the host whether the settings of others are known.
    pub(super) fn publish_merged(&mut self) {
        let merged = self.node.has_merged_settings() || !self.may_find_others;
        self.outside.merged.send_if_modified(|shown| {
            let is_new = merged && !*shown;
            *shown |= merged;
            is_new
        });
    }

    /// Makes the records of some changes. None if the system gives no random bytes for that.
    pub(super) fn draft_settings(&self, changes: Vec<SettingChange>, by: &str) -> Option<Drafted> {
        let (salt, now) = (salt()?, self.clock.now());
        Some(self.node.draft_settings(now, wall_ms(), changes, by, salt))
    }

    /// What is set, for people.
    pub(super) fn settings_look(&self) -> SettingsLook {
        let settings = self.node.settings();
        let secrets = settings.live().iter();
        let fingerprints = secrets.filter_map(|it| {
            let fingerprint = self.node.secret_fingerprint(it)?;
            Some((it.key().to_owned(), fingerprint))
        });
        SettingsLook {
            next: self.node.next_setting(self.clock.now(), wall_ms()),
            fingerprints: fingerprints.collect(),
            settings,
        }
    }

    /// Takes in records that were made here or by a tool.
    pub(super) fn publish_settings(
        &mut self,
        records: Vec<Arc<Setting>>,
    ) -> Result<(), SettingError> {
        self.node.check_settings(&records)?;
        self.handle(Input::Settings(records));
        Ok(())
    }
}

/// Random bytes; none if the system gives none.
fn salt() -> Option<[u8; 16]> {
    let mut salt = [0; 16];
    let filled = rand::rngs::SysRng.try_fill_bytes(&mut salt);
    filled
        .inspect_err(|error| tracing::error!(%error, "the system gives no random numbers"))
        .is_ok()
        .then_some(salt)
}
