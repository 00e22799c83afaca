//! The way of a state: two members exchange all that they know.

use std::net::SocketAddrV4;

use super::Node;
use crate::message::Beacon;
use crate::release::{Ballot, Release};
use crate::sync::{Releases, State};
use crate::{Effect, NodeName};

impl Node {
    /// A member told the hash of what it knows. If it goes on differing from
    /// ours, state is to be exchanged.
    pub(super) fn compare(&mut self, about: &Beacon) {
        let mine = (
            self.membership.roster().hash(),
            self.agreement.releases().hash(),
        );
        let same = (about.state_hash, about.releases_hash) == mine;
        let at = self.clock.at(&self.me);
        let entry = self.membership.roster().up(about.run.id());
        let Some(run) = entry.map(|entry| entry.run.clone()) else {
            return;
        };
        if !self.replication.is_due(at.now, &about.run, same) {
            return;
        }
        if self.replication.begin() {
            self.membership.ask(at, run.clone(), &mut self.outbox);
        }
        if let Some(bytes) = self.state(about.releases_hash).write() {
            let (with, name) = (run.address(), run.name);
            self.outbox.push(Effect::Sync { with, name, bytes });
        }
    }

    pub(super) fn sync_request(&mut self, member: NodeName, bytes: &[u8]) {
        if let Some(theirs) = self.merge(&member, bytes)
            && let Some(bytes) = self.state(theirs).write()
        {
            self.outbox.push(Effect::SyncReply { member, bytes });
        }
    }

    pub(super) fn sync_reply(&mut self, member: &NodeName, bytes: &[u8]) {
        if self.merge(member, bytes).is_some() {
            self.replication.answered();
        }
    }

    /// Takes in the state of a member, and gives the hash of its releases. None
    /// if it is no member that was let in, or sent something else.
    fn merge(&mut self, member: &NodeName, bytes: &[u8]) -> Option<u64> {
        let at = self.clock.at(&self.me);
        let heard = self.admission.heard();
        let out = &mut self.outbox;
        let boot = heard.admitted(member.id())?.boot();
        let entry = self.membership.roster().get(member.id());
        let unknown = SocketAddrV4::new(member.ip(), 0);
        let from = entry.map_or(unknown, |entry| entry.run.address());
        let state = match State::read(bytes) {
            Ok(state) => state,
            Err(why) => {
                out.refuse(at.now, from, why);
                return None;
            }
        };
        if state.boot != boot {
            return None;
        }
        self.membership.merge(at, heard, state.nodes, out);
        if let Some(Releases { records, votes }) = state.releases {
            let mut read = Vec::with_capacity(records.len());
            let mut refused = None;
            for record in &records {
                match Release::read(record) {
                    Ok(release) => read.push(release),
                    Err(error) => {
                        out.count().records.unreadable += 1;
                        refused = Some(error.refusal());
                    }
                }
            }
            if let Some(why) = refused {
                out.refuse(at.now, from, why);
            }
            let votes = votes.iter().flat_map(Ballot::votes).collect();
            self.agreement.learn(at, from, read, votes, out);
        }
        Some(state.releases_hash)
    }

    /// All that this node knows; of releases only if the receiver, whose hash
    /// of them this is, knows others.
    pub(super) fn state(&self, their_releases: u64) -> State {
        let releases = self.agreement.releases();
        let records = || releases.history().newest().map(|it| it.bytes().clone());
        State {
            boot: self.me.run.boot,
            nodes: self.membership.state(&self.me),
            releases_hash: releases.hash(),
            releases: (their_releases != releases.hash()).then(|| Releases {
                records: records().collect(),
                votes: releases.votes().ballots(),
            }),
        }
    }
}
