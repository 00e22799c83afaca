//! Finds members whose beacons are missing. Silence is only a hint: membership then checks the
//! member.

use std::time::Duration;

use rand::RngExt;

use super::Admission;
use crate::NodeId;
use crate::hash::mix;
use crate::membership::Roster;
use crate::stall::Moment;

/// How long a node may at least be silent before it is asked whether it is there: a little more
/// than the time between two beacons. Chance adds to it, so that not all members ask at once.
const PATIENCE: Duration = Duration::from_millis(1150);
const PATIENCE_MORE: u64 = 300;

/// If no broadcast of a member has come for this long, none is expected any more.
const EXPECT_BROADCASTS: Duration = Duration::from_secs(10);

/// How many nodes ask a member that has missed one beacon whether it is there. If all did, a few
/// lost beacons would make most of the traffic of a large cluster at rest. These few are enough to
/// notice at once that it is gone.
const WATCHERS: u64 = 16;

/// How much longer the other nodes wait: until a second beacon is missing.
const NO_WATCHER: Duration = Duration::from_secs(1);

impl Admission {
    /// The members whose beacons are missing. Each may then be silent for as long again.
    pub(crate) fn silent(&mut self, at: Moment<'_>, roster: &Roster) -> Vec<NodeId> {
        let (now, me, members) = (at.now, at.me.id(), roster.view().members.len());
        let mut silent = Vec::new();
        for run in roster.others(me) {
            let id = run.id();
            let Some(admitted) = self.contacts.admitted_mut(id) else {
                continue;
            };
            if admitted.boot != run.boot {
                continue;
            }
            admitted
                .broadcast
                .take_if(|at| now.since(*at) >= EXPECT_BROADCASTS);
            let silence = now.since(admitted.heard);
            if admitted.broadcast.is_some()
                && silence >= admitted.patience
                && (silence >= admitted.patience + NO_WATCHER || watches(me, id, members))
            {
                silent.push(id);
            }
        }
        for id in &silent {
            let patience = self.patience();
            if let Some(admitted) = self.contacts.admitted_mut(*id) {
                admitted.patience = patience;
            }
        }
        silent
    }

    /// How long a node may be silent from now on.
    pub(super) fn patience(&mut self) -> Duration {
        PATIENCE + Duration::from_millis(self.rng.random_range(0..PATIENCE_MORE))
    }
}

/// Whether this node is one of the roughly [`WATCHERS`] members that watch this one. Nodes need
/// not agree on it, so chance decides.
fn watches(me: NodeId, other: NodeId, members: usize) -> bool {
    let pair = mix(me.as_number()) ^ other.as_number();
    mix(pair) % (members as u64).max(1) < WATCHERS
}
