//! What is counted of a generation: how many exchanges are on it, how its requests
//! end, and what became of the exchanges that left when other code came.
//!
//! The stats outlive their generation, so that they can still be read after it.

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
    /// How the requests on this generation ended.
    requests: Ends,
    /// How the changes of states ended, to its own version or from it.
    changes: Ends,
    left: Counted<Left>,
    /// How the requests and the changes had ended when the generation was last put
    /// in.
    before: Mutex<[Tally; 2]>,
}

impl GenerationStats {
    /// Counts an exchange that came onto the generation.
    pub(super) fn enter(&self) {
        self.live.fetch_add(1, Relaxed);
    }

    /// Counts an exchange that left the generation.
    pub(super) fn leave(&self) {
        self.live.fetch_sub(1, Relaxed);
    }

    /// Counts how a callback of a request ended.
    pub(super) fn count_request(&self, once: &Once, end: CallEnd) {
        self.requests.count(once, end);
    }

    /// How many exchanges are on the generation now.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// How the requests that reached the generation have ended so far.
    pub fn requests(&self) -> Tally {
        self.requests.tally()
    }

    /// How the changes of states have ended so far. Each is counted as a request; a
    /// change that the app refused counts as one that returned.
    pub fn changes(&self) -> Tally {
        self.changes.tally()
    }

    /// How the requests and the changes of states had ended when the generation was
    /// last put in. Nothing is counted there, unless the generation came back.
    pub fn before(&self) -> [Tally; 2] {
        *self.before.lock()
    }

    /// Notes what is counted up to now, because the generation is about to be put
    /// in. The caller does this before the first request can reach the generation.
    pub fn begin(&self) {
        let counted = [self.requests(), self.changes()];
        *self.before.lock() = counted;
    }

    /// Counts a change of a state.
    pub fn count_change(&self, end: CallEnd) {
        self.changes.count(&Once::default(), end);
    }

    /// What became of the exchanges that left.
    pub fn left(&self) -> Left {
        self.left.now()
    }

    /// Counts an exchange that left for this reason.
    pub(crate) fn count_left(&self, count: impl FnOnce(&mut Left)) {
        self.left.count(count);
    }
}
