//! The life of a generation: how many exchanges are on it, how its requests
//! end, what became of those that left when newer code came, when it is freed.
//!
//! It outlives its generation, so that what it counted can still be told.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::generation::Generation;
use crate::generation::tally::{CallEnd, Ends, Once, Tally};

/// So many exchanges are woken at a time to go over to newer code, and then
/// requests have their turn. Were a thousand woken at once, whoever asks
/// meanwhile would wait behind all of them.
const WOKEN: usize = 16;
/// How long they have before the next ones are woken.
const APART: Duration = Duration::from_millis(1);
/// All are woken in at most so many turns: where there are very many, more of
/// them at a time.
const TURNS: usize = 256;

/// What is counted of a generation.
#[derive(Debug, Default)]
pub struct Life {
    live: AtomicUsize,
    /// How the requests on it ended.
    requests: Ends,
    /// How it turned the states of others into its own, or its own into theirs.
    changes: Ends,
    carried: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    /// How its requests and its changes had ended when it was put in last.
    before: Mutex<[Tally; 2]>,
    /// Wakes its exchanges to go over to newer code, those first that wait longest.
    leave: Notify,
    /// Told when it does not drain any more, but is current again.
    back: Notify,
    /// True once what is left on it is to end.
    over: watch::Sender<bool>,
    /// True once its code is freed.
    freed: watch::Sender<bool>,
}

impl Life {
    /// How many exchanges are on it now.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// How the requests that reached it have ended so far.
    pub fn requests(&self) -> Tally {
        self.requests.tally()
    }

    /// How its changes of states have ended so far, each counted as a request:
    /// a change that it refused is one that returned.
    pub fn changes(&self) -> Tally {
        self.changes.tally()
    }

    /// How its requests and its changes of states had ended when it was put in last:
    /// nothing counted, unless it came back.
    pub fn before(&self) -> [Tally; 2] {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down what is counted now: it is about to be put in. Called before the
    /// first request can reach it, so that all it does from then on is its own.
    pub fn begin(&self) {
        let counted = [self.requests(), self.changes()];
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    /// Counts a change of a state.
    pub fn count_change(&self, end: CallEnd) {
        self.changes.count(&Once::default(), end);
    }

    /// How many of its exchanges went over to newer code.
    pub fn carried(&self) -> u64 {
        self.carried.load(Relaxed)
    }

    /// How many could not be carried over, and were asked to end.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// How many were ended because their time was over.
    pub fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }

    /// Counts an exchange that went over to newer code.
    pub(crate) fn count_carried(&self) {
        self.carried.fetch_add(1, Relaxed);
    }

    /// Counts an exchange that could not.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Counts an exchange that was ended.
    pub(crate) fn count_cut(&self) {
        self.cut.fetch_add(1, Relaxed);
    }

    /// Told once newer code is there.
    pub(crate) fn left(&self) -> Notified<'_> {
        self.leave.notified()
    }

    /// Wakes its exchanges, some at a time. Newer code must be there: who
    /// comes too late to be woken looks for it first.
    pub(super) async fn wake(&self) {
        let live = self.live();
        let at_a_time = WOKEN.max(live / TURNS);
        for _ in 0..live.div_ceil(at_a_time) {
            for _ in 0..at_a_time {
                self.leave.notify_one();
            }
            sleep(APART).await;
        }
        // One that was woken may have had another reason to go on, and its turn
        // went to nobody.
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

    /// Waits until its code is freed; or, and then this is false, until it is
    /// current again.
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

/// The generation's own hold on its life: dropped with it, after its code.
#[derive(Debug, Default)]
pub struct Alive(Arc<Life>);

impl Alive {
    /// What outlives the generation.
    pub fn life(&self) -> Arc<Life> {
        self.0.clone()
    }
}

impl Deref for Alive {
    type Target = Life;

    fn deref(&self) -> &Life {
        &self.0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.freed.send_replace(true);
    }
}

/// The place of one exchange on a generation, counted until it is dropped.
#[derive(Debug)]
pub struct Seat {
    generation: Arc<Generation>,
    counted: Once,
}

impl Seat {
    /// Takes a place.
    pub fn take(generation: Arc<Generation>) -> Seat {
        generation.life.live.fetch_add(1, Relaxed);
        Seat {
            generation,
            counted: Once::default(),
        }
    }

    /// Whether it is a place on this generation.
    pub fn is_on(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.generation, generation)
    }

    /// Counts how a callback of its exchange ended.
    pub(crate) fn count(&self, end: CallEnd) {
        self.generation.life.requests.count(&self.counted, end);
    }
}

impl Deref for Seat {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.generation
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.generation.life.live.fetch_sub(1, Relaxed);
    }
}
