//! The way of a datagram: envelope, contacts, message. One function for each step.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::Node;
use super::upkeep::SECOND;
use crate::admission::{CONTACTS_MAX, Pass, Uptime};
use crate::membership::Hint;
use crate::membership::Update;
use crate::membership::hearsay::doubtful;
use crate::message::{Beacon, Cause, Content, Down, Hello, Message};
use crate::release::Release;
use crate::wire::{self, Head};
use crate::{Boot, DownReason, Refusal, TakenEvidence, Time};

impl Node {
    pub(super) fn datagram(&mut self, now: Time, from: SocketAddrV4, bytes: &[u8]) {
        let (me, allows) = (self.me.run.ip(), |ip| self.config.allows(ip));
        let (head, payload) = match wire::open(&self.keys, allows, me, *from.ip(), bytes) {
            Ok(opened) => opened,
            Err(why) => return self.refuse(now, from, why),
        };
        if head.source == me {
            return self.own_name(now, from, &head, payload);
        }
        match self.contacts.pass(now, &head) {
            Pass::Accepted => {
                self.note_key(head.source, bytes);
                self.accepted(now, from, &head, payload);
            }
            pass => self.not_admitted(now, from, &head, payload, pass),
        }
    }

    /// What a datagram with a right envelope says. None if that is of a later
    /// version, or is refused, being unreadable or in the name of another node.
    pub(super) fn read<'a>(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        head: &Head,
        payload: &'a [u8],
    ) -> Option<Message<'a>> {
        let why = match Message::read(head.version, payload) {
            Content::Message(message) => match message.about() {
                Some(about) if !speaks_for(about, head) => Refusal::Address,
                _ => return Some(message),
            },
            Content::Unknown => {
                self.refusals.counters.unknown += 1;
                return None;
            }
            Content::Unreadable => Refusal::Content,
        };
        self.refuse(now, from, why);
        None
    }

    /// A new datagram of a run that was let in.
    fn accepted(&mut self, now: Time, from: SocketAddrV4, head: &Head, payload: &[u8]) {
        let ip = head.source;
        self.checks.clear(ip);
        self.contest(now, from);
        let Some(message) = self.read(now, from, head, payload) else {
            return;
        };
        self.refusals.counters.accepted += 1;
        match message {
            Message::Beacon(about) => self.beacon(now, from, about),
            Message::Hello(hello) => self.greeted(now, from, hello),
            Message::Swim(bytes) => {
                if !self.gossip(now, (ip, head.boot), bytes) {
                    self.refuse(now, from, Refusal::Content);
                }
            }
            Message::Down(down) => self.told_down(now, down),
            Message::Leave => self.declare(now, ip, head.boot, DownReason::Left, false),
            Message::Probe { boot } if boot == self.me.run.boot => self.send(from, &Message::Ack),
            Message::Probe { boot } if self.me.boots.contains(&boot) => {
                // This process had that number until just now, and the sender
                // has not let it in under the new one.
                let nonce = self.contacts.admitted(ip).map_or(0, |them| them.nonce);
                self.hello(now, from, head.boot, nonce, false);
            }
            // The probe is for another run of this node; that the answer to
            // one came was noted at the contacts.
            Message::Probe { .. } | Message::Ack => {}
            Message::Taken { ip, boot, echo } => self.taken(head, ip, boot, echo),
            Message::Release(bytes) => match Release::read(bytes) {
                Ok(release) => self.record(now, from, release),
                Err(error) => {
                    self.refusals.counters.records.unreadable += 1;
                    self.refuse(now, from, error.refusal());
                }
            },
            Message::Want(id) => self.wanted(from, id),
            Message::Votes(votes) => self.voted(now, from, votes),
        }
    }

    /// A node that was let in says who it is and what it knows.
    pub(super) fn beacon(&mut self, now: Time, from: SocketAddrV4, about: Beacon) {
        let (ip, boot, process) = (about.run.ip(), about.run.boot, about.run.process);
        if let Some(admitted) = self.contacts.admitted_mut(ip) {
            let was = Duration::from_millis(about.uptime_ms);
            admitted.uptime = Uptime { was, at: now };
            admitted.nonce = about.nonce;
            admitted.skew.note(self.clock.as_ms(), about.wall_ms);
            admitted.releases_hash = about.releases_hash;
            admitted.clock = about.clock;
        }
        if !self.roster.is_up(ip, boot) {
            let other_run = self.roster.get(ip).map(|entry| entry.run.boot != boot);
            if other_run.unwrap_or(self.swim.len() < CONTACTS_MAX) {
                self.swim.learn(now, vec![Update::alive(about.run)]);
                self.apply_swim(now, false);
            }
            if !self.roster.is_up(ip, boot) {
                // It is held for down, or for an earlier run: it has to know.
                self.hello(now, from, boot, about.nonce, false);
            }
        }
        self.roster.advertise(ip, process, about.advertised);
        self.catch_up(now, from, about.head);
        self.compare(now, ip, (about.state_hash, about.releases_hash));
    }

    /// A node that was let in answered, or asks for an answer.
    pub(super) fn greeted(&mut self, now: Time, from: SocketAddrV4, hello: Hello) {
        let (boot, nonce) = (hello.about.run.boot, hello.about.nonce);
        self.beacon(now, from, hello.about);
        if hello.want_echo {
            self.hello(now, from, boot, nonce, false);
        }
        if let Some(known) = hello.known
            && self.nonces.accepts(hello.echo)
        {
            self.on_known_run(now, known);
        }
    }

    /// Another node has made sure that a run is down.
    fn told_down(&mut self, now: Time, down: Down) {
        let Down { ip, boot, why } = down;
        if ip == self.me.run.ip() {
            if boot == self.me.run.boot && self.protests.take(now, 1, SECOND) {
                self.announce(now);
            }
        } else if why != Cause::Left && doubtful(&self.contacts, &self.roster, now, ip, boot) {
            self.doubt(now, ip, Some(boot), Hint::Hearsay);
        } else {
            self.declare(now, ip, boot, why.into(), false);
        }
    }

    /// A node says that a machine uses a name that was in use.
    pub(super) fn taken(&mut self, head: &Head, ip: Ipv4Addr, boot: Boot, echo: u64) {
        let me = &self.me.run;
        if (ip, boot) == (me.ip(), me.boot) && self.nonces.accepts(echo) {
            self.name_taken(TakenEvidence::Witness(head.source));
        }
    }
}

/// Whether what a node says of itself agrees with its envelope.
fn speaks_for(about: &Beacon, head: &Head) -> bool {
    (about.run.ip(), about.run.boot) == (head.source, head.boot)
}
