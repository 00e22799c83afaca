//! The processor time and the time on the wall of one call, and its turn on a processor.
//!
//! A running guest is interrupted at every epoch tick. A call that has run for less than a tick goes
//! on, and mostly to its end. So when there is more work than processors, calls are answered one after
//! another in the order in which they came, and not all of them at the same late time. A longer call
//! yields through the reactor, so that sockets are polled between two of its slices, and needs a place
//! in the [`SlowLane`]. So one worker is always left to other requests, however many guests spin.
//!
//! How long a call has run is processor time, and not time on the wall: whoever lost the processor to
//! another process for a while is not sent behind those that came later.
//!
//! Each time is charged to whom it belongs. The wall limit does not run while a call waits for its turn
//! or for its client. A client that sends or reads nothing for the stall limit is the client's
//! failure. What a stream uses of its processor time, it gets back while it waits.

mod metered;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wasmtime::UpdateDeadline;

use super::client::ClientSide;
use super::places::{NoPlace, Place};
use super::slow_lane::SlowLane;
use crate::generation::queue;

pub(crate) use metered::{CallEnded, CallTimes, Metered};
pub(crate) use shared::SharedMeter;

/// How often the epoch ticks: the longest that a guest runs without a break.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// What a call has run since the first tick that it saw, when it has to yield. It sees the next tick
/// after five milliseconds, and something of them may go to interrupts.
const LONG: Duration = Duration::from_micros(3750);
/// The least that a slice runs in the slow lane. At a tick it may just have begun.
const LEAST: Duration = Duration::from_micros(1250);
/// After so many slices a call in the slow lane lets the next one in. A call that needs less is
/// over before those that came later.
const SLICES: u32 = 10;

/// What one call has used. Its store sees the ticks; [`Metered`] sees where each slice ends.
pub struct Meter {
    budget: Duration,
    lane: SlowLane,
    /// None if the call has none of its own: then its requests have them.
    place: Option<Place>,
    client: Arc<ClientSide>,
    /// Whether it was counted that there was no room for the call.
    turned_away: AtomicBool,
    state: Mutex<State>,
}

struct State {
    turn: Turn,
    /// The place in the slow lane. It is given back whenever the call waits.
    permit: Option<OwnedSemaphorePermit>,
    /// Processor time that counts against the budget.
    used: Duration,
    overrun: bool,
    /// Whether the call may last, because the response head is there.
    lasts: bool,
}

/// How long the call has run since it last waited.
#[derive(Clone, Copy)]
enum Turn {
    /// It waits, or has not begun.
    None,
    /// About a tick at most, so far.
    Short {
        /// When it began, on the wall: most calls end before the first tick, and to look at this
        /// clock costs next to nothing.
        began: Instant,
        /// The clock of the thread at the first tick.
        ticked: Option<Duration>,
    },
    /// Longer: it is in the slow lane.
    Long {
        /// How many slices it has run since it got its place there.
        slices: u32,
        /// Whether it waits for its next slice, and for nothing else.
        yields: bool,
        /// The clock of the thread when the slice began.
        began: Option<Duration>,
    },
}

impl Meter {
    /// A meter for a call with this budget of processor time.
    pub fn new(budget: Duration, lane: SlowLane, place: impl Into<Option<Place>>) -> Arc<Meter> {
        Arc::new(Meter {
            budget,
            lane,
            place: place.into(),
            client: Arc::default(),
            turned_away: AtomicBool::new(false),
            state: Mutex::new(State {
                turn: Turn::None,
                permit: None,
                used: Duration::ZERO,
                overrun: false,
                lasts: false,
            }),
        })
    }

    /// Whether the budget was used up.
    pub fn overrun(&self) -> bool {
        self.state.lock().overrun
    }

    /// What the client of the call does.
    pub(crate) fn client(&self) -> &Arc<ClientSide> {
        &self.client
    }

    /// The response head is there: from now on the call has no wall deadline.
    pub(crate) fn lift_deadline(&self) {
        self.state.lock().lasts = true;
    }

    /// The response head is there, and not all of the response: from now on the call counts as a
    /// stream.
    ///
    /// # Errors
    /// See [`Place::becomes_stream`].
    pub(crate) fn becomes_stream(&self) -> Result<(), NoPlace> {
        self.place.as_ref().map_or(Ok(()), Place::becomes_stream)
    }

    /// The call is over: see [`Place::becomes_idle`].
    pub(crate) fn becomes_idle(&self) -> bool {
        self.place.as_ref().is_some_and(Place::becomes_idle)
    }

    /// Counts and logs that there was no room for the call, once: the call and its response may
    /// both find that out.
    pub(crate) fn turn_away(&self, why: &NoPlace) {
        if let Some(place) = &self.place
            && !self.turned_away.swap(true, Relaxed)
        {
            place.turn_away(why);
        }
    }

