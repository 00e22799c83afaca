//! A look into a node, for the simulated network: what must not change when a
//! datagram is refused, and how much a node keeps.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::{Me, Node};
use crate::Boot;

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
    /// Effects that nobody has fetched.
    pub effects: usize,
}

impl Node {
    /// All that a node knows, as text. Left out is what counts refusals or
    /// limits answers (counters, buckets, its own sequence number), what
    /// follows from the time alone, and what has not been fetched.
    pub fn fingerprint(&self) -> String {
        // Every field is named, so that a new one is not forgotten here.
        let Self {
            config: _,
            keys: _,
            me,
            rng: _,
            nonces,
            stall: _,
            clock: _,
            wall_ms: _,
            stage,
            contacts,
            roster,
            swim,
            checks,
            schedule,
            seeds,
            confirmed,
            sync,
            releases,
            rumours,
            hellos: _,
            protests: _,
            refusals: _,
            view_next: _,
            effects: _,
        } = self;
        let Me {
            run,
            started: _,
            sequence: _,
            advertised,
            boots,
            overtaken,
        } = me;
        let mut text = format!("me {run:?} {advertised:?} {boots:?} {overtaken:?}\n");
        let mut line = |what: &str, how: &dyn std::fmt::Debug| {
            let _infallible = writeln!(text, "{what} {how:?}");
        };
        line("nonces", nonces);
        line("stage", stage);
        for contact in contacts.known() {
            line("contact", &contact);
        }
        for entry in roster.entries() {
            line("member", entry);
        }
        line("hash", &roster.hash());
        let mut updates = swim.updates();
        updates.sort_by_key(|update| update.run.ip());
        for update in &updates {
            line("update", update);
        }
        line("swim", &swim.due());
        line("checks", checks);
        line("schedule", schedule);
        line("seeds", seeds);
        line("confirmed", confirmed);
        line("sync", sync);
        line("releases", releases);
        line("rumours", rumours);
        text
    }

    /// How many entries its tables have.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            contacts: self.contacts.len(),
            sources: self.refusals.len(),
            roster: self.roster.entries().count(),
            swim: self.swim.len(),
            checks: self.checks.len(),
            boots: self.me.boots.len(),
            releases: self.releases.history().len(),
            votes: self.releases.votes().iter().count(),
            effects: self.effects.len(),
        }
    }

    /// The run of the node with this IP that was let in.
    pub fn admitted(&self, ip: Ipv4Addr) -> Option<Boot> {
        self.contacts.admitted(ip).map(|admitted| admitted.boot)
    }
}
