//! Runs that were not let in: strangers, later and earlier runs of a known
//! node, and second machines with a name that is in use.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand::RngExt;

use super::Node;
use super::upkeep::SECOND;
use crate::admission::{HOLD, NameConflict, Pass};
use crate::message::{Beacon, Content, Hello, Message};
use crate::wire::Head;
use crate::{Boot, Refusal, TakenEvidence, Time};

/// A datagram of the first run that comes so long after the second one was
/// found was not on its way before: both are there.
const CONTEST: Duration = Duration::from_millis(300);

/// How long a node may be silent before it is asked whether it is there: at
/// least, which is a little more than a beacon takes, and how much more by
/// chance, so that not all ask at once.
const PATIENCE: Duration = Duration::from_millis(1150);
const PATIENCE_MORE: u64 = 300;

impl Node {
    /// A datagram with a right envelope of a run that was not let in, or one
    /// that was seen before.
    pub(super) fn not_admitted(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        head: &Head,
        payload: &[u8],
        pass: Pass,
    ) {
        let Some(message) = self.read(now, from, head, payload) else {
            return;
        };
        match pass {
            // Refused all the same, but it would be no news to anybody.
            Pass::Replay if self.contacts.was_overtaken(now, head) => {
                self.refusals.count(Refusal::Replay);
            }
            Pass::Replay => self.refuse(now, from, Refusal::Replay),
            Pass::Stale => self.refuse(now, from, Refusal::Stale),
            Pass::Probation | Pass::Accepted => self.refusals.counters.probation += 1,
        }
        match message {
            Message::Hello(hello) if self.nonces.accepts(hello.echo) => {
                self.proven(now, from, head, hello, pass);
            }
            Message::Taken { ip, boot, echo } => self.taken(head, ip, boot, echo),
            _ if pass == Pass::Replay => {}
            message => {
                let nonce = message.about().map_or(0, |about| about.nonce);
                self.hello(now, from, head.boot, nonce, true);
            }
        }
    }

    /// A run has shown that it is live.
    fn proven(&mut self, now: Time, from: SocketAddrV4, head: &Head, hello: Hello, pass: Pass) {
        let ip = head.source;
        let about = &hello.about;
        let first = self
            .contacts
            .admitted(ip)
            .map(|first| (first.boot, first.process));
        if first == Some((head.boot, about.run.process)) {
            return;
        }
        // The same process under a new number is not a second one.
        let same_process = first.is_some_and(|(_, process)| process == about.run.process);
        // The nonce does not tell a recording of the last seconds.
        if !same_process && !self.contacts.proves(now, head, about.run.process) {
            return;
        }
        let first_boot = first.map(|(boot, _)| boot);
        if !same_process && first_boot.is_some_and(|boot| self.may_be_there(now, ip, boot)) {
            self.checks.clear(ip);
            self.contacts.note_conflict(now, *head, hello.about);
        } else if pass == Pass::Probation {
            self.admit(now, from, head, hello);
        } else {
            // An earlier number than one that this node had before.
            self.hello(now, from, head.boot, about.nonce, false);
        }
    }

    fn may_be_there(&self, now: Time, ip: Ipv4Addr, boot: Boot) -> bool {
        self.roster.is_up(ip, boot) && self.contacts.heard(now, ip, boot, HOLD)
    }

    fn admit(&mut self, now: Time, from: SocketAddrV4, head: &Head, hello: Hello) {
        let patience = self.patience();
        if self.contacts.admit(now, head, &hello.about, patience) {
            self.greeted(now, from, hello);
        }
    }

    pub(super) fn patience(&mut self) -> Duration {
        PATIENCE + Duration::from_millis(self.rng.random_range(0..PATIENCE_MORE))
    }

    /// The first run of a node was heard: if a second one waits, and both have
    /// been there for a while, the one that started later has to go.
    pub(super) fn contest(&mut self, now: Time, from: SocketAddrV4) {
        let ip = *from.ip();
        let Some(conflict) = self.contacts.conflict_mut(now, ip) else {
            return;
        };
        if now.since(conflict.contested) < CONTEST {
            return;
        }
        conflict.contested = now;
        let second = conflict.about.clone();
        let second_uptime = Duration::from_millis(second.uptime_ms) + now.since(conflict.heard);
        let Some(first) = self.contacts.admitted(ip) else {
            return;
        };
        let (boot, echo) = if second_uptime <= first.uptime.now(now) {
            (second.run.boot, second.nonce)
        } else {
            (first.boot, first.nonce)
        };
        // By broadcast, since a datagram to the IP reaches only one of the two.
        let notice = Message::Taken { ip, boot, echo };
        self.broadcast(&notice);
        self.send(from, &notice);
    }

    /// The first run of a node is gone: let the second one in, if one waits.
    pub(super) fn promote(&mut self, now: Time, ip: Ipv4Addr) {
        let Some(NameConflict { about, head, .. }) = self.contacts.take_conflict(now, ip) else {
            return;
        };
        let (from, nonce) = (about.run.address(), about.nonce);
        if self
            .contacts
            .admitted(ip)
            .is_some_and(|first| first.boot >= head.boot)
        {
            return self.hello(now, from, head.boot, nonce, false);
        }
        let patience = self.patience();
        if self.contacts.admit(now, &head, &about, patience) {
            self.beacon(now, from, about);
            self.hello(now, from, head.boot, nonce, true);
        }
    }

    /// A datagram with this node's own name: its own broadcast that came back,
    /// a recording of an earlier run, or another machine with the same name.
    pub(super) fn own_name(&mut self, now: Time, from: SocketAddrV4, head: &Head, payload: &[u8]) {
        let message = match Message::read(head.version, payload) {
            Content::Message(message) => Some(message),
            Content::Unknown | Content::Unreadable => None,
        };
        let Some(about) = message.as_ref().and_then(Message::about) else {
            if !self.me.boots.contains(&head.boot) {
                self.refuse(now, from, Refusal::Stale);
            }
            return;
        };
        if about.run.process == self.me.run.process {
            return;
        }
        if let Some(Message::Hello(hello)) = &message
            && self.nonces.accepts(hello.echo)
            && self.started_before_me(about)
        {
            return self.name_taken(TakenEvidence::Direct);
        }
        // Ask whoever it is to show that it is live. By broadcast: the system
        // would give a datagram to the own IP back to this node.
        self.refuse(now, from, Refusal::Stale);
        if let Some(contact) = self.contacts.contact(now, head.source)
            && contact.hellos.take(now, 2, SECOND / 2)
        {
            let hello = Hello {
                echo: about.nonce,
                about: self.about(),
                want_echo: true,
                known: None,
            };
            self.broadcast(&Message::Hello(hello));
        }
    }

    fn started_before_me(&self, other: &Beacon) -> bool {
        let mine = self.about();
        (other.uptime_ms, mine.run.boot) > (mine.uptime_ms, other.run.boot)
    }
}
