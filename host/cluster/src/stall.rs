//! The time that a node lives by. It stands still while the node cannot act,
//! so that a frozen or starved node does not hold its own absence against the
//! others.

use std::time::Duration;

use crate::Time;

/// A timer that comes later than this was held up.
const LATE: Duration = Duration::from_millis(20);

/// Turns the caller's time into the node's, which leaves out every lag.
#[derive(Debug)]
pub(crate) struct StallAdjustedClock {
    lost: Duration,
    last: Time,
}

impl StallAdjustedClock {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            lost: Duration::ZERO,
            last: now,
        }
    }

    /// The node's time at this moment of the caller's, given when the node
    /// wanted to be called at the latest.
    pub(crate) fn enter(&mut self, now: Time, due: Option<Time>) -> Time {
        let mut inner = (now - self.lost).max(self.last);
        if let Some(due) = due
            && inner.since(due) > LATE
        {
            let resumed = due.max(self.last);
            self.lost += inner.since(resumed);
            inner = resumed;
        }
        self.last = inner;
        inner
    }

    /// The caller's time of a moment of the node's.
    pub(crate) fn outer(&self, inner: Time) -> Time {
        inner + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn time_does_not_pass_while_a_node_is_frozen() {
        let mut clock = StallAdjustedClock::new(at(0));
        assert_eq!(clock.enter(at(100), Some(at(100))), at(100));
        assert_eq!(clock.enter(at(60_000), Some(at(200))), at(200), "thawed");
        assert_eq!(clock.outer(at(300)), at(60_100));
        assert_eq!(
            clock.enter(at(60_100), Some(at(300))),
            at(300),
            "and on time again"
        );
    }

    #[test]
    fn a_small_delay_is_not_held_back_and_time_never_turns() {
        let mut clock = StallAdjustedClock::new(at(0));
        assert_eq!(clock.enter(at(110), Some(at(100))), at(110));
        assert_eq!(clock.enter(at(5_000), Some(at(100))), at(110));
    }
}
