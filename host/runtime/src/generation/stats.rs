//! What is counted of a generation: how many exchanges are on it, how its
//! requests end, what became of those that left when newer code came.
//!
//! It outlives its generation, so that what it counted can still be told.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use cluster::Counted;

use super::tally::{CallEnd, Ends, Once, Tally};

cluster::counts! {
    /// What became of the exchanges that left a generation when other code came.
    pub struct Left {
        /// They went over to the other code.
        migrated: "migrated",
        /// They could not, and were asked to end.
        refused: "refused",
        /// They were ended because their time was over.
        cut: "cut",
    }
}

/// What is counted of a generation.
#[derive(Debug, Default)]
pub struct GenerationStats {
    live: AtomicUsize,
    /// How the requests on it ended.
    requests: Ends,
    /// How its changes of states ended, to its own version or from it.
    changes: Ends,
    left: Counted<Left>,
    /// How its requests and its changes had ended when it was put in last.
    before: Mutex<[Tally; 2]>,
}

impl GenerationStats {
    /// Counts an exchange that came onto it.
    pub(super) fn enter(&self) {
        self.live.fetch_add(1, Relaxed);
    }

    /// Counts an exchange that is on it no more.
    pub(super) fn leave(&self) {
        self.live.fetch_sub(1, Relaxed);
    }

    /// Counts how a callback of a request ended.
    pub(super) fn count_request(&self, once: &Once, end: CallEnd) {
        self.requests.count(once, end);
    }

    /// How many exchanges are on it now.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// How the requests that reached it have ended so far.
    pub fn requests(&self) -> Tally {
        self.requests.tally()
    }

    /// How its changes of states have ended so far, each counted as a request:
    /// a change that it refused is one that returned.
    pub fn changes(&self) -> Tally {
        self.changes.tally()
    }

    /// How its requests and its changes of states had ended when it was put in last:
    /// nothing counted, unless it came back.
    pub fn before(&self) -> [Tally; 2] {
        *self.before.lock()
    }

    /// Notes what is counted up to now, because it is about to be put in. This is
    /// called before the first request can reach it.
    pub fn begin(&self) {
        let counted = [self.requests(), self.changes()];
        *self.before.lock() = counted;
    }

    /// Counts a change of a state.
    pub fn count_change(&self, end: CallEnd) {
        self.changes.count(&Once::default(), end);
    }

    /// What became of its exchanges that left it.
    pub fn left(&self) -> Left {
        self.left.now()
    }

    /// Counts an exchange that left it.
    pub(crate) fn count_left(&self, count: impl FnOnce(&mut Left)) {
        self.left.count(count);
    }
}
