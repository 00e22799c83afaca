//! What was counted in the last while, from samples of what was counted between two looks.

use std::collections::VecDeque;
use std::time::Duration;

use runtime::generation::Fresh;

/// How many parts the window has. It is right to a twelfth of its length.
const PARTS: u32 = 12;

/// What was counted within a window that ends now.
#[derive(Clone, Debug)]
pub struct RecentCounts {
    window: Duration,
    /// The parts of the window and when each began, the oldest first; never more than
    /// [`PARTS`] and two.
    parts: VecDeque<(Duration, Fresh)>,
}

impl RecentCounts {
    /// Counts over a window of this length.
    pub fn new(window: Duration) -> RecentCounts {
        RecentCounts {
            window,
            parts: VecDeque::new(),
        }
    }

    /// How far apart samples should be. More frequent ones are not needed.
    pub(super) fn spacing(&self) -> Duration {
        self.window / PARTS
    }

    /// Takes what was counted since the last look. Time only grows.
    pub fn see(&mut self, now: Duration, counted: &Fresh) {
        let spacing = self.spacing();
        match self.parts.back_mut() {
            Some((began, part)) if now < *began + spacing => part.add(counted),
            _ => self.parts.push_back((now, counted.clone())),
        }
        while let Some((next, _)) = self.parts.get(1)
            && *next + self.window <= now
        {
            self.parts.pop_front();
        }
    }

    /// What was counted within the window.
    pub fn over(&self) -> Fresh {
        let mut sum = Fresh::default();
        self.parts.iter().for_each(|(_, part)| sum.add(part));
        sum
    }
}

#[cfg(test)]
mod tests {
    use runtime::generation::Tally;

    use super::*;

    fn counted(requests: u64) -> Fresh {
        Fresh {
            changes: Tally {
                requests,
                ..Tally::default()
            },
            ..Fresh::default()
        }
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more_and_little_is_kept() {
        let second = Duration::from_secs(1);
        let mut recent = RecentCounts::new(60 * second);
        for now in 0..1000 {
            // One request a second, with five samples a second.
            for part in 0..5 {
                let requests = u64::from(part == 0);
                recent.see(now * second + part * second / 5, &counted(requests));
            }
            let requests = recent.over().changes.requests;
            match now {
                0..60 => assert_eq!(requests, u64::from(now) + 1),
                _ => assert!((60..=66).contains(&requests), "{requests} at {now} s"),
            }
            assert!(recent.parts.len() <= PARTS as usize + 2);
        }
    }

    #[test]
    fn a_pause_between_two_looks_is_not_taken_for_a_quiet_time() {
        let mut recent = RecentCounts::new(Duration::from_secs(60));
        recent.see(Duration::ZERO, &counted(0));
        recent.see(Duration::from_secs(500), &counted(70));
        assert_eq!(recent.over(), counted(70));
    }
}
