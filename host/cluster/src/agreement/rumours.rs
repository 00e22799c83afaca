//! How records and votes get around. They are sent to everyone at once, relayed a little, and
//! requested where a beacon shows that one is missing. Push-pull brings whatever is still
//! missing.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use crate::NodeId;
use crate::Time;
use crate::membership::Roster;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::release::{Release, ReleaseId, Vote};
use crate::stall::Moment;

/// The pauses between repeats of a new rumour, since one may be lost.
const AGAIN: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(120)];

/// How many rumours are repeated at a time; beyond that, the oldest waits for push-pull.
const TELLING_MAX: usize = 32;

/// To how many members a new record is relayed, once.
const RELAY: usize = 4;

/// How many records are asked for at a time.
const WANTS_MAX: usize = 16;

/// The pause before a record is asked for again: at first, and at most while it does not come
/// (because it is forgotten, or not signed).
const WANT_FIRST: Duration = Duration::from_millis(50);
pub(crate) const WANT_MOST: Duration = Duration::from_secs(5);

/// The rumours that are being told, and the records that are asked for.
pub(super) struct Rumours {
    telling: VecDeque<Telling>,
    wants: VecDeque<Wanted>,
    rng: StdRng,
}

#[derive(Debug)]
struct Telling {
    what: Rumour,
    said: usize,
    next: Time,
}

#[derive(Clone, Debug)]
pub(super) enum Rumour {
    Record(Arc<Release>),
    Vote(Vote),
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    id: ReleaseId,
    /// When it was last asked for.
    at: Time,
    next: Time,
    wait: Duration,
}

impl Rumours {
    pub(super) fn new(rng: StdRng) -> Self {
        Self {
            telling: VecDeque::new(),
            wants: VecDeque::new(),
            rng,
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.telling.iter().map(|telling| telling.next).min()
    }

    /// Repeats the rumours that are due.
    pub(super) fn timer(&mut self, at: Moment<'_>, roster: &Roster, out: &mut Outbox) {
        for mut telling in std::mem::take(&mut self.telling) {
            if telling.next <= at.now {
                self.say(at, roster, &telling.what, out);
                telling.said += 1;
                match AGAIN.get(telling.said) {
                    Some(&wait) => telling.next = at.now + wait,
                    None => continue,
                }
            }
            self.telling.push_back(telling);
        }
    }

    /// Tells everyone what is new, now and twice more.
    pub(super) fn tell(&mut self, at: Moment<'_>, roster: &Roster, what: Rumour, out: &mut Outbox) {
        self.say(at, roster, &what, out);
        self.telling.push_back(Telling {
            what,
            said: 0,
            next: at.now + AGAIN[0],
        });
        if self.telling.len() > TELLING_MAX {
            self.telling.pop_front();
        }
    }

    fn say(&mut self, at: Moment<'_>, roster: &Roster, what: &Rumour, out: &mut Outbox) {
        let message = match what {
            Rumour::Record(release) => Message::Release(release.bytes()),
            Rumour::Vote(vote) => Message::Votes(vec![*vote]),
        };
        out.broadcast(at.me, &message);
        self.relay(at, roster, at.me.id(), &message, out);
    }

    /// Relays a message to some members, chosen by chance, except this one.
    pub(super) fn relay(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        but: NodeId,
        message: &Message<'_>,
        out: &mut Outbox,
    ) {
        let others = roster.others(at.me.id()).filter(|run| run.id() != but);
        let addresses = others.map(|run| run.address());
        for to in addresses.sample(&mut self.rng, RELAY) {
            out.send(at.me, to, message);
        }
    }

    /// Asks a member for a record that it knows.
    pub(super) fn want(
        &mut self,
        at: Moment<'_>,
        of: SocketAddrV4,
        id: ReleaseId,
        out: &mut Outbox,
    ) {
        let now = at.now;
        let asked = self.wants.iter().position(|want| want.id == id);
        let wait = match asked.and_then(|number| self.wants.remove(number)) {
            Some(want) if want.next > now => {
                self.wants.push_back(want);
                return;
            }
            Some(want) => WANT_MOST.min(want.wait * 2),
            None => WANT_FIRST,
        };
        self.wants.push_back(Wanted {
            id,
            at: now,
            next: now + wait,
            wait,
        });
        if self.wants.len() > WANTS_MAX {
            self.wants.pop_front();
        }
        out.send(at.me, of, &Message::Want(id));
    }

    /// Whether this record was asked for lately.
    pub(super) fn has_asked(&self, now: Time, id: &ReleaseId) -> bool {
        let lately = |want: &Wanted| want.id == *id && now.since(want.at) < WANT_MOST;
        self.wants.iter().any(lately)
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(super) fn fingerprint(&self) -> String {
        let Self {
            telling,
            wants,
            rng: _,
        } = self;
        format!("rumours {telling:?} {wants:?}\n")
    }
}
