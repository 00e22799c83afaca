//! The processor time of an instance that takes several requests at a time.
//!
//! Nobody can say which of its requests an instance works for. So what it uses is shared out evenly
//! among them, and each has the budget of one request. Besides, the instance has that budget for
//! each turn, from one wait to the next: a guest that loops is ended after it, however many
//! requests wait meanwhile. What a stream uses of its share, it gets back while the instance
//! waits.
//!
//! The engine cannot end one request. So one whose client has left has its account for as long as
//! its task runs. What an instance does when it has no request at all, it has one budget for, until it
//! is idle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
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
    accounts: BTreeMap<u64, Account>,
    /// What was used while there was no account.
    unasked: Duration,
    next: u64,
    /// Since when no request is open.
    empty_since: Instant,
}

/// One request.
struct Account {
    /// The share when it began. It moves on while the instance waits for a stream.
    began: Duration,
    /// Whether it may last, because its response head is there.
    lasts: bool,
    /// Whether its task has yet to answer.
    runs: bool,
    /// Whether it is over for its client.
    is_left: bool,
}

impl Account {
    fn is_closed(&self) -> bool {
        self.is_left && !self.runs
    }
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
                accounts: BTreeMap::new(),
                unasked: Duration::ZERO,
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
        for account in shares.accounts.values_mut().filter(|account| account.lasts) {
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
        match u32::try_from(shares.accounts.len()).unwrap_or(u32::MAX) {
            0 => shares.unasked += used,
            among => shares.share += used / among,
        }
        // What has ended in this slice has its share of it.
        shares.accounts.retain(|_, account| !account.is_closed());
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
        let used = shares.accounts.values().map(|it| shares.share - it.began);
        let most = used.max().unwrap_or_default().max(shares.unasked);
        self.meter.overrun() || most >= self.meter.budget
    }

    /// A request has begun. Returns its number.
    pub(crate) fn enter(&self) -> u64 {
        let mut shares = self.state.lock();
        let (number, began) = (shares.next, shares.share);
        shares.next += 1;
        let account = Account {
            began,
            lasts: false,
            runs: true,
            is_left: false,
        };
        shares.accounts.insert(number, account);
        number
    }

    /// The response head of this request is there: it may last.
    pub(crate) fn lasts(&self, number: u64) {
        if let Some(account) = self.state.lock().accounts.get_mut(&number) {
            account.lasts = true;
        }
    }

    /// The task of this request has answered.
    pub(crate) fn answered(&self, number: u64) {
        drop(self.close(number, |account| account.runs = false));
    }

    /// This request is over for its client.
    pub(crate) fn leave(&self, number: u64) {
        let mut shares = self.close(number, |account| account.is_left = true);
        shares.empty_since = Instant::now();
    }

    /// Removes an account once it is closed, unless a slice runs that it has a share of.
    fn close(&self, number: u64, mark: impl FnOnce(&mut Account)) -> MutexGuard<'_, Shares> {
        let mut shares = self.state.lock();
        let waits = shares.waits.is_some();
        if let Some(account) = shares.accounts.get_mut(&number) {
            mark(account);
            if account.is_closed() && waits {
                shares.accounts.remove(&number);
            }
        }
        shares
    }

    /// The instance is idle: nothing is left of what its requests have begun.
    pub(crate) fn settle(&self) {
        self.state.lock().unasked = Duration::ZERO;
    }

    /// How many requests are open, and since when none is.
    pub(crate) fn open(&self) -> (usize, Instant) {
        let shares = self.state.lock();
        let open = shares.accounts.values().filter(|it| !it.is_left);
        (open.count(), shares.empty_since)
    }

    /// How many requests are open, or run on though their clients have left.
    pub(crate) fn running(&self) -> usize {
        self.state.lock().accounts.len()
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
        meter.answered(first);
        meter.leave(first);
        assert!(!meter.overran());
        assert_eq!((meter.open().0, meter.running()), (1, 1));
    }

    #[test]
    fn requests_that_come_and_go_never_use_up_a_budget() {
        let meter = meter();
        for _ in 0..100 {
            let request = meter.enter();
            turn(&meter, BUDGET / 2);
            assert!(!meter.overran());
            meter.answered(request);
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

    #[test]
    fn a_request_whose_client_has_left_is_charged_until_it_has_answered() {
        let meter = meter();
        let (left, _other) = (meter.enter(), meter.enter());
        turn(&meter, BUDGET);
        meter.leave(left);
        assert_eq!((meter.open().0, meter.running()), (1, 2));
        let _third = meter.enter();
        turn(&meter, BUDGET);
        assert!(!meter.overran());
        turn(&meter, BUDGET);
        assert!(meter.overran());
        meter.answered(left);
        assert_eq!((meter.open().0, meter.running()), (2, 2));
    }

    #[test]
    fn what_ends_in_a_slice_has_its_share_of_it() {
        let meter = meter();
        let (first, second) = (meter.enter(), meter.enter());
        meter.begin();
        meter.answered(first);
        meter.leave(first);
        assert_eq!((meter.open().0, meter.running()), (1, 2));
        meter.meter.state.lock().used = BUDGET * 3 / 2;
        assert!(!meter.end());
        assert!(!meter.overran());
        assert_eq!(meter.running(), 1);
        meter.leave(second);
        assert_eq!((meter.open().0, meter.running()), (0, 1));
    }

    #[test]
    fn an_instance_without_a_request_has_one_budget_until_it_is_idle() {
        let meter = meter();
        for _ in 0..10 {
            turn(&meter, BUDGET * 6 / 10);
            assert!(!meter.overran());
            meter.settle();
        }
        turn(&meter, BUDGET * 6 / 10);
        turn(&meter, BUDGET * 6 / 10);
        assert!(meter.overran());
    }
}
