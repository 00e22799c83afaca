//! Questions that a node answers at any time. They change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Node;
use crate::presence::Stage;
use crate::release::{DraftError, Hlc, Listed, Release, ReleaseId, Request, Target, Verdict};
use crate::{
    Boot, Counters, NodeId, NodeName, Setting, SettingChange, SettingError, SettingKind, Settings,
    Time, View,
};

impl Node {
    /// The members now.
    pub fn view(&self) -> Arc<View> {
        self.membership.view()
    }

    /// The present boot number of this node.
    pub fn boot(&self) -> Boot {
        self.me.run.boot
    }

    /// Whether this node still takes part: it neither leaves nor has left. A node that does not
    /// takes in nothing more, so its caller must report that.
    pub fn takes_part(&self) -> bool {
        matches!(self.presence.stage(), Stage::Running)
    }

    /// What came in and what was refused, since the start.
    pub fn counters(&self) -> &Counters {
        self.outbox.counters()
    }

    /// Makes a release from a request. The caller gives it to
    /// [`Input::Publish`](crate::Input::Publish), signed or as it is. Until then nothing
    /// changes.
    ///
    /// # Errors
    /// Says why it is refused.
    pub fn draft(
        &self,
        now: Time,
        wall_ms: u64,
        request: Request,
    ) -> Result<Arc<Release>, DraftError> {
        let roster = self.membership.roster();
        self.agreement.draft(now, wall_ms, roster, request)
    }

    /// Makes the records of some changes. The caller gives them to
    /// [`Input::Settings`](crate::Input::Settings), if they need no signature. Until then nothing
    /// changes. The salt is 16 bytes of the operating system's generator.
    ///
    /// # Errors
    /// Says why they are refused.
    pub fn draft_settings(
        &self,
        now: Time,
        wall_ms: u64,
        changes: Vec<SettingChange>,
        by: &str,
        salt: [u8; 16],
    ) -> Result<Vec<Arc<Setting>>, SettingError> {
        let roster = self.membership.roster();
        let ahead_ms = self.agreement.ahead_ms(now, wall_ms, roster);
        self.settings.draft(wall_ms, ahead_ms, changes, (by, salt))
    }

    /// The time that a change on this node would have now.
    pub fn next_setting(&self, now: Time, wall_ms: u64) -> Hlc {
        let roster = self.membership.roster();
        let ahead_ms = self.agreement.ahead_ms(now, wall_ms, roster);
        self.settings.next_time(wall_ms, ahead_ms)
    }

    /// Whether these records, signed or not, can be given to
    /// [`Input::Settings`](crate::Input::Settings).
    ///
    /// # Errors
    /// Says why not.
    pub fn check_settings(&self, records: &[Arc<Setting>]) -> Result<(), SettingError> {
        let latest = self.agreement.latest(self.clock.at(&self.me));
        self.settings.check(records, latest)
    }

    /// What is set.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.snapshot().clone()
    }

    /// What people are shown of a secret instead of its value: equal for equal values, as long as
    /// the cluster has this cookie. None for anything else.
    pub fn secret_fingerprint(&self, setting: &Setting) -> Option<String> {
        let value = setting.value()?;
        let is_secret = setting.kind() == SettingKind::Secret;
        is_secret.then(|| self.me.keys.fingerprint(value.as_bytes()))
    }

    /// Whether this node knows the settings that the others know, or there seem to be no others.
    pub fn has_merged_settings(&self) -> bool {
        self.settings.is_merged()
    }

    /// The latest time of anything that was decided, as far as this node knows.
    pub(super) fn hybrid_clock(&self) -> Hlc {
        self.agreement.releases().clock().max(self.settings.clock())
    }

    /// What this node is to serve, by all that it knows; none while nothing was released.
    pub fn target(&self) -> Option<Target> {
        self.agreement.releases().target()
    }

    /// Equal on two nodes that know the same releases and votes, and hardly ever on others. So
    /// it shows whether there is anything new.
    pub fn releases_hash(&self) -> u64 {
        self.agreement.releases().hash()
    }

    /// The nodes that are members, or were until not long ago, by their ids.
    pub fn names(&self) -> BTreeMap<NodeId, NodeName> {
        let entries = self.membership.roster().entries();
        entries
            .map(|entry| (entry.run.id(), entry.run.name.clone()))
            .collect()
    }

    /// The known releases and the status of each, the greatest first.
    pub fn listing(&self) -> Vec<Listed> {
        self.agreement.listing()
    }

    /// The known releases, the greatest first.
    pub fn releases(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.agreement.releases().history().newest()
    }

    /// Whether a record is set aside that is from too far ahead.
    #[cfg(feature = "sim")]
    pub(crate) fn has_set_aside(&self) -> bool {
        self.agreement.releases().has_aside()
    }

    /// The same for a record of a setting.
    #[cfg(feature = "sim")]
    pub(crate) fn has_set_aside_setting(&self) -> bool {
        self.settings.has_aside()
    }

    /// The votes about a release, by the node that voted.
    pub fn votes(&self, release: &ReleaseId) -> impl Iterator<Item = (NodeId, Verdict)> {
        self.agreement.releases().votes().of(release)
    }
}
