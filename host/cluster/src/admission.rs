//! Decides which datagrams get in. A run of a node is on probation until it has echoed a nonce of
//! ours; from then on its datagrams pass if their sequence number is new. Datagrams flow in, and
//! what to do about each flows out. Records and SWIM messages inside a datagram are judged later.
//!
//! Other modules may ask what admission has heard: [`Admission::heard`].

mod contacts;
mod name_conflict;
mod probation;
mod refusals;
mod replay;
mod silence;

use std::net::SocketAddrV4;

use rand::rngs::StdRng;

use self::contacts::Pass;
pub(crate) use self::contacts::{CONTACTS_MAX, Contacts, HOLD};
use self::probation::ANSWERS_AT_ONCE;
pub(crate) use self::refusals::Refusals;
pub use self::refusals::{Counters, Refusal, RefusedDatagrams, RefusedRecords};
pub(crate) use self::replay::Bucket;
use self::replay::Nonces;
use crate::membership::Roster;
use crate::message::{Beacon, Content, Hello, Message};
use crate::outbox::Outbox;
use crate::stall::Moment;
use crate::wire::{self, Head};
use crate::{Boot, NodeId, TakenEvidence, Time};

/// Decides which datagrams get in.
pub(crate) struct Admission {
    contacts: Contacts,
    nonces: Nonces,
    /// Limits the answers to all nodes together.
    answers: Bucket,
    rng: StdRng,
}

/// The result for one datagram.
pub(crate) enum Received<'a> {
    /// Do nothing: the datagram was refused, or says nothing.
    Nothing,
    /// The datagram is new and comes from the admitted run. No message if it cannot be read.
    Accepted(Head, Option<Message<'a>>),
    /// With this hello a run has proven that it is live, and was admitted.
    Admitted(Hello),
    /// A second run of this node has proven that it is live, while the first may still be there.
    Conflict(NodeId),
    /// The sender is to be answered.
    Greet(Greeting),
    /// The datagram has this node's own name and this nonce, but does not come from this process.
    /// Its sender has to show that it is live.
    Namesake(u64),
    /// Another machine has this node's name, and had it first.
    NameTaken(TakenEvidence),
}

/// A hello to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeting {
    pub(crate) to: SocketAddrV4,
    /// The receiver's run.
    pub(crate) boot: Boot,
    /// The receiver's nonce, or 0.
    pub(crate) echo: u64,
    /// Whether the receiver has to show that it is live.
    pub(crate) want_echo: bool,
}

/// A datagram with a right envelope.
#[derive(Clone, Copy)]
struct Opened<'a> {
    from: SocketAddrV4,
    head: Head,
    payload: &'a [u8],
}

impl Admission {
    pub(crate) fn new(now: Time, mut rng: StdRng) -> Self {
        Self {
            contacts: Contacts::default(),
            nonces: Nonces::new(now, &mut rng),
            answers: Bucket::full(now, ANSWERS_AT_ONCE),
            rng,
        }
    }

    /// Checks a datagram of which nothing is known yet.
    pub(crate) fn receive<'a>(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        from: SocketAddrV4,
        bytes: &'a [u8],
        out: &mut Outbox,
    ) -> Received<'a> {
        let me = at.me;
        let allows = |id| me.config.allows(id);
        let (head, payload) = match wire::open(&me.keys, allows, me.id(), *from.ip(), bytes) {
            Ok(opened) => opened,
            Err(why) => {
                out.refuse(at.now, from, why);
                return Received::Nothing;
            }
        };
        let opened = Opened {
            from,
            head,
            payload,
        };
        if head.source == me.id() {
            return self.own_name(at, &opened, out);
        }
        match self.contacts.pass(at.now, &head) {
            Pass::Accepted => {
                self.contest(at, from, out);
                let message = opened.read(at, out);
                out.count().accepted += u64::from(message.is_some());
                Received::Accepted(head, message)
            }
            pass => self.not_admitted(at, roster, &opened, pass, out),
        }
    }

    /// Notes what an admitted run says of itself.
    pub(crate) fn note_beacon(&mut self, at: Moment<'_>, about: &Beacon) {
        self.contacts.note_beacon(at.now, about);
    }

    /// Takes a new nonce when it is time to.
    pub(crate) fn turn_nonces(&mut self, now: Time) {
        self.nonces.turn(now, &mut self.rng);
    }

    /// The nonce that this node gives out now.
    pub(crate) fn nonce(&self) -> u64 {
        self.nonces.current()
    }

    /// Whether this is a nonce that this node gave out lately.
    pub(crate) fn accepts(&self, echo: u64) -> bool {
        self.nonces.accepts(echo)
    }

    /// What this node has heard of other nodes.
    pub(crate) fn heard(&self) -> &Contacts {
        &self.contacts
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            contacts,
            nonces,
            answers: _,
            rng: _,
        } = self;
        let contacts: Vec<String> = contacts
            .known()
            .map(|contact| format!("contact {contact:?}\n"))
            .collect();
        let contacts = contacts.concat();
        format!("nonces {nonces:?}\n{contacts}")
    }
}

impl<'a> Opened<'a> {
    /// Reads the message. None if it is of a later version, or if it is refused because it is
    /// unreadable or in the name of another node.
    fn read(&self, at: Moment<'_>, out: &mut Outbox) -> Option<Message<'a>> {
        let why = match Message::read(self.head.version, self.payload) {
            Content::Message(message) => match message.about() {
                Some(about) if !self.is_of(about) => Refusal::Address,
                _ => return Some(message),
            },
            Content::Unknown => {
                out.count().unknown += 1;
                return None;
            }
            Content::Unreadable => Refusal::Content,
        };
        out.refuse(at.now, self.from, why);
        None
    }

    /// Whether what a node says of itself agrees with the envelope.
    fn is_of(&self, about: &Beacon) -> bool {
        (about.run.id(), about.run.boot) == (self.head.source, self.head.boot)
    }
}
