//! The log of what apps do wrong: which release, which path, what. Bounded,
//! so that an app that fails at every request does not fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::app::Generation;

const WINDOW: Duration = Duration::from_secs(1);
const LINES_PER_WINDOW: u32 = 10;

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

/// Logs failures of apps, at most ten lines a second.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Window>);

impl Complaints {
    /// Names a failure in the log.
    pub(super) fn about(&self, generation: &Generation, path: &str, cause: &dyn std::fmt::Display) {
        let Some(suppressed) = self.admit(Instant::now()) else {
            return;
        };
        if suppressed > 0 {
            tracing::error!("{suppressed} more failures of the app were not logged");
        }
        tracing::error!(release = %generation.release.id, path, %cause, "the app failed");
    }

    /// Whether a line may be written now, and how many were not before it.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window
            .began
            .is_none_or(|began| now.duration_since(began) >= WINDOW)
        {
            let suppressed = window.suppressed;
            *window = Window {
                began: Some(now),
                lines: 1,
                suppressed: 0,
            };
            return Some(suppressed);
        }
        if window.lines < LINES_PER_WINDOW {
            window.lines += 1;
            return Some(0);
        }
        window.suppressed += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_are_written_and_the_rest_counted() {
        let complaints = Complaints::default();
        let now = Instant::now();
        let written = (0..100).filter(|_| complaints.admit(now).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(complaints.admit(now + WINDOW), Some(90));
        assert_eq!(complaints.admit(now + WINDOW), Some(0));
    }
}
