//! Counts how the requests that reach a generation end, for the bake check.
//!
//! Only an end that the app itself has caused is counted: a return, a trap, a
//! deadline that was passed. Other ends say nothing about the code: no instance or
//! no memory was free, the client went away, the node stops, a drain is over.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// How a call into an app ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It returned, with any result.
    Returned,
    /// It trapped, or asked for more memory than it may have.
    Trapped,
    /// It passed its deadline, of processor time or of time on the wall.
    Overran,
}

/// How many requests ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests of which at least one callback has ended, failed ones included.
    pub requests: u64,
    /// Those that ended in a trap.
    pub trapped: u64,
    /// Those that ended at a deadline.
    pub overrun: u64,
}

impl Tally {
    /// Those that trapped or passed a deadline.
    pub fn failed(&self) -> u64 {
        self.trapped.saturating_add(self.overrun)
    }

    /// What was counted since an earlier tally.
    pub fn since(&self, earlier: &Tally) -> Tally {
        Tally {
            requests: self.requests.saturating_sub(earlier.requests),
            trapped: self.trapped.saturating_sub(earlier.trapped),
            overrun: self.overrun.saturating_sub(earlier.overrun),
        }
    }
}

/// The counters behind a [`Tally`].
#[derive(Debug, Default)]
pub(super) struct Ends {
    requests: AtomicU64,
    trapped: AtomicU64,
    overrun: AtomicU64,
}

impl Ends {
    /// What the counters say now. The result never has more failures than requests.
    pub(super) fn tally(&self) -> Tally {
        // Failures are read first, because each was written after its request.
        let (trapped, overrun) = (
            self.trapped.load(Ordering::Acquire),
            self.overrun.load(Ordering::Acquire),
        );
        Tally {
            requests: self.requests.load(Ordering::Acquire),
            trapped,
            overrun,
        }
    }

    /// Counts an end for a request. A request counts at most once as a request and
    /// at most once as a failure.
    pub(super) fn count(&self, once: &Once, end: CallEnd) {
        let level = match end {
            CallEnd::Returned => Once::REQUEST,
            CallEnd::Trapped | CallEnd::Overran => Once::FAILURE,
        };
        let before = once.0.fetch_max(level, Ordering::AcqRel);
        if before < Once::REQUEST {
            self.requests.fetch_add(1, Ordering::AcqRel);
        }
        if before < level {
            match end {
                CallEnd::Returned => 0,
                CallEnd::Trapped => self.trapped.fetch_add(1, Ordering::AcqRel),
                CallEnd::Overran => self.overrun.fetch_add(1, Ordering::AcqRel),
            };
        }
    }
}

/// What a request was already counted as.
#[derive(Debug, Default)]
pub(super) struct Once(AtomicU8);

impl Once {
    const REQUEST: u8 = 1;
    const FAILURE: u8 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_however_many_callbacks_it_has_and_fails_once() {
        let ends = Ends::default();
        let (stream, failing) = (Once::default(), Once::default());
        for _ in 0..3 {
            ends.count(&stream, CallEnd::Returned);
        }
        ends.count(&failing, CallEnd::Overran);
        ends.count(&failing, CallEnd::Trapped);
        let first = ends.tally();
        let counted = (first.requests, first.trapped, first.overrun);
        assert_eq!(counted, (2, 0, 1));
        ends.count(&stream, CallEnd::Trapped);
        let second = ends.tally();
        assert_eq!((second.requests, second.failed()), (2, 2));
        assert_eq!(second.since(&first).failed(), 1);
    }
}
