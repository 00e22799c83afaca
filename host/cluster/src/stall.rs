//! The clock of a node. It stands still while the node cannot act, so that a frozen or starved
//! node does not blame the others for its own absence.

use std::time::Duration;

use crate::Time;
use crate::me::Me;

/// A timer that fires later than this was delayed.
const LATE: Duration = Duration::from_millis(20);

/// What every part of a node is told with each call: the time, and which node it is.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    /// The node's time, which leaves out every stall.
    pub(crate) now: Time,
    /// The caller's time.
    pub(crate) clock: Time,
    /// The wall clock, in milliseconds since 1970-01-01 UTC.
    pub(crate) wall_ms: u64,
    pub(crate) me: &'a Me,
}

/// Turns the caller's time into the node's time, which leaves out every stall.
#[derive(Debug)]
pub(crate) struct StallAdjustedClock {
    lost: Duration,
    now: Time,
    /// The caller's clock at its last call.
    clock: Time,
    wall_ms: u64,
}

impl StallAdjustedClock {
    pub(crate) fn new(now: Time, wall_ms: u64) -> Self {
        Self {
            lost: Duration::ZERO,
            now,
            clock: now,
            wall_ms,
        }
    }

    /// Takes in the caller's clocks. `due` is the latest time at which the node wanted to be
    /// called.
    pub(crate) fn enter(&mut self, clock: Time, wall_ms: u64, due: Option<Time>) {
        (self.clock, self.wall_ms) = (clock, wall_ms);
        let mut inner = (clock - self.lost).max(self.now);
        if let Some(due) = due
            && inner.since(due) > LATE
        {
            let resumed = due.max(self.now);
            self.lost += inner.since(resumed);
            inner = resumed;
        }
        self.now = inner;
    }

    /// This moment, on this node.
    pub(crate) fn at<'a>(&self, me: &'a Me) -> Moment<'a> {
        Moment {
            now: self.now,
            clock: self.clock,
            wall_ms: self.wall_ms,
            me,
        }
    }

    /// The node's time.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// The caller's time for a moment of the node's time.
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

    fn enter(clock: &mut StallAdjustedClock, now: u64, due: u64) -> Time {
        clock.enter(at(now), 0, Some(at(due)));
        clock.now()
    }

    #[test]
    fn time_does_not_pass_while_a_node_is_frozen() {
        let mut clock = StallAdjustedClock::new(at(0), 0);
        assert_eq!(enter(&mut clock, 100, 100), at(100));
        assert_eq!(enter(&mut clock, 60_000, 200), at(200), "thawed");
        assert_eq!(clock.outer(at(300)), at(60_100));
        assert_eq!(enter(&mut clock, 60_100, 300), at(300), "and on time again");
    }

    #[test]
    fn a_small_delay_is_not_held_back_and_time_never_turns() {
        let mut clock = StallAdjustedClock::new(at(0), 0);
        assert_eq!(enter(&mut clock, 110, 100), at(110));
        assert_eq!(enter(&mut clock, 5_000, 100), at(110));
    }
}
