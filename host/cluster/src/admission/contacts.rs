//! The table of nodes that were heard: of each the run that was let in, and what keeps recordings of
//! it and of others out. Everyone may read it, and only admission changes it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::replay::{Bucket, Window};
use crate::message::Beacon;
use crate::wire::Head;
use crate::{Boot, NodeId, Time};

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

/// How many answers one node gets at once, and how often one more.
pub(super) const HELLOS_AT_ONCE: u32 = 6;
pub(super) const HELLOS_EVERY: Duration = Duration::from_millis(50);

/// The table of nodes that were heard.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    contacts: BTreeMap<NodeId, Contact>,
}

/// A node that was heard.
#[derive(Debug)]
pub(super) struct Contact {
    /// The run that has proven itself live.
    admitted: Option<Admitted>,
    /// Another run that has, while the admitted one may still be there.
    /// (Boxed, since there hardly ever is one: the table is walked with every
    /// datagram, and stays in the cache if it is small.)
    conflict: Option<Box<NameConflict>>,
    /// The runs that have proven themselves and are not the admitted one, each
    /// with the newest number by which it did, or that was accepted of it.
    others: VecDeque<(u64, u64)>,
    /// Limits how often it is answered.
    pub(super) hellos: Bucket,
    touched: Time,
}

/// A run that has proven itself live.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(super) boot: Boot,
    process: u64,
    window: Window,
    /// When it was let in.
    since: Time,
    /// When anything of it was accepted last.
    pub(super) heard: Time,
    /// When a broadcast of it was accepted last.
    pub(super) broadcast: Option<Time>,
    /// How long its process had run at some moment.
    uptime: (Duration, Time),
    nonce: u64,
    /// How long it may be silent before it is asked whether it is there.
    pub(super) patience: Duration,
}

impl Admitted {
    pub(crate) fn boot(&self) -> Boot {
        self.boot
    }

    pub(crate) fn process(&self) -> u64 {
        self.process
    }

    /// The nonce that it gave out last.
    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// How long nothing of it was accepted.
    pub(crate) fn silence(&self, now: Time) -> Duration {
        now.since(self.heard)
    }

    /// How long no broadcast of it was accepted; none if none is expected.
    pub(crate) fn silence_of_broadcasts(&self, now: Time) -> Option<Duration> {
        self.broadcast.map(|at| now.since(at))
    }

    /// How long its process has run.
    pub(super) fn uptime(&self, now: Time) -> Duration {
        let (was, at) = self.uptime;
        was + now.since(at)
    }

    fn note_beacon(&mut self, now: Time, about: &Beacon) {
        self.uptime = (Duration::from_millis(about.uptime_ms), now);
        self.nonce = about.nonce;
    }
}

/// A second run of a node whose first one may still be there.
#[derive(Debug)]
pub(super) struct NameConflict {
    pub(super) about: Beacon,
    pub(super) head: Head,
    pub(super) heard: Time,
    /// When the first run was last found to be there too; at first, when this
    /// one was found.
    pub(super) contested: Time,
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
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
    pub(super) fn pass(&mut self, now: Time, head: &Head) -> Pass {
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
    pub(super) fn was_overtaken(&self, now: Time, head: &Head) -> bool {
        self.admitted(head.source).is_some_and(|admitted| {
            admitted.boot == head.boot
                && admitted.window.precedes(head.sequence)
                && now.since(admitted.since) < OVERTAKEN
        })
    }

    /// Lets a run in that has proven itself with this datagram. False if there
    /// is no room.
    pub(super) fn admit(
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
            uptime: (Duration::from_millis(about.uptime_ms), now),
            nonce: about.nonce,
            patience,
        });
        true
    }

    /// Whether a run that is not the admitted one proves itself with this
    /// datagram. A recording of one that did before does not.
    pub(super) fn proves(&mut self, now: Time, head: &Head, process: u64) -> bool {
        self.contact(now, head.source)
            .is_some_and(|contact| contact.is_news(process, head.sequence))
    }

    /// The record of a node, made if there is room for it.
    pub(super) fn contact(&mut self, now: Time, id: NodeId) -> Option<&mut Contact> {
        if self.contacts.len() >= CONTACTS_MAX && !self.contacts.contains_key(&id) {
            self.contacts
                .retain(|_, contact| now.since(contact.touched) < FORGET);
            if self.contacts.len() >= CONTACTS_MAX {
                return None;
            }
        }
        let contact = self.contacts.entry(id).or_insert_with(|| Contact {
            admitted: None,
            conflict: None,
            others: VecDeque::new(),
            hellos: Bucket::full(now, HELLOS_AT_ONCE),
            touched: now,
        });
        Some(contact)
    }

    /// The run of this node that was let in.
    pub(crate) fn admitted(&self, id: NodeId) -> Option<&Admitted> {
        self.contacts.get(&id)?.admitted.as_ref()
    }

    /// Notes what the run that was let in says of itself.
    pub(super) fn note_beacon(&mut self, now: Time, about: &Beacon) {
        if let Some(admitted) = self.admitted_mut(about.run.id()) {
            admitted.note_beacon(now, about);
        }
    }

    /// The run of this node that was let in, to be changed.
    pub(super) fn admitted_mut(&mut self, id: NodeId) -> Option<&mut Admitted> {
        self.contacts.get_mut(&id)?.admitted.as_mut()
    }

    /// Whether this very run was let in and heard within so long.
    pub(crate) fn heard(&self, now: Time, id: NodeId, boot: Boot, within: Duration) -> bool {
        self.admitted(id)
            .is_some_and(|admitted| admitted.boot == boot && now.since(admitted.heard) < within)
    }

    /// Notes that a second run of a node has proven itself with this datagram.
    pub(super) fn note_conflict(&mut self, now: Time, head: Head, about: Beacon) {
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

    /// Whether a second run of this node waits.
    pub(crate) fn has_conflict(&self, now: Time, id: NodeId) -> bool {
        let conflict = self
            .contacts
            .get(&id)
            .and_then(|contact| contact.conflict.as_ref());
        conflict.is_some_and(|conflict| now.since(conflict.heard) < HOLD)
    }

    /// The second run of this node, if there is one and it is still heard.
    pub(super) fn conflict_mut(&mut self, now: Time, id: NodeId) -> Option<&mut NameConflict> {
        let contact = self.contacts.get_mut(&id)?;
        contact
            .conflict
            .take_if(|conflict| now.since(conflict.heard) >= HOLD);
        contact.conflict.as_deref_mut()
    }

    /// The nodes of which a second run waits although the first has not been
    /// heard for longer than a beacon takes. If neither was, silence says
    /// nothing about which of the two is there.
    pub(super) fn unblocked(&self, now: Time) -> Vec<NodeId> {
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
    pub(super) fn known(
        &self,
    ) -> impl Iterator<Item = (&NodeId, &Option<Admitted>, &Option<Box<NameConflict>>)> {
        let all = self.contacts.iter();
        all.map(|(id, contact)| (id, &contact.admitted, &contact.conflict))
            .filter(|(_, admitted, conflict)| admitted.is_some() || conflict.is_some())
    }

    /// How many nodes are in the table.
    #[cfg(feature = "sim")]
    pub(crate) fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Takes out the second run of this node, if one waits.
    pub(super) fn take_conflict(&mut self, now: Time, id: NodeId) -> Option<NameConflict> {
        self.conflict_mut(now, id)?;
        self.contacts
            .get_mut(&id)?
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
