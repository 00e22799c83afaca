//! How long answers take: a histogram, and what 99 of 100 do not pass.

use std::time::Duration;

/// Times to the head of the response, in steps of about the half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadTimes([u32; HeadTimes::STEPS]);

impl HeadTimes {
    const STEPS: usize = 36;
    /// The first step, in microseconds.
    const UNIT_US: u64 = 250;

    /// Counts a time.
    pub fn count(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let units = (us / Self::UNIT_US).max(1);
        let octave = units.ilog2();
        let half = (units << 1 >> octave) & 1;
        let step = usize::try_from(u64::from(octave) * 2 + half).unwrap_or(usize::MAX);
        let last = self.0.len() - 1;
        if let Some(count) = self.0.get_mut(step.min(last)) {
            *count = count.saturating_add(1);
        }
    }

    /// How many times were counted.
    pub fn counted(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The time that 99 of 100 did not pass, rounded up to the next step; none if
    /// nothing was counted.
    pub fn p99(&self) -> Option<Duration> {
        let counted = self.counted();
        let within = counted - counted / 100;
        let mut sum = 0;
        let step = self.0.iter().position(|count| {
            sum += u64::from(*count);
            sum >= within && sum > 0
        })?;
        let octave = u32::try_from(step / 2).ok()?;
        // The end of the step: one and a half of its octave, or two.
        let half_units = [3, 4][step % 2] << octave;
        Some(Duration::from_micros(Self::UNIT_US * half_units / 2))
    }

    pub(super) fn add(&mut self, other: &HeadTimes) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }
}

impl Default for HeadTimes {
    fn default() -> HeadTimes {
        HeadTimes([0; HeadTimes::STEPS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_99_of_100_is_right_to_a_half() {
        let mut times = HeadTimes::default();
        assert_eq!(times.p99(), None);
        for at in 1..=1000 {
            times.count(Duration::from_millis(at));
        }
        let p99 = times.p99().unwrap().as_millis();
        assert!((990..1500).contains(&p99), "{p99}");
        let mut one = HeadTimes::default();
        one.count(Duration::from_secs(3600));
        assert!(one.p99().unwrap() > Duration::from_secs(30));
        // One of a hundred may be slow.
        let mut times = HeadTimes::default();
        (0..199).for_each(|_| times.count(Duration::from_micros(900)));
        times.count(Duration::from_secs(1));
        assert!(times.p99().unwrap() < Duration::from_millis(2));
    }
}