    /// What the store of the call does at each epoch tick.
    ///
    /// # Errors
    /// When the call has used up its processor time.
    pub fn on_tick(self: Arc<Self>) -> wasmtime::Result<UpdateDeadline> {
        let mut state = self.state.lock();
        let ran = match state.turn {
            Turn::Short { began, .. } => short(began),
            Turn::None | Turn::Long { .. } => Duration::ZERO,
        };
        if state.used + ran >= self.budget {
            state.overrun = true;
            return Err(wasmtime::Error::msg("used up its processor time"));
        }
        if state.goes_on(thread_time()) {
            return Ok(UpdateDeadline::Continue(1));
        }
        let (slices, began) = match state.turn {
            Turn::Short { .. } | Turn::None => {
                state.end_slice();
                (0, None)
            }
            Turn::Long { slices, began, .. } => (slices + 1, began),
        };
        state.turn = Turn::Long {
            slices,
            yields: true,
            began,
        };
        drop(state);
        let next = Box::pin(queue(async move { self.next_slice().await }));
        Ok(UpdateDeadline::YieldCustom(1, next))
    }

    /// Lets others run, and waits for the next slice in the slow lane.
    async fn next_slice(&self) {
        // A plain wake-up would put the guest back into the queue before the sockets are polled.
        tokio::task::yield_now().await;
        let goes_on = {
            let mut state = self.state.lock();
            let is_over = state.slices() >= SLICES && self.lane.is_full();
            if is_over {
                state.permit = None;
            }
            state.permit.is_some()
        };
        let place = match goes_on {
            true => None,
            false => Some(self.lane.enter().await),
        };
        let mut state = self.state.lock();
        let slices = match place {
            Some(place) => {
                state.permit = place;
                0
            }
            None => state.slices(),
        };
        state.turn = Turn::Long {
            slices,
            yields: false,
            began: Some(thread_time()),
        };
    }
}

impl State {
    fn slices(&self) -> u32 {
        match self.turn {
            Turn::Long { slices, .. } => slices,
            Turn::None | Turn::Short { .. } => 0,
        }
    }

    /// Whether the slice has not yet run for long enough at this tick. `now` is the clock of the
    /// thread.
    fn goes_on(&mut self, now: Duration) -> bool {
        match &mut self.turn {
            Turn::None => false,
            Turn::Short { ticked, .. } => now.saturating_sub(*ticked.get_or_insert(now)) < LONG,
            Turn::Long { began, .. } => {
                began.is_some_and(|began| now.saturating_sub(began) < LEAST)
            }
        }
    }

    fn begin_slice(&mut self) {
        match &mut self.turn {
            // In the middle of `next_slice`, which measures what follows it.
            Turn::Long { began, yields, .. } => {
                *began = (!*yields).then(thread_time);
            }
            turn @ (Turn::None | Turn::Short { .. }) => {
                *turn = Turn::Short {
                    began: Instant::now(),
                    ticked: None,
                };
            }
        }
    }

    /// Charges what ran since the slice began.
    fn end_slice(&mut self) {
        self.used += match &mut self.turn {
            Turn::None => Duration::ZERO,
            Turn::Short { began, .. } => short(*began),
            Turn::Long { began, .. } => {
                let began = began.take();
                began.map_or(Duration::ZERO, |began| thread_time().saturating_sub(began))
            }
        };
    }

    /// Whether the call only waits for its next slice.
    fn yields(&self) -> bool {
        matches!(self.turn, Turn::Long { yields: true, .. })
    }

    /// The call waits, or is over: others may run.
    fn give_up_turn(&mut self) {
        self.turn = Turn::None;
        self.permit = None;
    }
}

/// How long a short slice has run. If it seems to be too long, others had the processor.
fn short(began: Instant) -> Duration {
    began.elapsed().min(TICK * 2)
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Instant as Wall;

    use super::*;

    fn meter(budget: Duration) -> Arc<Meter> {
        let meter = Meter::new(budget, SlowLane::beside(2), None);
        meter.state.lock().begin_slice();
        meter
    }

    /// Whether the call goes on at this tick; else it yields.
    fn goes_on(meter: &Arc<Meter>) -> bool {
        let deadline = meter.clone().on_tick().expect("it has time left");
        matches!(deadline, UpdateDeadline::Continue(_))
    }

    fn work(time: Duration) {
        let end = thread_time() + time;
        while thread_time() < end {}
    }

    #[test]
    fn a_call_that_has_used_the_processor_for_about_a_tick_yields() {
        let meter = meter(Duration::MAX);
        assert!(goes_on(&meter), "it has seen one tick only");
        work(LONG);
        assert!(!goes_on(&meter));
        assert!(meter.state.lock().yields());
    }

    #[test]
    fn a_call_that_had_no_processor_for_long_does_not_yield() {
        let meter = meter(Duration::MAX);
        assert!(goes_on(&meter));
        let began = Wall::now();
        while began.elapsed() < TICK * 3 {
            std::thread::sleep(TICK);
            assert!(goes_on(&meter));
        }
    }

    #[test]
    fn a_slice_in_the_slow_lane_that_has_just_begun_goes_on() {
        let meter = meter(Duration::MAX);
        let slices = 3;
        let (yields, began) = (false, Some(thread_time()));
        meter.state.lock().turn = Turn::Long {
            slices,
            yields,
            began,
        };
        std::thread::sleep(TICK);
        assert!(goes_on(&meter));
        work(LEAST);
        assert!(!goes_on(&meter));
        assert_eq!(meter.state.lock().slices(), slices + 1);
    }

    #[test]
    fn a_call_is_charged_no_more_than_two_ticks_for_a_short_turn() {
        let meter = meter(TICK * 3);
        std::thread::sleep(TICK * 4);
        assert!(goes_on(&meter));
        meter.state.lock().end_slice();
        assert_eq!(meter.state.lock().used, TICK * 2);
    }
}
