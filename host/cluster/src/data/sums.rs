//! Sums of the hashes of all entries, by which two nodes find where they differ. The keys are
//! split by their hash into 4096 ranges, each with a sum of its own.
//!
//! The sums are also known *as of* a time in the last two minutes: as they were when only writes up to
//! then had been made. So two nodes compare what both must have by now, however busy they are.

use std::collections::BTreeMap;

/// How many ranges there are.
pub(crate) const RANGES: usize = 4096;

/// For how long the past sums are known, in seconds.
const KEPT_S: u64 = 120;

/// How far ahead of the clock a write may be to count only later, in seconds. One that is further
/// ahead counts at once.
const EARLY_S: u64 = 60;

/// The sums.
#[derive(Debug)]
pub(crate) struct RangeSums {
    total: u64,
    ranges: Vec<u64>,
    /// What the writes of each of the last seconds have changed.
    recent: BTreeMap<u64, Change>,
    /// The first second whose changes are all kept.
    kept_from: u64,
}

/// What was changed within one second.
#[derive(Debug, Default)]
struct Change {
    total: u64,
    ranges: BTreeMap<u16, u64>,
}

/// The range of a key with this hash.
pub(crate) fn range_of(key: u64) -> u16 {
    (key % RANGES as u64) as u16
}

impl Default for RangeSums {
    fn default() -> Self {
        Self {
            total: 0,
            ranges: vec![0; RANGES],
            recent: BTreeMap::new(),
            kept_from: 0,
        }
    }
}

impl RangeSums {
    /// An entry has changed by a write at this second.
    pub(crate) fn change(&mut self, range: u16, by: u64, second: u64, now_s: u64) {
        add(&mut self.total, by);
        if let Some(sum) = self.ranges.get_mut(usize::from(range)) {
            add(sum, by);
        }
        self.forget(now_s);
        if (self.kept_from..=now_s + EARLY_S).contains(&second) {
            let change = self.recent.entry(second).or_default();
            add(&mut change.total, by);
            add(change.ranges.entry(range).or_default(), by);
        }
    }

    /// Forgets what changed long ago. A clock that was far ahead and goes back begins anew.
    pub(crate) fn forget(&mut self, now_s: u64) {
        let from = now_s.saturating_sub(KEPT_S);
        if from > self.kept_from {
            self.kept_from = from;
            self.recent = self.recent.split_off(&from);
        } else if from + 2 * KEPT_S < self.kept_from {
            self.kept_from = from;
            self.recent.clear();
        }
    }

    /// The sum of all, as of the begin of a second; none if that is too long ago.
    pub(crate) fn total_at(&self, second: u64) -> Option<u64> {
        let changes = self.since(second)?;
        Some(changes.fold(self.total, |sum, change| sum.wrapping_sub(change.total)))
    }

    /// The sum of each range, as of the begin of a second; none if that is too long ago.
    pub(crate) fn ranges_at(&self, second: u64) -> Option<Vec<u64>> {
        let mut ranges = self.ranges.clone();
        for change in self.since(second)? {
            for (&range, by) in &change.ranges {
                if let Some(sum) = ranges.get_mut(usize::from(range)) {
                    *sum = sum.wrapping_sub(*by);
                }
            }
        }
        Some(ranges)
    }

    /// The first second as of whose begin sums are known.
    pub(crate) fn kept_from(&self) -> u64 {
        self.kept_from
    }

    fn since(&self, second: u64) -> Option<impl Iterator<Item = &Change>> {
        let known = second >= self.kept_from;
        known.then(|| self.recent.range(second..).map(|(_, change)| change))
    }
}

fn add(sum: &mut u64, by: u64) {
    *sum = sum.wrapping_add(by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_known_as_they_were_lately() {
        let mut sums = RangeSums::default();
        sums.change(7, 100, 1000, 1000);
        sums.change(7, 10, 1001, 1001);
        sums.change(9, 1, 1002, 1002);
        assert_eq!(sums.total_at(1003), Some(111));
        assert_eq!(sums.total_at(1002), Some(110));
        assert_eq!(sums.total_at(1000), Some(0));
        let ranges = sums.ranges_at(1002).expect("known");
        assert_eq!((ranges[7], ranges[9]), (110, 0));
        sums.change(9, 1, 2000, 2000);
        assert_eq!(
            (sums.total_at(1999), sums.total_at(1500)),
            (Some(111), None)
        );
    }

    #[test]
    fn what_came_late_or_from_far_ahead_counts_at_once() {
        let mut sums = RangeSums::default();
        sums.change(1, 5, 1000, 5000);
        sums.change(1, 7, 90_000, 5000);
        assert_eq!(sums.total_at(4990), Some(12));
    }
}
