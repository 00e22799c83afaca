//! What goes out of a node: datagrams, which are sealed here, and all other effects. Refusals are
//! counted here. Every part of the node gets it as an argument and only adds to it.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use bytes::Bytes;

use crate::admission::{Counters, Refusal, Refusals};
use crate::me::Me;
use crate::message::Message;
use crate::wire::{self, Head, Version};
use crate::{Effect, NodeId, Time};

/// The effects that wait to be polled.
#[derive(Default)]
pub(crate) struct Outbox {
    /// The number of the newest datagram of this process.
    sequence: u64,
    effects: VecDeque<Effect>,
    refusals: Refusals,
}

impl Outbox {
    /// Adds an effect.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Sends a message to one node.
    pub(crate) fn send(&mut self, me: &Me, to: SocketAddrV4, message: &Message<'_>) {
        if let Some(bytes) = self.seal(me, Some(NodeId::of(*to.ip())), message) {
            self.push(Effect::Send { to, bytes });
        }
    }

    /// Sends a message to every node that hears broadcasts, if the network has any.
    pub(crate) fn broadcast(&mut self, me: &Me, message: &Message<'_>) {
        if me.config.broadcast.is_some()
            && let Some(bytes) = self.seal(me, None, message)
        {
            self.push(Effect::Broadcast { bytes });
        }
    }

    fn seal(&mut self, me: &Me, receiver: Option<NodeId>, message: &Message<'_>) -> Option<Bytes> {
        self.sequence += 1;
        let head = Head {
            version: Version::OURS,
            source: me.id(),
            receiver,
            boot: me.run.boot,
            sequence: self.sequence,
        };
        wire::seal(&me.keys, &head, message)
    }

    /// Counts a refused datagram or record, and reports it if a report is due.
    pub(crate) fn refuse(&mut self, now: Time, from: SocketAddrV4, why: Refusal) {
        let report = self.refusals.refuse(now, from, why);
        self.effects.extend(report);
    }

    /// Counts records that are not signed as they must be, and reports them.
    pub(crate) fn refuse_records(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        unsigned: u64,
        forged: u64,
    ) {
        let counts = &mut self.count().records;
        counts.unsigned += unsigned;
        counts.forged += forged;
        if unsigned > 0 {
            self.refuse(now, from, Refusal::Unsigned);
        }
        if forged > 0 {
            self.refuse(now, from, Refusal::Forged);
        }
    }

    /// What was accepted and refused.
    pub(crate) fn counters(&self) -> &Counters {
        &self.refusals.counters
    }

    /// The counters, to be changed.
    pub(crate) fn count(&mut self) -> &mut Counters {
        &mut self.refusals.counters
    }

    /// How many effects were not polled yet, and how many sources of refused datagrams are told
    /// apart.
    #[cfg(feature = "sim")]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.effects.len(), self.refusals.len())
    }

    /// Nothing: refused datagrams may be counted, reported and answered.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            sequence: _,
            effects: _,
            refusals: _,
        } = self;
        String::new()
    }
}
