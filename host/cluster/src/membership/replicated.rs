//! Members as replicated data: which nodes are up or down, and what each says of itself.

use serde::{Deserialize, Serialize};

use super::{Members, Update};
use crate::Refusal;
use crate::admission::{CONTACTS_MAX, Contacts};
use crate::outbox::Outbox;
use crate::replicate::{Replicated, read_all, write_all};
use crate::run::Advertised;
use crate::stall::Moment;

/// What a node knows of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownNode {
    pub(crate) update: Update,
    /// What that run has said of itself, if that is known.
    pub(crate) advertised: Option<Advertised>,
}

/// The members, with what is needed to take in more.
pub(crate) struct MemberData<'a> {
    pub(crate) membership: &'a mut Members,
    pub(crate) at: Moment<'a>,
    pub(crate) heard: &'a Contacts,
    pub(crate) out: &'a mut Outbox,
}

impl Replicated for MemberData<'_> {
    fn summary(&self) -> Vec<u8> {
        self.membership.roster.hash().to_le_bytes().to_vec()
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        let summary = self.summary();
        (summary != theirs).then_some(summary)
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        if ask == self.summary() {
            return Vec::new();
        }
        let membership = &self.membership;
        let mut updates = membership.swim.updates();
        updates.push(Update::alive(self.at.me.run.clone()));
        let known = |update: Update| {
            let entry = membership.roster.get(update.run.id());
            let advertised = entry
                .filter(|entry| entry.run.process == update.run.process)
                .and_then(|entry| entry.advertised.clone());
            KnownNode { update, advertised }
        };
        write_all(updates.into_iter().map(known), most)
    }

    /// Takes in what a member knows of others, if it can be believed.
    fn merge(&mut self, delta: &[u8]) -> Result<(), Refusal> {
        let nodes: Vec<KnownNode> = read_all(delta, 2 * CONTACTS_MAX)?;
        let mut told = Vec::with_capacity(nodes.len());
        let mut updates = Vec::with_capacity(nodes.len());
        for KnownNode { update, advertised } in nodes {
            told.extend(advertised.map(|it| (update.run.id(), update.run.process, it)));
            updates.push(update);
        }
        let membership = &mut self.membership;
        membership.learn(self.at, self.heard, updates, self.out);
        for (id, process, advertised) in told {
            if id != self.at.me.id() {
                membership.roster.advertise(id, process, advertised);
            }
        }
        Ok(())
    }
}
