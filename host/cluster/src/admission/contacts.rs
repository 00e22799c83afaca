//! The table of nodes that were heard. For each node it holds the admitted run, and what is needed
//! to recognise recordings. Every module may read it, and only admission changes it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::replay::{Bucket, Window};
use crate::message::Beacon;
use crate::wire::Head;
use crate::{Boot, NodeId, Time};

/// How many nodes the table holds. Only holders of the cookie get in, so this limits a cluster that
/// has gone mad, not a stranger.
pub(crate) const CONTACTS_MAX: usize = 4096;

/// How long after its last datagram a node is remembered when the table is full. Forgetting it is
/// safe: it is put on probation again.
const FORGET: Duration = Duration::from_secs(60);

/// How long a run that is up and was heard blocks a new run of the same node. This is longer than
/// two beacons take, so two machines with one name are noticed even if a beacon is lost.
pub(crate) const HOLD: Duration = Duration::from_millis(2300);

/// How many runs of a node are remembered besides the admitted one. Fewer than this can prove
/// themselves while a nonce is accepted, unless the node is mad.
const OTHERS_MAX: usize = 8;

/// How late a datagram may come that a run sent before the one that admitted it: a broadcast and an
/// answer take two ways through the system.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// How many answers one node gets at once, and the time until it gets one more.
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
    /// The run that has proven that it is live.
    admitted: Option<Admitted>,
    /// Another run that has proven that it is live, while the admitted one may still be there.
    /// (Boxed, since there is hardly ever one: every datagram walks the table, and a small table
    /// stays in the cache.)
    conflict: Option<Box<NameConflict>>,
    /// The runs that have proven that they are live and are not the admitted one. Each comes with
    /// the newest sequence number that proved it or was accepted.
    others: VecDeque<(u64, u64)>,
    /// Limits how often the node is answered.
    pub(super) hellos: Bucket,
    touched: Time,
}

/// A run that has proven that it is live.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(super) boot: Boot,
    process: u64,
    window: Window,
    /// When the run was admitted.
    since: Time,
    /// When a datagram of the run was last accepted.
    pub(super) heard: Time,
    /// When a broadcast of the run was last accepted.
    pub(super) broadcast: Option<Time>,
    /// How long the process had run at some moment.
    uptime: (Duration, Time),
    nonce: u64,
    /// How long the run may be silent before it is asked whether it is there.
    pub(super) patience: Duration,
}

impl Admitted {
    pub(crate) fn boot(&self) -> Boot {
        self.boot
    }

    pub(crate) fn process(&self) -> u64 {
        self.process
    }

    /// The nonce that the run gave out last.
    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// How long ago a datagram of the run was last accepted.
    pub(crate) fn silence(&self, now: Time) -> Duration {
        now.since(self.heard)
    }

    /// How long ago a broadcast of the run was last accepted; none if none is expected.
    pub(crate) fn silence_of_broadcasts(&self, now: Time) -> Option<Duration> {
        self.broadcast.map(|at| now.since(at))
    }

    /// How long the process of the run has run.
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
    /// When the first run was last found to be there too. At the beginning, when the second run was
    /// found.
    pub(super) contested: Time,
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// The datagram is new and of the admitted run.
    Accepted,
    /// The datagram is of the admitted run, but was or may have been seen before.
    Replay,
    /// The datagram is of an earlier run.
    Stale,
    /// The datagram is of a run that has not proven yet that it is live.
    Probation,
}

impl Contacts {
    /// Decides about a datagram with a valid envelope.
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

    /// Whether a datagram that looked like a replay is most likely none: the datagram that admitted
    /// its run overtook it.
    pub(super) fn was_overtaken(&self, now: Time, head: &Head) -> bool {
        self.admitted(head.source).is_some_and(|admitted| {
            admitted.boot == head.boot
                && admitted.window.precedes(head.sequence)
                && now.since(admitted.since) < OVERTAKEN
        })
    }

    /// Admits a run that has proven with this datagram that it is live. False if the table is full.
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

    /// Whether a run that is not the admitted one proves with this datagram that it is live. A
    /// recording of an earlier proof does not prove it.
    pub(super) fn proves(&mut self, now: Time, head: &Head, process: u64) -> bool {
        self.contact(now, head.source)
            .is_some_and(|contact| contact.is_news(process, head.sequence))
    }

    /// The record of a node; makes one if there is room.
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

    /// The admitted run of this node.
    pub(crate) fn admitted(&self, id: NodeId) -> Option<&Admitted> {
        self.contacts.get(&id)?.admitted.as_ref()
    }

    /// Notes what the admitted run says of itself.
    pub(super) fn note_beacon(&mut self, now: Time, about: &Beacon) {
        if let Some(admitted) = self.admitted_mut(about.run.id()) {
            admitted.note_beacon(now, about);
        }
    }

    /// Like `admitted`, to be changed.
    pub(super) fn admitted_mut(&mut self, id: NodeId) -> Option<&mut Admitted> {
        self.contacts.get_mut(&id)?.admitted.as_mut()
    }

    /// Whether this very run is admitted and was heard within this time.
    pub(crate) fn heard(&self, now: Time, id: NodeId, boot: Boot, within: Duration) -> bool {
        self.admitted(id)
            .is_some_and(|admitted| admitted.boot == boot && now.since(admitted.heard) < within)
    }

    /// Notes that a second run of a node has proven with this datagram that it is live.
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

    /// The second run of this node, if it is still heard.
    pub(super) fn conflict_mut(&mut self, now: Time, id: NodeId) -> Option<&mut NameConflict> {
        let contact = self.contacts.get_mut(&id)?;
        contact
            .conflict
            .take_if(|conflict| now.since(conflict.heard) >= HOLD);
        contact.conflict.as_deref_mut()
    }

    /// The nodes where a second run waits, although the first has not been heard for longer than a
    /// beacon takes. If neither was heard, silence does not tell which of the two is there.
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

    /// What is known of the nodes that have proven that they are live.
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

    /// Removes and returns the second run of this node, if one waits.
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
    /// Whether the sequence number is newer than all that were heard of this run; notes it.
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
