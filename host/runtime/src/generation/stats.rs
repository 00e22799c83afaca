//! What is counted of a generation: how many exchanges are on it, how its requests
//! end, and what became of the exchanges that left when other code came.
//!
//! The stats outlive their generation, so that they can still be read after it.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::time::Duration;

use parking_lot::Mutex;

use super::class::{CountedRequest, Counts, Yardstick};
use super::source::Source;
use super::tally::{CallEnd, RequestEnd, Tally};

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
    counted: Mutex<Counted>,
    left: cluster::Counted<Left>,
}

#[derive(Debug, Default)]
struct Counted {
    requests: Tally,
    changes: Tally,
    /// What was counted since it was last taken, or since the generation was put in.
    fresh: Fresh,
    yardstick: Yardstick,
}

/// What was counted of a generation between two looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// How its requests ended.
    pub requests: Counts,
    /// How it turned states of open streams into states of its own version, or from
    /// it. Each is counted as a request; a change that the app refused is none that
    /// failed.
    pub changes: Tally,
}

impl Fresh {
    /// Adds what was counted later.
    pub fn add(&mut self, later: &Fresh) {
        self.requests.add(&later.requests);
        self.changes.add(&later.changes);
    }
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

    /// How many exchanges are on the generation now.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// How the requests that reached the generation have ended so far.
    pub fn requests(&self) -> Tally {
        self.counted.lock().requests
    }

    /// How the changes of states have ended so far.
    pub fn changes(&self) -> Tally {
        self.counted.lock().changes
    }

    /// What was counted since the last call, or since the generation was put in.
    pub fn take(&self) -> Fresh {
        std::mem::take(&mut self.counted.lock().fresh)
    }

    /// From now on, answers that take longer than this are counted as slow.
    pub fn measure_by(&self, yardstick: Yardstick) {
        self.counted.lock().yardstick = yardstick;
    }

    /// Forgets what was not taken yet, because the generation is about to be put in.
    /// The caller does this before the first request can reach the generation.
    pub fn begin(&self) {
        let mut counted = self.counted.lock();
        counted.fresh = Fresh::default();
        counted.yardstick = Yardstick::default();
    }

    /// Counts the end of a request from this source. A request counts at most once as a
    /// request and at most once as a failure. `time`: how long the answer took.
    pub fn count_request(
        &self,
        once: &Once,
        path: &str,
        source: Source,
        end: RequestEnd,
        time: Option<Duration>,
    ) {
        let level = match end.is_failure() {
            false => Once::REQUEST,
            true => Once::FAILURE,
        };
        let before = once.0.fetch_max(level, AcqRel);
        if before >= level {
            return;
        }
        let request = CountedRequest {
            path,
            source,
            end,
            time,
            is_new: before < Once::REQUEST,
            is_failure: end.is_failure(),
        };
        let mut counted = self.counted.lock();
        let Counted {
            requests,
            fresh,
            yardstick,
            ..
        } = &mut *counted;
        requests.requests += u64::from(request.is_new);
        requests.fail(end, u64::from(request.is_failure));
        fresh.requests.count(&request, yardstick);
    }

    /// Counts a change of a state.
    pub fn count_change(&self, end: CallEnd) {
        let mut change = Tally {
            requests: 1,
            ..Tally::default()
        };
        match end {
            CallEnd::Returned => {}
            CallEnd::Trapped => change.trapped = 1,
            CallEnd::Overran => change.overrun = 1,
        }
        let mut counted = self.counted.lock();
        counted.changes.add(&change);
        counted.fresh.changes.add(&change);
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

/// What a request was already counted as.
#[derive(Debug, Default)]
pub struct Once(AtomicU8);

impl Once {
    const REQUEST: u8 = 1;
    const FAILURE: u8 = 2;
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn count(stats: &GenerationStats, once: &Once, end: RequestEnd) {
        let source = Source::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        stats.count_request(once, "/", source, end, None);
    }

    #[test]
    fn a_request_counts_once_however_many_callbacks_it_has_and_fails_once() {
        let stats = GenerationStats::default();
        let (stream, failing) = (Once::default(), Once::default());
        for _ in 0..3 {
            count(&stats, &stream, RequestEnd::Answered(200));
        }
        count(&stats, &failing, RequestEnd::Overran);
        count(&stats, &failing, RequestEnd::Trapped);
        let first = stats.requests();
        let counted = (first.requests, first.trapped, first.overrun);
        assert_eq!(counted, (2, 0, 1));
        count(&stats, &stream, RequestEnd::Trapped);
        let second = stats.requests();
        assert_eq!((second.requests, second.failed()), (2, 2));
        assert_eq!(second.since(&first).failed(), 1);
        assert_eq!(stats.take().requests.tally(|_| true), second);
        assert_eq!(stats.take(), Fresh::default());
    }
}
