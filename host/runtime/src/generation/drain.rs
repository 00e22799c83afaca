//! The signals of a generation. They tell its exchanges to migrate or to end, and
//! tell others that its code is freed. They outlive the generation.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// How many exchanges are woken at a time to migrate. Requests have their turn in
/// between: if a thousand exchanges were woken at once, a request would wait behind
/// all of them.
const WOKEN: usize = 16;
/// How long the woken exchanges have before the next ones are woken.
const APART: Duration = Duration::from_millis(1);
/// The most turns in which all exchanges are woken. Where there are very many
/// exchanges, more of them are woken at a time.
const TURNS: usize = 256;

/// The signals of one generation.
#[derive(Debug, Default)]
pub struct DrainSignals {
    /// Wakes exchanges to migrate to newer code; those that wait longest come first.
    leave: Notify,
    /// True while newer code serves.
    drains: watch::Sender<bool>,
    /// Notified when the generation is current again.
    back: Notify,
    /// True once the exchanges that are left must end.
    over: watch::Sender<bool>,
    /// True once its code is freed.
    freed: watch::Sender<bool>,
}

impl DrainSignals {
    /// Completes once newer code is there.
    pub(crate) fn left(&self) -> Notified<'_> {
        self.leave.notified()
    }

    /// Wakes the exchanges, of which so many are live, a few at a time. Newer code
    /// must be there already: an exchange that comes too late to be woken looks for
    /// it first.
    pub(super) async fn wake(&self, live: usize) {
        let at_a_time = WOKEN.max(live / TURNS);
        for _ in 0..live.div_ceil(at_a_time) {
            for _ in 0..at_a_time {
                self.leave.notify_one();
            }
            sleep(APART).await;
        }
        // An exchange that was woken may have gone on for another reason. Then its
        // turn was lost. So all that still wait are woken now.
        self.leave.notify_waiters();
    }

    /// Ends the exchanges that are left.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Whether the exchanges that are left were told to end.
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits until the exchanges that are left must end.
    pub(crate) async fn over(&self) {
        // The sender is in `self`, so it is not dropped meanwhile.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Tells that newer code serves.
    pub(super) fn begin_drain(&self) {
        self.drains.send_replace(true);
    }

    /// Whether newer code serves.
    pub(super) fn is_draining(&self) -> bool {
        *self.drains.borrow()
    }

    /// Waits until newer code serves.
    pub(super) async fn drains(&self) {
        // The sender is in `self`, so it is not dropped meanwhile.
        let _ = self.drains.subscribe().wait_for(|drains| *drains).await;
    }

    /// Tells that the generation is current again.
    pub(super) fn come_back(&self) {
        self.drains.send_replace(false);
        self.back.notify_waiters();
    }

    /// Completes once the generation is current again.
    pub(crate) fn back(&self) -> Notified<'_> {
        self.back.notified()
    }

    /// Waits until the code is freed (`true`), or the generation is current again
    /// (`false`).
    pub async fn drained(&self) -> bool {
        tokio::select! {
            () = self.freed() => true,
            () = self.back() => false,
        }
    }

    /// Waits until the code is freed: nothing refers to it any more.
    pub async fn freed(&self) {
        let _ = self.freed.subscribe().wait_for(|freed| *freed).await;
    }
}

/// The generation's own reference to its signals. It is dropped after the code, and
/// then tells that the code is freed.
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
