//! Handles a state: two members exchange what they do not both hold. `NodeKinds` lists the kinds of
//! data of a node, and the part that holds each.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::Node;
use crate::agreement::{FromMember, RecordData, VoteData};
use crate::data::SharedData;
use crate::membership::MemberData;
use crate::message::Beacon;
use crate::replicate::{self, DataKind, KindPart, KindSummary, Kinds, Replicated};
use crate::settings::SettingData;
use crate::sync::State;
use crate::{Effect, NodeName};

/// The data of a node, for an exchange with this member.
struct NodeKinds<'a> {
    node: &'a mut Node,
    from: SocketAddrV4,
}

impl Kinds for NodeKinds<'_> {
    fn kinds(&self) -> &'static [DataKind] {
        &[
            DataKind::MEMBERS,
            DataKind::RELEASES,
            DataKind::VOTES,
            DataKind::SETTINGS,
            DataKind::KEY_VALUE,
        ]
    }

    fn kind(&mut self, kind: DataKind) -> Option<Box<dyn Replicated + '_>> {
        let node = &mut *self.node;
        let at = node.clock.at(&node.me);
        if kind == DataKind::SETTINGS {
            return Some(Box::new(SettingData {
                settings: &mut node.settings,
                latest: node.agreement.latest(at),
                at,
                from: self.from,
                out: &mut node.outbox,
            }));
        }
        let source = FromMember {
            agreement: &mut node.agreement,
            at,
            from: self.from,
            out: &mut node.outbox,
        };
        match kind {
            DataKind::MEMBERS => Some(Box::new(MemberData {
                membership: &mut node.membership,
                at,
                heard: node.admission.heard(),
                out: source.out,
            })),
            DataKind::RELEASES => Some(Box::new(RecordData(source))),
            DataKind::VOTES => Some(Box::new(VoteData(source))),
            DataKind::KEY_VALUE => {
                let store = node.me.config.data.clone();
                Some(Box::new(SharedData::new(store, at.wall_ms)))
            }
            _ => None,
        }
    }
}

impl Node {
    fn kinds(&mut self, from: SocketAddrV4) -> NodeKinds<'_> {
        NodeKinds { node: self, from }
    }

    /// What this node holds, for its beacon.
    pub(super) fn summaries(&mut self) -> Vec<KindSummary> {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        replicate::summaries(&mut self.kinds(nobody))
    }

    /// A member said what it holds. If that stays different from what is held here, state is to be
    /// exchanged.
    pub(super) fn compare(&mut self, about: &Beacon) {
        let mut kinds = self.kinds(about.run.address());
        let same = replicate::is_same(&mut kinds, &about.summaries);
        let entry = self.membership.roster().up(about.run.id());
        let Some(run) = entry.map(|entry| entry.run.clone()) else {
            return;
        };
        let at = self.clock.at(&self.me);
        if let Some(theirs) = replicate::of(&about.summaries, DataKind::KEY_VALUE) {
            let store = &self.me.config.data;
            store.note_summary(run.id(), theirs, at.wall_ms);
        }
        if !self.replication.is_due(at.now, &about.run, same) {
            return;
        }
        if self.replication.begin() {
            self.membership.ask(at, run.clone(), &mut self.outbox);
        }
        let parts = replicate::request(&mut self.kinds(run.address()), &about.summaries);
        if let Some(bytes) = self.state(parts) {
            let (with, name) = (run.address(), run.name);
            self.outbox.push(Effect::Sync { with, name, bytes });
        }
    }

    /// A member says what it lacks, and sends what is missing here.
    pub(super) fn sync_request(&mut self, member: NodeName, bytes: &[u8]) {
        if let Some(parts) = self.take_in(&member, bytes)
            && let Some(bytes) = self.state(parts)
        {
            self.outbox.push(Effect::SyncReply { member, bytes });
        }
    }

    /// A member has answered with what is missing here. If it asks for something in turn, the
    /// exchange goes on.
    pub(super) fn sync_reply(&mut self, member: NodeName, bytes: &[u8]) {
        let Some(parts) = self.take_in(&member, bytes) else {
            return;
        };
        self.replication.answered();
        self.settings.answered(member.id());
        let entry = self.membership.roster().up(member.id());
        let with = entry.map(|entry| entry.run.address());
        if !parts.is_empty()
            && let Some(with) = with
            && let Some(bytes) = self.state(parts)
        {
            let name = member;
            self.outbox.push(Effect::Sync { with, name, bytes });
        }
    }

    /// Takes in the state of a member, and returns what it asks for. None if the sender is no admitted
    /// member, or sent something else.
    fn take_in(&mut self, member: &NodeName, bytes: &[u8]) -> Option<Vec<KindPart>> {
        let boot = self.admission.heard().admitted(member.id())?.boot();
        let entry = self.membership.roster().get(member.id());
        let unknown = SocketAddrV4::new(member.ip(), 0);
        let from = entry.map_or(unknown, |entry| entry.run.address());
        let now = self.clock.now();
        let state = match State::read(bytes) {
            Ok(state) => state,
            Err(why) => {
                self.outbox.refuse(now, from, why);
                return None;
            }
        };
        if state.boot != boot {
            return None;
        }
        let mut refused = Vec::new();
        let answer = replicate::answer(&mut self.kinds(from), &state.parts, |why| {
            refused.push(why);
        });
        for why in refused {
            self.outbox.refuse(now, from, why);
        }
        let (at, roster) = (self.clock.at(&self.me), self.membership.roster());
        self.settings
            .tell_on(at, roster, member.id(), &mut self.outbox);
        Some(answer)
    }

    fn state(&self, parts: Vec<KindPart>) -> Option<bytes::Bytes> {
        let boot = self.me.run.boot;
        State { boot, parts }.write()
    }
}
