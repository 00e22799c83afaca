//! A call while it runs: each of its slices is charged, and each of its waits, until it ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::Meter;
use crate::capacity::places::NoPlace;

/// The limits of time of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTimes {
    /// On the wall, until its response head.
    pub(crate) wall: Duration,
    /// How long its client may read nothing.
    pub(crate) stall: Duration,
}

/// Why a call was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallEnded {
    /// It did not return in time.
    Wall,
    /// Its client sent nothing for too long.
    Silent,
    /// Its client read nothing for too long.
    Unread,
    /// There was no room for it.
    NoPlace(NoPlace),
}

/// What a call waits for, and since when.
enum Wait {
    /// Something of its own, such as a timer.
    Own(Instant),
    /// More of its request.
    Client(Instant),
}

/// A call into a guest that is metered: its slices are timed, it gives its place in the slow lane
/// back whenever it waits, and it ends at its limits.
pub(crate) struct Metered<'a, F> {
    call: Pin<&'a mut F>,
    meter: Arc<Meter>,
    times: CallTimes,
    waits: Option<Wait>,
    /// What it waited for on its own account, on the wall.
    waited: Duration,
    /// Made when the call first waits; most calls never do.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<'a, F> Metered<'a, F> {
    /// Meters a call.
    pub(crate) fn new(call: Pin<&'a mut F>, meter: Arc<Meter>, times: CallTimes) -> Metered<'a, F> {
        Metered {
            call,
            meter,
            times,
            waits: None,
            waited: Duration::ZERO,
            alarm: None,
        }
    }

    /// Charges the wait that is over now.
    fn end_wait(&mut self) {
        let (since, is_own) = match self.waits.take() {
            Some(Wait::Own(since)) => (since, true),
            Some(Wait::Client(since)) => (since, false),
            None => return,
        };
        let waited = since.elapsed();
        if is_own {
            self.waited += waited;
        }
        let mut state = self.meter.state.lock();
        if state.lasts {
            state.used = state.used.saturating_sub(waited);
        }
    }

    /// Notes what the call waits for now.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<CallEnded> {
        let (now, client) = (Instant::now(), self.meter.client.clone());
        if client.sent_nothing() {
            return Poll::Ready(CallEnded::Silent);
        }
        let is_own = !client.was_awaited();
        self.waits = Some(match is_own {
            true => Wait::Own(now),
            false => Wait::Client(now),
        });
        if !is_own && let Err(why) = self.meter.becomes_stream() {
            return Poll::Ready(CallEnded::NoPlace(why));
        }
        let (lasts, used) = {
            let state = self.meter.state.lock();
            (state.lasts, state.used)
        };
        if lasts {
            // It goes on after its response. If there is no place for that, it has not long.
            let _ = self.meter.becomes_stream();
        }
        let (due, why) = match lasts {
            true => (client.reads_by(self.times.stall), CallEnded::Unread),
            false => {
                let left = self.times.wall.saturating_sub(used + self.waited);
                (is_own.then(|| now + left), CallEnded::Wall)
            }
        };
        let Some(due) = due else {
            return Poll::Pending;
        };
        ready!(self.poll_alarm(due, cx));
        Poll::Ready(why)
    }

    /// Waits until this time. The alarm is set again only if it is too late, or has come.
    fn poll_alarm(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if due <= Instant::now() {
            return Poll::Ready(());
        }
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if alarm.deadline() > due {
            alarm.as_mut().reset(due);
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= due {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = Result<F::Output, CallEnded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.end_wait();
        this.meter.client.begin();
        this.meter.state.lock().begin_slice();
        let polled = this.call.as_mut().poll(cx);
        {
            let mut state = this.meter.state.lock();
            state.end_slice();
            if polled.is_pending() && state.yields() {
                return Poll::Pending;
            }
            state.give_up_turn();
        }
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.poll_wait(cx).map(Err),
        }
    }
}

impl<F> Drop for Metered<'_, F> {
    /// Others may hold the meter for longer than the call lasts.
    fn drop(&mut self) {
        self.meter.state.lock().give_up_turn();
    }
}
