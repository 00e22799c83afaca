//! Who is let in. A run of a node is on probation until it has echoed a nonce
//! of ours; from then on its datagrams pass if their sequence number is new.
//! What flows in are envelopes, what comes out is whether to listen.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::admission::{Bucket, Window};
use crate::message::Beacon;
use crate::node::SYNC_FIRST;
use crate::release::{Hlc, Skew};
use crate::wire::Head;
use crate::{Boot, Time};

/// The nodes that are told apart. Only holders of the cookie get in here, so
/// it is a limit for a cluster that has gone mad, not for a stranger.
pub(crate) const CONTACTS_MAX: usize = 4096;

/// How long a node is remembered after the last word from it, when the table
/// is full. Forgetting it is safe: it would be on probation again.
const FORGET: Duration = Duration::from_secs(60);

/// How long a run that is up and was heard blocks a new run of the same node:
/// longer than two beacons take, so that two machines with one name show even
/// where a beacon is lost.
pub(crate) const HOLD: Duration = Duration::from_millis(2300);

/// How many runs of a node are remembered besides the admitted one: more than
/// can prove themselves while a nonce is accepted, unless the node is mad.
const OTHERS_MAX: usize = 8;

/// What a run sent before the datagram that let it in may come after that one
/// for so long: a broadcast and an answer take two ways through the system.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// The table of nodes that were heard.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    contacts: BTreeMap<Ipv4Addr, Contact>,
}

/// A node that was heard.
#[derive(Debug)]
pub(crate) struct Contact {
    /// The run that has proven itself live.
    pub(crate) admitted: Option<Admitted>,
    /// Another run that has, while the admitted one may still be there.
    /// (Boxed, since there hardly ever is one: the table is walked with every
    /// datagram, and stays in the cache if it is small.)
    pub(crate) conflict: Option<Box<NameConflict>>,
    /// The runs that have proven themselves and are not the admitted one, each
    /// with the newest number by which it did, or that was accepted of it.
    others: VecDeque<(u64, u64)>,
    /// Limits how often it is answered.
    pub(crate) hellos: Bucket,
    touched: Time,
}

/// A run that has proven itself live.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) boot: Boot,
    pub(crate) process: u64,
    window: Window,
    /// When it was let in.
    since: Time,
    /// When anything of it was accepted last.
    pub(crate) heard: Time,
    /// When a broadcast of it was accepted last.
    pub(crate) broadcast: Option<Time>,
    /// Its process started so long before the core did, or after.
    pub(crate) uptime: Uptime,
    pub(crate) nonce: u64,
    /// What its wall clock shows.
    pub(crate) skew: Skew,
    /// Of all releases and votes that it knows.
    pub(crate) releases_hash: u64,
    /// Its hybrid clock.
    pub(crate) clock: Hlc,
    /// When state may be exchanged with it again, and how long to wait after
    /// that while the states go on differing.
    pub(crate) sync_next: Time,
    pub(crate) sync_wait: Duration,
    /// How many of its beacons in a row had another state hash than ours.
    pub(crate) odd: u8,
    /// How long it may be silent before it is asked whether it is there.
    pub(crate) patience: Duration,
}

/// How long a process had run at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uptime {
    pub(crate) was: Duration,
    pub(crate) at: Time,
}

impl Uptime {
    pub(crate) fn now(&self, now: Time) -> Duration {
        self.was + now.since(self.at)
    }
}

/// A second run of a node whose first one may still be there.
#[derive(Debug)]
pub(crate) struct NameConflict {
    pub(crate) about: Beacon,
    pub(crate) head: Head,
    pub(crate) heard: Time,
    /// When the first run was last found to be there too; at first, when this
    /// one was found.
    pub(crate) contested: Time,
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It is new, and of the run that was let in.
    Accepted,
    /// It is of that run, but was seen before or may have been.
    Replay,
    /// It is of an earlier run.
    Stale,
    /// It is of a run that has not proven itself yet.
    Probation,
}

impl Contacts {
    /// Decides about a datagram whose envelope is right.
    pub(crate) fn pass(&mut self, now: Time, head: &Head) -> Pass {
        let Some(contact) = self.contacts.get_mut(&head.source) else {
            return Pass::Probation;
        };
        let Some(admitted) = &mut contact.admitted else {
            return Pass::Probation;
        };
        match head.boot.cmp(&admitted.boot) {
            std::cmp::Ordering::Less => Pass::Stale,
            std::cmp::Ordering::Greater => Pass::Probation,
            std::cmp::Ordering::Equal if admitted.window.accept(head.sequence) => {
                admitted.heard = now;
                contact.touched = now;
                if head.receiver.is_none() {
                    admitted.broadcast = Some(now);
                }
                Pass::Accepted
            }
            std::cmp::Ordering::Equal => Pass::Replay,
        }
    }

    /// Whether a datagram that was taken for a replay is most likely none: it was
    /// only overtaken by the one that let its run in.
    pub(crate) fn was_overtaken(&self, now: Time, head: &Head) -> bool {
        self.admitted(head.source).is_some_and(|admitted| {
            admitted.boot == head.boot
                && admitted.window.precedes(head.sequence)
                && now.since(admitted.since) < OVERTAKEN
        })
    }

