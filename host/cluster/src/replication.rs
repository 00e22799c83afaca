//! When two members exchange all that they know (push-pull): when their states stay different,
//! but ever more rarely with a member where an exchange does not help.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;

use crate::chance::jitter;
use crate::membership::Roster;
use crate::run::Run;
use crate::{Boot, NodeId, Time};

/// The pause between two exchanges with one member while the states stay different: at first,
/// and at most.
const SYNC_FIRST: Duration = Duration::from_millis(500);
const SYNC_MOST: Duration = Duration::from_secs(60);

/// The rough pause between two exchanges with any members.
const SYNC_EVERY: Duration = Duration::from_secs(1);
const SYNC_JITTER_PER_CENT: u32 = 25;

/// A node that has started within this time exchanges state at the first difference.
const FRESH: Duration = Duration::from_millis(1500);
const FRESH_EVERY: Duration = Duration::from_millis(300);

/// When state is exchanged.
pub(crate) struct Replication {
    next: Time,
    fresh_until: Time,
    /// The last exchange was not answered, so the control channel may not work.
    unanswered: bool,
    members: BTreeMap<NodeId, Pause>,
    rng: StdRng,
}

/// How long to leave a run of a member alone.
#[derive(Debug)]
struct Pause {
    boot: Boot,
    /// How many of its beacons in a row showed another state.
    odd: u8,
    /// When state may be exchanged with it again, and how long to wait after that while the
    /// states stay different.
    next: Time,
    wait: Duration,
}

impl Replication {
    pub(crate) fn new(now: Time, rng: StdRng) -> Self {
        Self {
            next: now,
            fresh_until: now + FRESH,
            unanswered: false,
            members: BTreeMap::new(),
            rng,
        }
    }

    /// A member said what it knows. Returns whether to exchange state with it now.
    pub(crate) fn is_due(&mut self, now: Time, member: &Run, same: bool) -> bool {
        let begin = || Pause {
            boot: member.boot,
            odd: 0,
            next: now,
            wait: SYNC_FIRST,
        };
        let pause = self.members.entry(member.id()).or_insert_with(begin);
        if pause.boot != member.boot {
            *pause = begin();
        }
        if same {
            (pause.odd, pause.wait) = (0, SYNC_FIRST);
            return false;
        }
        pause.odd = pause.odd.saturating_add(1);
        // A change takes a moment to reach everyone. So one beacon that differs means nothing,
        // unless this node knows nobody yet.
        let fresh = now < self.fresh_until;
        if pause.odd < 2 && !fresh || now < self.next || now < pause.next {
            return false;
        }
        // If one exchange did not settle a difference, another seldom does: a node that refuses
        // what the others know would get it again for ever.
        pause.next = now + pause.wait;
        pause.wait = SYNC_MOST.min(pause.wait * 2);
        let wait = if fresh {
            FRESH_EVERY
        } else {
            jitter(&mut self.rng, SYNC_EVERY, SYNC_JITTER_PER_CENT)
        };
        self.next = now + wait;
        true
    }

    /// An exchange begins. Returns whether the one before was not answered.
    pub(crate) fn begin(&mut self) -> bool {
        std::mem::replace(&mut self.unanswered, true)
    }

    /// An exchange was answered.
    pub(crate) fn answered(&mut self) {
        self.unanswered = false;
    }

    /// Forgets the nodes that are no longer members.
    pub(crate) fn forget(&mut self, roster: &Roster) {
        self.members.retain(|id, _| roster.up(*id).is_some());
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            next,
            fresh_until,
            unanswered,
            members,
            rng: _,
        } = self;
        format!("sync {next:?} {fresh_until:?} {unanswered:?} {members:?}\n")
    }
}
