//! The processor time of an instance that takes several requests at a time.
//!
//! Nobody can say which of its requests an instance works for. So what it uses is shared out evenly
//! among those that are open, and each has the budget of one request. Besides, the instance has
//! that budget for each turn, from one wait to the next: a guest that loops is ended after it,
//! however many requests wait meanwhile. What a stream uses of its share, it gets back while
//! the instance waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::Meter;

/// The meter of one instance. Whoever runs the instance says when each of its slices begins and
/// ends; the store's ticks go to the [`Meter`] itself.
pub(crate) struct SharedMeter {
    meter: Arc<Meter>,
    state: Mutex<Shares>,
    waits: Notify,
}

struct Shares {
    /// Since when the instance waits; none while a slice runs.
    waits: Option<Instant>,
    /// What a request would have used that was open from the start.
    share: Duration,
    open: BTreeMap<u64, Account>,
    next: u64,
    /// Since when no request is open.
    empty_since: Instant,
}

/// One open request.
struct Account {
    /// The share when it began. It moves on while the instance waits for a stream.
    began: Duration,
    /// Whether it may last, because its response head is there.
    lasts: bool,
}

impl SharedMeter {
    /// For an instance that was just made, under this meter.
    pub(crate) fn new(meter: Arc<Meter>) -> SharedMeter {
        let now = Instant::now();
        // What it took to make the instance counts for no request.
        meter.state.lock().used = Duration::ZERO;
        SharedMeter {
            meter,
            state: Mutex::new(Shares {
                waits: Some(now),
                share: Duration::ZERO,
                open: BTreeMap::new(),
                next: 0,
                empty_since: now,
            }),
            waits: Notify::new(),
        }
    }

    /// The instance is about to run. Nothing happens if it runs already.
    pub(crate) fn begin(&self) {
        self.begin_at(Instant::now());
    }

    fn begin_at(&self, now: Instant) {
        let mut shares = self.state.lock();
        let Some(since) = shares.waits.take() else {
            return;
        };
        let (waited, share) = (now.saturating_duration_since(since), shares.share);
        for account in shares.open.values_mut().filter(|account| account.lasts) {
            account.began = (account.began + waited).min(share);
        }
        self.meter.state.lock().begin_slice();
    }

    /// The instance has stopped running. Returns whether it only waits for its next slice.
    pub(crate) fn end(&self) -> bool {
        let mut shares = self.state.lock();
        let used = {
            let mut state = self.meter.state.lock();
            state.end_slice();
            if state.yields() {
                return true;
            }
            state.give_up_turn();
            std::mem::take(&mut state.used)
        };
        shares.waits.get_or_insert_with(Instant::now);
        let open = u32::try_from(shares.open.len()).unwrap_or(u32::MAX);
        shares.share += used / open.max(1);
        drop(shares);
        self.waits.notify_waiters();
        false
    }

    /// Whether the instance waits, for something other than its turn.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state.lock().waits.is_some()
    }

    /// Completes when the instance waits the next time.
    pub(crate) fn waits(&self) -> Notified<'_> {
        self.waits.notified()
    }

    /// Whether a budget was used up.
    pub(crate) fn overran(&self) -> bool {
        let shares = self.state.lock();
        let most = shares.open.values().map(|it| shares.share - it.began).max();
        self.meter.overrun() || most.is_some_and(|used| used >= self.meter.budget)
    }

    /// A request has begun. Returns its number.
    pub(crate) fn enter(&self) -> u64 {
        let mut shares = self.state.lock();
        let (number, began) = (shares.next, shares.share);
        shares.next += 1;
        let lasts = false;
        shares.open.insert(number, Account { began, lasts });
        number
    }

    /// The response head of this request is there: it may last.
    pub(crate) fn lasts(&self, number: u64) {
        if let Some(account) = self.state.lock().open.get_mut(&number) {
            account.lasts = true;
        }
    }

    /// This request is over.
    pub(crate) fn leave(&self, number: u64) {
        let mut shares = self.state.lock();
        shares.open.remove(&number);
        shares.empty_since = Instant::now();
    }

    /// How many requests are open, and since when none is.
    pub(crate) fn open(&self) -> (usize, Instant) {
        let shares = self.state.lock();
        (shares.open.len(), shares.empty_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::SlowLane;

    const BUDGET: Duration = Duration::from_millis(100);

    fn meter() -> SharedMeter {
        SharedMeter::new(Meter::new(BUDGET, SlowLane::beside(2), None))
    }

    /// The instance has used so much in one turn, after it has waited for this time.
    fn turn_after(meter: &SharedMeter, waited: Duration, used: Duration) {
        meter.begin_at(Instant::now() + waited);
        meter.meter.state.lock().used = used;
        assert!(!meter.end());
    }

    fn turn(meter: &SharedMeter, used: Duration) {
        turn_after(meter, Duration::ZERO, used);
    }

    #[test]
    fn what_an_instance_uses_is_shared_out_among_its_requests() {
        let meter = meter();
        let first = meter.enter();
        turn(&meter, BUDGET * 6 / 10);
        let _second = meter.enter();
        // Half of it is the first one's: nine tenths of its budget.
        turn(&meter, BUDGET * 6 / 10);
        assert!(!meter.overran());
        turn(&meter, BUDGET * 6 / 10);
        assert!(meter.overran());
        meter.leave(first);
        assert!(!meter.overran());
        assert_eq!(meter.open().0, 1);
    }

    #[test]
    fn requests_that_come_and_go_never_use_up_a_budget() {
        let meter = meter();
        for _ in 0..100 {
            let request = meter.enter();
            turn(&meter, BUDGET / 2);
            assert!(!meter.overran());
            meter.leave(request);
        }
    }

    #[test]
    fn a_stream_gets_back_what_it_used_while_the_instance_waits() {
        let meter = meter();
        let stream = meter.enter();
        meter.lasts(stream);
        for _ in 0..10 {
            turn_after(&meter, BUDGET * 2, BUDGET * 9 / 10);
        }
        assert!(!meter.overran());
        turn(&meter, BUDGET * 6 / 10);
        assert!(meter.overran());
    }
}
