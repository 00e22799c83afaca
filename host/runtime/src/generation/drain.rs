//! The signals of a generation: they tell its exchanges to migrate or to end, and
//! others that its code is freed. They outlive their generation.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// How many exchanges are woken at a time to migrate. Then requests have their turn:
/// if a thousand were woken at once, a request would wait behind all of them.
const WOKEN: usize = 16;
/// How long they have before the next ones are woken.
const APART: Duration = Duration::from_millis(1);
/// The most turns in which all exchanges are woken. Where there are very many
/// exchanges, more of them are woken at a time.
const TURNS: usize = 256;

/// The signals of one generation.
#[derive(Debug, Default)]
pub struct DrainSignals {
    /// Wakes its exchanges to go over to newer code, those first that wait longest.
    leave: Notify,
    /// Notified when the generation is current again.
    back: Notify,
    /// True once what is left on it is to end.
    over: watch::Sender<bool>,
    /// True once its code is freed.
    freed: watch::Sender<bool>,
}

impl DrainSignals {
    /// Told once newer code is there.
    pub(crate) fn left(&self) -> Notified<'_> {
        self.leave.notified()
    }

    /// Wakes its exchanges, of which so many are live, some at a time. Newer code
    /// must be there: an exchange that comes too late to be woken looks for it first.
    pub(super) async fn wake(&self, live: usize) {
        let at_a_time = WOKEN.max(live / TURNS);
        for _ in 0..live.div_ceil(at_a_time) {
            for _ in 0..at_a_time {
                self.leave.notify_one();
            }
            sleep(APART).await;
        }
        // An exchange may have gone on for another reason when it was woken. Then its
        // turn was lost, so all that still wait are woken now.
        self.leave.notify_waiters();
    }

    /// Ends what is left on it.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Whether what is left on it was told to end.
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits until what is left on it is to end.
    pub(crate) async fn over(&self) {
        // The sender is this, so it does not go meanwhile.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Tells that it is current again.
    pub(super) fn come_back(&self) {
        self.back.notify_waiters();
    }

    /// Told once it is current again.
    pub(crate) fn back(&self) -> Notified<'_> {
        self.back.notified()
    }

    /// Waits until its code is freed (`true`) or it is current again (`false`).
    pub async fn drained(&self) -> bool {
        tokio::select! {
            () = self.freed() => true,
            () = self.back() => false,
        }
    }

    /// Waits until its code is freed: nothing refers to it any more.
    pub async fn freed(&self) {
        let _ = self.freed.subscribe().wait_for(|freed| *freed).await;
    }
}

/// A generation's own hold on its signals: dropped after its code, it tells that
/// the code is freed.
#[derive(Debug, Default)]
pub struct SignalsOfCode(Arc<DrainSignals>);

impl SignalsOfCode {
    /// The signals, which outlive the generation.
    pub(super) fn share(&self) -> Arc<DrainSignals> {
        self.0.clone()
    }
}

impl Deref for SignalsOfCode {
    type Target = DrainSignals;

    fn deref(&self) -> &DrainSignals {
        &self.0
    }
}

impl Drop for SignalsOfCode {
    fn drop(&mut self) {
        self.0.freed.send_replace(true);
    }
}
