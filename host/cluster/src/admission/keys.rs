//! While the cookie changes: which members have followed.

use super::{Admission, CONTACTS_MAX};
use crate::NodeId;
use crate::NodeName;
use crate::me::Me;
use crate::membership::Roster;

impl Admission {
    /// Begins anew, since the keys have changed.
    pub(crate) fn forget_keys(&mut self) {
        self.confirmed.clear();
    }

    /// Notes under which key a node sends. To be called for new datagrams of
    /// runs that were let in only, so that a recording says nothing.
    pub(super) fn note_key(&mut self, me: &Me, id: NodeId, frame: &[u8]) {
        if !me.keys.accepts_two() {
            return;
        }
        if !me.keys.is_current(frame) {
            self.confirmed.remove(&id);
        } else if self.confirmed.len() < CONTACTS_MAX {
            self.confirmed.insert(id);
        }
    }

    /// While two cookies are accepted: the members that were not yet heard
    /// under the one that this node sends with, or were heard under the other
    /// one last. Empty while there is one cookie only.
    pub(crate) fn unconfirmed(&self, me: &Me, roster: &Roster) -> Vec<NodeName> {
        if !me.keys.accepts_two() {
            return Vec::new();
        }
        let others = roster.others(me.id());
        others
            .filter(|run| !self.confirmed.contains(&run.id()))
            .map(|run| run.name.clone())
            .collect()
    }
}