    /// Lets a run in that has proven itself with this datagram. False if there
    /// is no room.
    pub(crate) fn admit(
        &mut self,
        now: Time,
        head: &Head,
        about: &Beacon,
        patience: Duration,
    ) -> bool {
        let Some(contact) = self.contact(now, head.source) else {
            return false;
        };
        contact.conflict = None;
        if let Some(old) = &contact.admitted
            && old.process != about.run.process
        {
            let (process, newest) = (old.process, old.window.newest());
            contact.is_news(process, newest);
        }
        contact.admitted = Some(Admitted {
            boot: head.boot,
            process: about.run.process,
            window: Window::starting_at(head.sequence),
            since: now,
            heard: now,
            broadcast: None,
            uptime: Uptime {
                was: Duration::from_millis(about.uptime_ms),
                at: now,
            },
            nonce: about.nonce,
            skew: Skew::default(),
            releases_hash: about.releases_hash,
            clock: about.clock,
            sync_next: now,
            sync_wait: SYNC_FIRST,
            odd: 0,
            patience,
        });
        true
    }

    /// Whether a run that is not the admitted one proves itself with this
    /// datagram. A recording of one that did before does not.
    pub(crate) fn proves(&mut self, now: Time, head: &Head, process: u64) -> bool {
        self.contact(now, head.source)
            .is_some_and(|contact| contact.is_news(process, head.sequence))
    }

    /// The record of a node, made if there is room for it.
    pub(crate) fn contact(&mut self, now: Time, ip: Ipv4Addr) -> Option<&mut Contact> {
        if self.contacts.len() >= CONTACTS_MAX && !self.contacts.contains_key(&ip) {
            self.contacts
                .retain(|_, contact| now.since(contact.touched) < FORGET);
            if self.contacts.len() >= CONTACTS_MAX {
                return None;
            }
        }
        let contact = self.contacts.entry(ip).or_insert_with(|| Contact {
            admitted: None,
            conflict: None,
            others: VecDeque::new(),
            hellos: Bucket::full(now, HELLOS_AT_ONCE),
            touched: now,
        });
        Some(contact)
    }

    /// The run of this node that was let in.
    pub(crate) fn admitted(&self, ip: Ipv4Addr) -> Option<&Admitted> {
        self.contacts.get(&ip)?.admitted.as_ref()
    }

    /// The same, to be changed.
    pub(crate) fn admitted_mut(&mut self, ip: Ipv4Addr) -> Option<&mut Admitted> {
        self.contacts.get_mut(&ip)?.admitted.as_mut()
    }

    /// Whether this very run was let in and heard within so long.
    pub(crate) fn heard(&self, now: Time, ip: Ipv4Addr, boot: Boot, within: Duration) -> bool {
        self.admitted(ip)
            .is_some_and(|admitted| admitted.boot == boot && now.since(admitted.heard) < within)
    }

    /// Notes that a second run of a node has proven itself with this datagram.
    pub(crate) fn note_conflict(&mut self, now: Time, head: Head, about: Beacon) {
        let Some(contact) = self.contact(now, head.source) else {
            return;
        };
        match &mut contact.conflict {
            Some(conflict)
                if conflict.about.run == about.run && now.since(conflict.heard) < HOLD =>
            {
                (conflict.about, conflict.head, conflict.heard) = (about, head, now);
            }
            conflict => {
                *conflict = Some(Box::new(NameConflict {
                    about,
                    head,
                    heard: now,
                    contested: now,
                }));
            }
        }
    }

    /// The second run of this node, if there is one and it is still heard.
    pub(crate) fn conflict_mut(&mut self, now: Time, ip: Ipv4Addr) -> Option<&mut NameConflict> {
        let contact = self.contacts.get_mut(&ip)?;
        contact
            .conflict
            .take_if(|conflict| now.since(conflict.heard) >= HOLD);
        contact.conflict.as_deref_mut()
    }

    /// The nodes of which a second run waits although the first has not been
    /// heard for longer than a beacon takes. If neither was, silence says
    /// nothing about which of the two is there.
    pub(crate) fn unblocked(&self, now: Time) -> Vec<Ipv4Addr> {
        let waits = |contact: &Contact| {
            let conflict = contact.conflict.as_ref()?;
            let first = contact.admitted.as_ref();
            (now.since(conflict.heard) < HOLD
                && first.is_none_or(|first| now.since(first.heard) >= HOLD))
            .then_some(conflict.head.source)
        };
        self.contacts.values().filter_map(waits).collect()
    }

    /// What is known of the nodes that have proven themselves live.
    #[cfg(feature = "sim")]
    pub(crate) fn known(
        &self,
    ) -> impl Iterator<Item = (&Ipv4Addr, &Option<Admitted>, &Option<Box<NameConflict>>)> {
        let all = self.contacts.iter();
        all.map(|(ip, contact)| (ip, &contact.admitted, &contact.conflict))
            .filter(|(_, admitted, conflict)| admitted.is_some() || conflict.is_some())
    }

    /// How many nodes are in the table.
    #[cfg(feature = "sim")]
    pub(crate) fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Takes out the second run of this node, if one waits.
    pub(crate) fn take_conflict(&mut self, now: Time, ip: Ipv4Addr) -> Option<NameConflict> {
        self.conflict_mut(now, ip)?;
        self.contacts
            .get_mut(&ip)?
            .conflict
            .take()
            .map(|conflict| *conflict)
    }
}

impl Contact {
    /// Whether nothing so new has been heard of this run; notes it.
    fn is_news(&mut self, process: u64, sequence: u64) -> bool {
        match self.others.iter_mut().find(|(other, _)| *other == process) {
            Some((_, newest)) if *newest >= sequence => return false,
            Some((_, newest)) => *newest = sequence,
            None => {
                if self.others.len() >= OTHERS_MAX {
                    self.others.pop_front();
                }
                self.others.push_back((process, sequence));
            }
        }
        true
    }
}

/// How many answers one node gets at once, and how often one more.
pub(crate) const HELLOS_AT_ONCE: u32 = 6;
pub(crate) const HELLOS_EVERY: Duration = Duration::from_millis(50);
