//! Counts of the last while, from samples of counters that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use runtime::generation::Tally;

/// How many samples are kept. The window is right to a twelfth of its length.
const KEPT: u32 = 12;

/// What was counted within a window that ends now.
#[derive(Clone, Debug)]
pub struct RecentTally {
    window: Duration,
    /// Earlier samples, the oldest first; never more than [`KEPT`] and one.
    looks: VecDeque<(Duration, Tally)>,
}

impl RecentTally {
    /// Counts over a window of this length.
    pub fn new(window: Duration) -> RecentTally {
        RecentTally {
            window,
            looks: VecDeque::new(),
        }
    }

    /// How far apart samples should be. More frequent ones are not needed.
    pub(super) fn spacing(&self) -> Duration {
        self.window / KEPT
    }

    /// Takes a sample of what the counters say now. Time only grows.
    pub fn see(&mut self, now: Duration, counted: Tally) {
        let due = |(last, _): &(Duration, Tally)| now >= *last + self.spacing();
        if self.looks.back().is_none_or(due) {
            self.looks.push_back((now, counted));
        }
        // The window begins at the newest of the samples that are older than the
        // window.
        while let Some((next, _)) = self.looks.get(1)
            && *next + self.window <= now
        {
            self.looks.pop_front();
        }
    }

    /// What was counted within the window, from what the counters say now. Until
    /// the window is full, this is all that was counted.
    pub fn over(&self, counted: &Tally) -> Tally {
        match (self.looks.front(), self.looks.back()) {
            (Some((first, from)), Some((last, _))) if *last >= *first + self.window => {
                counted.since(from)
            }
            _ => *counted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(requests: u64) -> Tally {
        Tally {
            requests,
            ..Tally::default()
        }
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more_and_little_is_kept() {
        let second = Duration::from_secs(1);
        let mut recent = RecentTally::new(60 * second);
        for now in 0..1000 {
            // One request a second, with five samples a second.
            for part in 0..5 {
                recent.see(now as u32 * second + part * second / 5, requests(now));
            }
            let counted = recent.over(&requests(now)).requests;
            match now {
                0..60 => assert_eq!(counted, now),
                _ => assert!((60..=66).contains(&counted), "{counted} at {now} s"),
            }
            assert!(recent.looks.len() <= KEPT as usize + 2);
        }
    }

    #[test]
    fn a_pause_between_two_looks_is_not_taken_for_a_quiet_time() {
        let mut recent = RecentTally::new(Duration::from_secs(60));
        recent.see(Duration::ZERO, requests(0));
        recent.see(Duration::from_secs(500), requests(70));
        assert_eq!(recent.over(&requests(70)), requests(70));
    }
}
