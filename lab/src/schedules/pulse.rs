//! When the machine stood still: a thread that wants to run every few
//! milliseconds, and sees when it could not. What is late by that much is the
//! machine's, and no word of it is the less true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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
    pauses: Mutex<Pauses>,
}

/// From when to when the machine stood still, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Pauses(Vec<(Instant, Instant)>);

impl Pulse {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let beating = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !beating.over.load(Relaxed) {
                let due = Instant::now() + BEAT;
                thread::sleep(BEAT);
                beating.pauses.lock().note(due, Instant::now());
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// All pauses since the start.
    pub(super) fn pauses(&self) -> Pauses {
        self.shared.pauses.lock().clone()
    }
}

impl Shared {}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Pauses {
    /// The thread was due, and ran.
    fn note(&mut self, due: Instant, ran: Instant) {
        if ran.saturating_duration_since(due) > USUAL {
            self.0.push((due, ran));
        }
    }

    /// How long all of them were together.
    pub(super) fn sum(&self) -> Duration {
        self.0.iter().map(|(from, to)| *to - *from).sum()
    }

    /// How long before this moment the machine has run for so long: that, and
    /// the pauses that fall into it.
    pub(super) fn before(&self, at: Instant, ran: Duration) -> Duration {
        let mut long = ran;
        for (from, to) in self.0.iter().rev() {
            if at.saturating_duration_since(*to) >= long {
                break;
            }
            long += at.min(*to).saturating_duration_since(*from);
        }
        long
    }

    /// How long after this moment it has run for so long.
    pub(super) fn after(&self, at: Instant, ran: Duration) -> Duration {
        let mut long = ran;
        for (from, to) in &self.0 {
            if from.saturating_duration_since(at) >= long {
                break;
            }
            long += to.saturating_duration_since(at.max(*from));
        }
        long
    }
}

#[cfg(test)]
impl Pauses {
    /// These.
    pub(super) fn of<const N: usize>(pauses: [(Instant, Instant); N]) -> Self {
        Self(pauses.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_what_is_unusually_late_counts_as_standing_still() {
        let due = Instant::now();
        let mut pauses = Pauses::default();
        pauses.note(due, due + USUAL);
        assert_eq!(pauses.sum(), Duration::ZERO);
        pauses.note(due, due + ms(61));
        pauses.note(due + ms(100), due + ms(4_100));
        assert_eq!(pauses.sum(), ms(4_061));
    }

    #[test]
    fn a_time_is_longer_by_the_pauses_that_fall_into_it_and_by_no_others() {
        let began = Instant::now();
        let at = |after| began + ms(after);
        let pauses = Pauses::of([
            (at(1_000), at(2_000)),
            (at(2_300), at(3_300)),
            (at(9_000), at(9_500)),
        ]);
        // The one pause makes it so long that the other one is in it too.
        assert_eq!(pauses.before(at(3_400), ms(500)), ms(2_500));
        assert_eq!(pauses.before(at(3_400), ms(400)), ms(1_400));
        // In the middle of a pause, or long after one.
        assert_eq!(pauses.before(at(3_000), ms(100)), ms(800));
        assert_eq!(pauses.before(at(5_000), ms(700)), ms(700));
        assert_eq!(pauses.before(at(500), ms(700)), ms(700));
        assert_eq!(pauses.after(at(900), ms(300)), ms(1_300));
        assert_eq!(pauses.after(at(900), ms(500)), ms(2_500));
        assert_eq!(pauses.after(at(1_500), ms(100)), ms(600));
        assert_eq!(pauses.after(at(4_000), ms(400)), ms(400));
        assert_eq!(pauses.after(at(9_900), ms(400)), ms(400));
    }
}
