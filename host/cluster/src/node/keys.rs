//! The change of the cookie while the node runs: the keys that are sent with
//! and accepted, and which members have followed.

use std::net::Ipv4Addr;

use super::Node;
use crate::admission::CONTACTS_MAX;
use crate::{Keys, NodeName, Time};

impl Node {
    /// Sends and accepts with these keys from now on. Nothing else changes:
    /// who is a member stays one as long as it is heard.
    pub(super) fn change_keys(&mut self, now: Time, keys: Keys) {
        let ids = keys.ids();
        self.keys = keys;
        self.confirmed.clear();
        if self.me.advertised.keys != ids {
            self.me.advertised.keys = ids;
            self.advertise(now);
        }
    }

    /// Notes under which key a node sends. To be called for new datagrams of
    /// runs that were let in only, so that a recording says nothing.
    pub(super) fn note_key(&mut self, ip: Ipv4Addr, frame: &[u8]) {
        if !self.keys.accepts_two() {
            return;
        }
        if !self.keys.is_current(frame) {
            self.confirmed.remove(&ip);
        } else if self.confirmed.len() < CONTACTS_MAX {
            self.confirmed.insert(ip);
        }
    }

    /// While two cookies are accepted: the members that were not yet heard
    /// under the one that this node sends with, or were heard under the other
    /// one last. When there are none, the other one is not needed for those
    /// who are members now. Empty while there is one cookie only.
    pub fn unconfirmed(&self) -> Vec<NodeName> {
        if !self.keys.accepts_two() {
            return Vec::new();
        }
        let waits = |ip| ip != self.me.run.ip() && !self.confirmed.contains(&ip);
        let members = self.roster.entries().filter(|entry| entry.is_up());
        members
            .filter(|entry| waits(entry.run.ip()))
            .map(|entry| entry.run.name.clone())
            .collect()
    }
}
