//! The hybrid logical clock that orders releases. It is the wall clock where that is ahead, and
//! a counter where it is not. So a later decision has a later time even if clocks differ, and
//! people can still read the time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A time of the hybrid logical clock: 48 bits of milliseconds since
/// 1970-01-01 UTC, then 16 bits that count within one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Hlc(u64);

const COUNTER_BITS: u32 = 16;

/// No clock that is merely wrong shows a later time than this: 2200-01-01. A later record would
/// leave no room for its followers.
const LATEST_MS: u64 = 7_258_118_400_000;

impl Hlc {
    /// The time as one number, as it is sent and stored.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The first time of this millisecond since 1970-01-01 UTC.
    pub const fn from_ms(ms: u64) -> Self {
        let most = u64::MAX >> COUNTER_BITS;
        Self(if ms < most { ms } else { most } << COUNTER_BITS)
    }

    /// The milliseconds since 1970-01-01 UTC, by the clock of the node that made it.
    pub const fn ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// How many milliseconds it is ahead of a wall clock.
    pub(crate) fn ms_beyond(self, wall_ms: u64) -> u64 {
        self.ms().saturating_sub(wall_ms)
    }

    /// The time of something that happens now, after `self`.
    pub(crate) fn tick(self, wall_ms: u64) -> Self {
        Self(self.0.saturating_add(1)).max(Self::from_ms(wall_ms))
    }

    /// Whether a clock can have shown this time.
    pub(crate) fn is_plausible(self) -> bool {
        self.ms() <= LATEST_MS
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.0 & 0xffff)
    }
}

/// How far the wall clock of another node is ahead of this node's monotonic time, from its
/// newest few beacons. The largest value counts: each is too small by the time that its beacon
/// travelled or lay unread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skew {
    newest: [Option<i64>; 3],
}

impl Skew {
    /// Notes a beacon that showed `their_wall_ms` and was read when this node's monotonic time
    /// was `now_ms`.
    pub(crate) fn note(&mut self, now_ms: u64, their_wall_ms: u64) {
        self.newest.rotate_right(1);
        self.newest[0] = Some(beyond(now_ms, their_wall_ms));
    }

    /// How far the other's wall clock is ahead of this node's monotonic time.
    pub(crate) fn beyond(&self) -> Option<i64> {
        self.newest.iter().flatten().copied().max()
    }
}

pub(crate) fn beyond(now_ms: u64, wall_ms: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(wall_ms).saturating_sub(signed(now_ms))
}

/// How many milliseconds this node's wall clock is ahead of the median of the members';
/// negative if it is behind. None without other members. Of an even number, the lower of the
/// two middle values counts: so among three members only two wrong clocks can hide a wrong one.
pub(crate) fn ahead_of_members(mine: i64, theirs: &mut [i64]) -> Option<i64> {
    median(theirs).map(|median| mine.saturating_sub(median))
}

/// The median; of an even number, the lower of the two middle values.
pub(crate) fn median<T: Ord + Copy>(all: &mut [T]) -> Option<T> {
    all.sort_unstable();
    let middle = all.len().checked_sub(1)? / 2;
    all.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_later_than_all_before_and_not_before_the_wall_clock() {
        let seen = Hlc::from_ms(1000);
        assert_eq!(seen.tick(2000), Hlc::from_ms(2000));
        assert!(seen.tick(500) > seen, "the wall clock was set back");
        assert_eq!(seen.tick(500).ms(), 1000);
        let full = Hlc::from_number((1000 << 16) | 0xffff);
        assert_eq!(full.tick(1000), Hlc::from_ms(1001), "the counter carries");
        assert_eq!(Hlc::from_number(u64::MAX).tick(0).number(), u64::MAX);
    }

    #[test]
    fn a_beacon_that_lay_unread_does_not_make_the_own_clock_look_ahead() {
        let mut skew = Skew::default();
        skew.note(1_000, 51_000);
        skew.note(62_000, 52_000);
        assert_eq!(skew.beyond(), Some(50_000));
    }

    #[test]
    fn one_wrong_clock_does_not_move_the_median() {
        assert_eq!(ahead_of_members(10, &mut []), None);
        assert_eq!(ahead_of_members(10, &mut [0]), Some(10));
        assert_eq!(ahead_of_members(10, &mut [9, -50_000, 11]), Some(1));
        assert_eq!(ahead_of_members(600, &mut [100, 0]), Some(600));
    }
}
