//! How long the machine stood still: a thread that wants to run every few
//! milliseconds, and sees when it could not. What is late by that much is the
//! machine's, and no word of it is the less true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it wants to run.
const BEAT: Duration = Duration::from_millis(20);
/// To be late by less than this is usual where processors are shared.
const USUAL: Duration = Duration::from_millis(60);

/// The running thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    still_us: AtomicU64,
}

impl Pulse {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let beating = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !beating.over.load(Relaxed) {
                let began = Instant::now();
                thread::sleep(BEAT);
                beating.note(began.elapsed().saturating_sub(BEAT));
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// For how long the machine has stood still since the start, in all.
    pub(super) fn stood_still(&self) -> Duration {
        Duration::from_micros(self.shared.still_us.load(Relaxed))
    }
}

impl Shared {
    fn note(&self, late: Duration) {
        if late > USUAL {
            let us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            self.still_us.fetch_add(us, Relaxed);
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unusually_late_counts_as_standing_still() {
        let shared = Shared::default();
        shared.note(USUAL);
        assert_eq!(shared.still_us.load(Relaxed), 0);
        shared.note(Duration::from_millis(61));
        shared.note(Duration::from_secs(4));
        assert_eq!(shared.still_us.load(Relaxed), 4_061_000);
    }
}
