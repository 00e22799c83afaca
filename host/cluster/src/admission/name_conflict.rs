//! Two machines with one name. A second run of a node waits while the first may still be there. If
//! both are there, the one that started later has to go.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::contacts::NameConflict;
use super::{Admission, Bucket, Greeting, Opened, Received, Refusal};
use crate::me::Me;
use crate::message::{Beacon, Content, Message};
use crate::outbox::Outbox;
use crate::stall::Moment;
use crate::{Boot, NodeId, TakenEvidence, Time};

/// If a datagram of the first run comes so long after the second one was found, it was not on its
/// way before: both are there.
const CONTEST: Duration = Duration::from_millis(300);

/// How many hellos are sent at once to another user of this node's name, and the time until one
/// more.
const NAMESAKES_AT_ONCE: u32 = 2;
const NAMESAKES_EVERY: Duration = Duration::from_millis(500);

impl Admission {
    /// A datagram with this node's own name: its own broadcast that came back, a recording of an
    /// earlier run, or another machine with the same name.
    pub(super) fn own_name<'a>(
        &mut self,
        at: Moment<'_>,
        opened: &Opened<'a>,
        out: &mut Outbox,
    ) -> Received<'a> {
        let Opened { from, head, .. } = *opened;
        let message = match Message::read(head.version, opened.payload) {
            Content::Message(message) => Some(message),
            Content::Unknown | Content::Unreadable => None,
        };
        let Some(about) = message.as_ref().and_then(Message::about) else {
            if !at.me.has_had(head.boot) {
                out.refuse(at.now, from, Refusal::Stale);
            }
            return Received::Nothing;
        };
        if about.run.process == at.me.run.process {
            return Received::Nothing;
        }
        if let Some(Message::Hello(hello)) = &message
            && self.nonces.accepts(hello.echo)
            && started_before(about, at)
        {
            return Received::NameTaken(TakenEvidence::Direct);
        }
        out.refuse(at.now, from, Refusal::Stale);
        let contact = self.contacts.contact(at.now, head.source);
        let limit = |bucket: &mut Bucket| bucket.take(at.now, NAMESAKES_AT_ONCE, NAMESAKES_EVERY);
        if contact.is_some_and(|contact| limit(&mut contact.hellos)) {
            Received::Namesake(about.nonce)
        } else {
            Received::Nothing
        }
    }

    /// The first run of a node was heard. If a second one waits, and both have been there for a
    /// while, the one that started later has to go.
    pub(super) fn contest(&mut self, at: Moment<'_>, from: SocketAddrV4, out: &mut Outbox) {
        let (now, id) = (at.now, NodeId::of(*from.ip()));
        let Some(conflict) = self.contacts.conflict_mut(now, id) else {
            return;
        };
        if now.since(conflict.contested) < CONTEST {
            return;
        }
        conflict.contested = now;
        let second = conflict.about.clone();
        let second_uptime = Duration::from_millis(second.uptime_ms) + now.since(conflict.heard);
        let Some(first) = self.contacts.admitted(id) else {
            return;
        };
        let (boot, echo) = if second_uptime <= first.uptime(now) {
            (second.run.boot, second.nonce)
        } else {
            (first.boot(), first.nonce())
        };
        // By broadcast, since a datagram to the IP reaches only one of the two.
        let notice = Message::Taken {
            node: id,
            boot,
            echo,
        };
        out.broadcast(at.me, &notice);
        out.send(at.me, from, &notice);
    }

    /// A node says that a machine uses a name that was already in use.
    pub(crate) fn taken<'a>(
        &self,
        me: &Me,
        from: SocketAddrV4,
        id: NodeId,
        boot: Boot,
        echo: u64,
    ) -> Received<'a> {
        if (id, boot) == (me.id(), me.run.boot) && self.nonces.accepts(echo) {
            Received::NameTaken(TakenEvidence::Witness(*from.ip()))
        } else {
            Received::Nothing
        }
    }

    /// The nodes where a second run waits although the first is not heard any more.
    pub(crate) fn unblocked(&self, now: Time) -> Vec<NodeId> {
        self.contacts.unblocked(now)
    }

    /// The first run of a node is gone: admits the second one, if one waits. Returns the hello to
    /// send to it, and what it said of itself if it was admitted.
    pub(crate) fn promote(&mut self, now: Time, id: NodeId) -> Option<(Greeting, Option<Beacon>)> {
        let NameConflict { about, head, .. } = self.contacts.take_conflict(now, id)?;
        let greeting = Greeting {
            to: about.run.address(),
            boot: head.boot,
            echo: about.nonce,
            want_echo: false,
        };
        let first = self.contacts.admitted(id);
        if first.is_some_and(|first| first.boot() >= head.boot) {
            return Some((greeting, None));
        }
        let patience = self.patience();
        let greeting = Greeting {
            want_echo: true,
            ..greeting
        };
        let is_in = self.contacts.admit(now, &head, &about, patience);
        is_in.then_some((greeting, Some(about)))
    }
}

/// Whether the process of another machine started before this one.
fn started_before(other: &Beacon, at: Moment<'_>) -> bool {
    let mine = &at.me.run;
    let uptime = at.me.uptime_ms(at.clock);
    (other.uptime_ms, mine.boot) > (uptime, other.run.boot)
}
