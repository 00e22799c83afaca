//! When to try again after a failure on this machine or on the network: after longer
//! and longer waits.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The first and the longest wait for the app of this node.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);

/// The waits before the second attempt, the third and so on.
#[derive(Debug)]
pub(super) struct Retry(ExponentialBackoff);

impl Retry {
    /// For the app of this node: at first half a second, at most half a minute.
    pub(super) fn new() -> Retry {
        Retry::between(FIRST, MOST)
    }

    /// Waits that double, from the first to the longest.
    pub(super) fn between(first: Duration, most: Duration) -> Retry {
        let waits = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(most)
            .without_max_times();
        Retry(waits.build())
    }

    /// The wait before the next attempt.
    pub(super) fn wait(&mut self) -> Duration {
        self.0.next().unwrap_or(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut retry = Retry::between(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<u64> = (0..5).map(|_| retry.wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }
}
