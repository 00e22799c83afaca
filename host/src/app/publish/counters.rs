//! What became of publications between nodes, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Publications between nodes by what became of them, since the start. One that
/// goes to five members counts five times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishCounters {
    /// Sent, and the member said that it has them.
    pub sent: u64,
    /// Dropped: the member was slow or did not answer, and there was no room.
    pub dropped: u64,
    /// Sent, but the member did not say that it has them.
    pub uncertain: u64,
    /// Came from members.
    pub received: u64,
    /// Came from members, but not newer than what was there.
    pub stale: u64,
    /// Messages from members that are no batch of publications.
    pub unreadable: u64,
}

/// The counters where they are counted.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) uncertain: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) unreadable: AtomicU64,
}

impl Counters {
    /// What was counted until now.
    pub fn snapshot(&self) -> PublishCounters {
        PublishCounters {
            sent: self.sent.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            uncertain: self.uncertain.load(Relaxed),
            received: self.received.load(Relaxed),
            stale: self.stale.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
        }
    }
}

/// Counts so many.
pub(super) fn count(counter: &AtomicU64, many: u64) {
    counter.fetch_add(many, Relaxed);
}
