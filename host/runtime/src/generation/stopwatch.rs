//! How long an app takes for the head of a response, as far as that is its own doing.
//!
//! The watch stands still while the call waits in a queue of this node: for a place, or
//! for its turn among calls that run long. So a node that is crowded does not make its
//! app look slow. It begins anew when the client has sent a piece of its request.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

thread_local! {
    /// Whether what was polled last on this thread waits in a queue of the node.
    static QUEUED: Cell<bool> = const { Cell::new(false) };
}

/// A watch that runs from the start.
#[derive(Debug)]
pub(crate) struct Stopwatch(Mutex<State>);

#[derive(Debug)]
struct State {
    before: Duration,
    /// None while it stands still.
    since: Option<Instant>,
}

impl Stopwatch {
    /// A watch that runs.
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Mutex::new(State {
            before: Duration::ZERO,
            since: Some(Instant::now()),
        }))
    }

    /// Begins anew.
    pub(crate) fn restart(&self) {
        *self.0.lock() = State {
            before: Duration::ZERO,
            since: Some(Instant::now()),
        };
    }

    /// How long it has run.
    pub(crate) fn time(&self) -> Duration {
        let state = self.0.lock();
        let running = state.since.map_or(Duration::ZERO, |since| since.elapsed());
        state.before + running
    }

    fn stop(&self) {
        let mut state = self.0.lock();
        if let Some(since) = state.since.take() {
            state.before += since.elapsed();
        }
    }

    fn go_on(&self) {
        let mut state = self.0.lock();
        state.since.get_or_insert_with(Instant::now);
    }

    /// Polls a call. The watch stands still while the call is in a [`queue`].
    pub(crate) async fn time_of<F: Future>(&self, call: F) -> F::Output {
        let mut call = std::pin::pin!(call);
        std::future::poll_fn(|cx| {
            self.go_on();
            QUEUED.set(false);
            let polled = call.as_mut().poll(cx);
            if polled.is_pending() && QUEUED.replace(false) {
                self.stop();
            }
            polled
        })
        .await
    }
}

/// Waits in a queue of the node. No watch runs meanwhile.
pub(crate) async fn queue<F: Future>(waits: F) -> F::Output {
    Queued(Box::pin(waits)).await
}

struct Queued<F>(Pin<Box<F>>);

impl<F: Future> Future for Queued<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.0.as_mut().poll(cx);
        if polled.is_pending() {
            QUEUED.set(true);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_watch_stands_still_in_a_queue_and_runs_while_the_app_waits() {
        let long = Duration::from_millis(200);
        let watch = Stopwatch::start();
        watch.time_of(queue(tokio::time::sleep(long))).await;
        assert!(watch.time() < long, "{:?}", watch.time());
        watch.time_of(tokio::time::sleep(long)).await;
        assert!(watch.time() >= long, "{:?}", watch.time());
        watch.restart();
        assert!(watch.time() < long, "{:?}", watch.time());
    }
}
