//! Processor time of a guest, and its fair share of the workers.
//!
//! A running guest is interrupted at every epoch tick. Most callbacks end long before
//! the first tick, and cost nothing here. A callback that sees a tick yields through
//! the reactor, so that sockets are polled between two of its slices. From then on
//! each of its slices needs a place in the slow lane. So one worker is always left to
//! other requests, however many guests spin.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use wasmtime::UpdateDeadline;

use crate::generation::queue;

/// How often the epoch ticks: the longest that a guest runs without a break.
pub const TICK: Duration = Duration::from_millis(5);

/// Places for slices of guests that run long. There is one place less than there are
/// workers.
#[derive(Clone, Debug)]
pub struct SlowLane(Arc<Semaphore>);

impl SlowLane {
    /// A lane that leaves one of so many workers to other requests. If there is only
    /// one worker, guests that run long take turns with the rest.
    pub fn beside(workers: usize) -> SlowLane {
        SlowLane(Arc::new(Semaphore::new(workers.saturating_sub(1).max(1))))
    }
}

/// What one call has used. The store shares it, which sees the ticks, with [`Metered`],
/// which sees where each slice of the guest begins and ends.
pub struct Meter {
    budget: Duration,
    used_nanos: AtomicU64,
    /// Whether the call has lived through a tick. From then on it is measured.
    long: AtomicBool,
    overrun: AtomicBool,
    /// Whether the call has no wall deadline any more, because the response head is
    /// there.
    may_last: AtomicBool,
    lane: SlowLane,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Meter {
    /// A meter for a call with this budget of processor time.
    pub fn new(budget: Duration, lane: SlowLane) -> Arc<Meter> {
        Arc::new(Meter {
            budget,
            used_nanos: AtomicU64::new(0),
            long: AtomicBool::new(false),
            overrun: AtomicBool::new(false),
            may_last: AtomicBool::new(false),
            lane,
            place: Mutex::new(None),
        })
    }

    /// Whether the budget was used up.
    pub fn overrun(&self) -> bool {
        self.overrun.load(Relaxed)
    }

    /// From now on the call has no wall deadline.
    pub fn lift_deadline(&self) {
        self.may_last.store(true, Relaxed);
    }

    /// What the store of the call does at each epoch tick.
    ///
    /// # Errors
    /// When the call has used up its processor time.
    pub fn on_tick(self: Arc<Self>) -> wasmtime::Result<UpdateDeadline> {
        if !self.long.swap(true, Relaxed) {
            // The slice before the first tick is not measured, because it was at most
            // one tick.
            self.add(TICK);
        }
        if Duration::from_nanos(self.used_nanos.load(Relaxed)) >= self.budget {
            self.overrun.store(true, Relaxed);
            return Err(wasmtime::Error::msg("used up its processor time"));
        }
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(queue(async move {
                // A plain wake-up would put the guest back into the queue before the
                // sockets are polled.
                tokio::task::yield_now().await;
                // The semaphore is never closed. If it were, the slice would run
                // without a place.
                self.set_place(self.lane.0.clone().acquire_owned().await.ok());
            })),
        ))
    }

    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.used_nanos.fetch_add(nanos, Relaxed);
    }

    fn set_place(&self, place: Option<OwnedSemaphorePermit>) {
        *self.place.lock() = place;
    }
}

/// Why a call was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallDeadline;

/// A call into a guest that is metered: its slices are timed, it gives its place in the
/// slow lane back whenever it waits, and it ends at its wall deadline.
pub struct Metered<'a, F> {
    call: Pin<&'a mut F>,
    meter: Arc<Meter>,
    /// How long the call may take, unless [`Meter::lift_deadline`] was called.
    wall: Duration,
    /// Created when the call first waits; most calls never do.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<'a, F> Metered<'a, F> {
    /// Meters a call.
    pub fn new(call: Pin<&'a mut F>, meter: Arc<Meter>, wall: Duration) -> Metered<'a, F> {
        Metered {
            call,
            meter,
            wall,
            deadline: None,
        }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = Result<F::Output, WallDeadline>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let began = this.meter.long.load(Relaxed).then(thread_time);
        let polled = this.call.as_mut().poll(cx);
        if let Some(began) = began {
            this.meter.add(thread_time().saturating_sub(began));
        }
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Ok(output));
        }
        this.meter.set_place(None);
        if this.meter.may_last.load(Relaxed) {
            return Poll::Pending;
        }
        let wall = this.wall;
        let deadline = this
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(wall)));
        deadline.as_mut().poll(cx).map(|()| Err(WallDeadline))
    }
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
