//! What a node knows of members, as two members exchange it.

use super::{Membership, Update};
use crate::admission::Contacts;
use crate::me::Me;
use crate::outbox::Outbox;
use crate::stall::Moment;
use crate::sync::KnownNode;

impl Membership {
    /// All that is known of members, the own run included.
    pub(crate) fn state(&self, me: &Me) -> Vec<KnownNode> {
        let mut updates = self.swim.updates();
        updates.push(Update::alive(me.run.clone()));
        let known = |update: Update| {
            let entry = self.roster.get(update.run.id());
            let advertised = entry
                .filter(|entry| entry.run.process == update.run.process)
                .and_then(|entry| entry.advertised.clone());
            KnownNode { update, advertised }
        };
        updates.into_iter().map(known).collect()
    }

    /// Takes in what a member knows of others, as far as it can be believed.
    pub(crate) fn merge(
        &mut self,
        at: Moment<'_>,
        heard: &Contacts,
        nodes: Vec<KnownNode>,
        out: &mut Outbox,
    ) {
        let mut told = Vec::with_capacity(nodes.len());
        let mut updates = Vec::with_capacity(nodes.len());
        for KnownNode { update, advertised } in nodes {
            told.extend(advertised.map(|it| (update.run.id(), update.run.process, it)));
            updates.push(update);
        }
        self.learn(at, heard, updates, out);
        for (id, process, advertised) in told {
            if id != at.me.id() {
                self.roster.advertise(id, process, advertised);
            }
        }
    }
}
