//! The clock that stamps writes: a hybrid logical clock. Where members are there, a clock that is
//! ahead of their median stamps with the median, so that it does not win over what they write later.

use crate::release::Hlc;

/// How far the last known stamp may be ahead of the members' clocks and still count.
const LEAD_MS: u64 = 1000;

/// The clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DataClock {
    /// The latest stamp that was given or seen. It is stored.
    last: Hlc,
    /// How far the wall clock is ahead of the members' median, in milliseconds; none without
    /// members.
    ahead_ms: Option<i64>,
}

impl DataClock {
    /// How far the wall clock is ahead of the members' median is known now.
    pub(crate) fn set_ahead(&mut self, ahead_ms: Option<i64>) {
        self.ahead_ms = ahead_ms;
    }

    /// The latest stamp, to be stored.
    pub(crate) fn last(&self) -> Hlc {
        self.last
    }

    /// Begins with the stored stamp.
    pub(crate) fn restore(&mut self, last: Hlc) {
        self.last = self.last.max(last);
    }

    /// The time that the members agree on: their median; without members, this clock.
    pub(crate) fn agreed_ms(&self, wall_ms: u64) -> u64 {
        wall_ms.saturating_add_signed(self.ahead_ms.unwrap_or(0).saturating_neg())
    }

    /// The earlier one of both.
    pub(crate) fn earlier_ms(&self, wall_ms: u64) -> u64 {
        wall_ms.min(self.agreed_ms(wall_ms))
    }

    /// Whether there are members whose clocks are known.
    pub(crate) fn has_members(&self) -> bool {
        self.ahead_ms.is_some()
    }

    /// Notes the stamp of a write that a member made.
    pub(crate) fn see(&mut self, stamp: Hlc, wall_ms: u64) {
        if stamp.ms() <= self.agreed_ms(wall_ms) + LEAD_MS {
            self.last = self.last.max(stamp);
        }
    }

    /// The stamp of a write now, later than `after`.
    pub(crate) fn stamp(&mut self, wall_ms: u64, after: Hlc) -> Hlc {
        let time = self.earlier_ms(wall_ms);
        let lead = self.last.ms().saturating_sub(self.agreed_ms(wall_ms));
        // Where the members say that the own past was ahead, it no longer counts.
        let last = match self.ahead_ms {
            Some(_) if lead > LEAD_MS => Hlc::default(),
            _ => self.last,
        };
        let stamp = last.tick(time);
        self.last = stamp;
        match after < stamp {
            true => stamp,
            false => after.tick(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_even_if_the_clock_goes_back() {
        let mut clock = DataClock::default();
        let first = clock.stamp(5000, Hlc::default());
        assert_eq!(first.ms(), 5000);
        assert!(clock.stamp(4000, Hlc::default()) > first);
        let known = Hlc::from_ms(9000);
        assert!(clock.stamp(6000, known) > known, "later than what is there");
    }

    #[test]
    fn a_clock_ahead_of_the_members_stamps_with_their_median() {
        let mut clock = DataClock::default();
        clock.stamp(100_000, Hlc::default());
        clock.set_ahead(Some(90_000));
        assert_eq!(clock.stamp(100_500, Hlc::default()).ms(), 10_500);
        clock.set_ahead(Some(-90_000));
        assert_eq!(clock.stamp(101_000, Hlc::default()).ms(), 101_000);
        clock.see(Hlc::from_ms(191_500), 101_000);
        assert_eq!(
            clock.stamp(101_000, Hlc::default()).ms(),
            191_500,
            "of a member"
        );
    }
}
