//! A look into a node, for the simulated network: the state that a refused datagram must not
//! change, and how much a node keeps.

use super::Node;
use crate::Boot;
use crate::NodeId;

/// How many entries the tables of a node have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Nodes that it has heard.
    pub contacts: usize,
    /// Sources whose datagrams were refused.
    pub sources: usize,
    /// Nodes that are or were members.
    pub roster: usize,
    /// Nodes that the failure detector knows.
    pub swim: usize,
    /// Nodes that are being probed.
    pub checks: usize,
    /// Boot numbers of its own.
    pub boots: usize,
    /// Releases that it knows.
    pub releases: usize,
    /// Votes that it knows.
    pub votes: usize,
    /// Records of settings that it knows.
    pub settings: usize,
    /// Effects that were not polled yet.
    pub effects: usize,
}

impl Node {
    /// All that a node knows, as text. It leaves out what counts refusals or limits answers
    /// (counters, buckets, its own sequence number), what follows from the time alone, and what
    /// was not polled yet.
    pub fn fingerprint(&self) -> String {
        // Every field is named here and in each part, so that a new one is not forgotten.
        let Self {
            me,
            clock: _,
            presence,
            admission,
            membership,
            agreement,
            settings,
            replication,
            outbox,
        } = self;
        [
            me.fingerprint(),
            presence.fingerprint(),
            admission.fingerprint(),
            membership.fingerprint(),
            agreement.fingerprint(),
            settings.fingerprint(),
            replication.fingerprint(),
            outbox.fingerprint(),
        ]
        .concat()
    }

    /// How many entries its tables have.
    pub fn sizes(&self) -> Sizes {
        let (swim, checks) = self.membership.sizes();
        let (effects, sources) = self.outbox.sizes();
        let releases = self.agreement.releases();
        Sizes {
            contacts: self.admission.heard().len(),
            sources,
            roster: self.membership.roster().entries().count(),
            swim,
            checks,
            boots: self.me.boots(),
            releases: releases.history().len(),
            votes: releases.votes().iter().count(),
            settings: self.settings.len(),
            effects,
        }
    }

    /// The admitted run of the node with this IP.
    pub fn admitted(&self, id: NodeId) -> Option<Boot> {
        let admitted = self.admission.heard().admitted(id);
        admitted.map(|admitted| admitted.boot())
    }
}
