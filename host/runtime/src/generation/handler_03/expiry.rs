//! When an instance ends: when it is idle, stopped, over its limits, or drained.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use wasmtime_wasi_http::handler::{WorkerExpiration, WorkerStatus};

use super::SharedInstance;
use crate::generation::{CallFailure, Generation};

/// How long an instance waits for a next request.
const IDLE: Duration = Duration::from_secs(1);
/// How long an instance may go on after the last of its requests is over.
const AFTER_RESPONSE: Duration = Duration::from_secs(30);
/// How long an instance may run without a wait before new requests go to others.
const BUSY: Duration = Duration::from_millis(50);

/// Tells the handler when an instance ends. It is polled whenever the instance has run.
pub(crate) struct Expiry {
    live: Arc<SharedInstance>,
    generation: Arc<Generation>,
    over: Signal,
    drains: Option<Signal>,
    alarm: Pin<Box<Sleep>>,
    /// Since when the instance runs without a wait.
    runs_since: Option<Instant>,
    /// The number of its handler.
    handler: usize,
}

type Signal = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl Expiry {
    pub(super) fn new(
        live: Arc<SharedInstance>,
        generation: Arc<Generation>,
        handler: usize,
    ) -> Expiry {
        let (drained, ended) = (generation.clone(), generation.clone());
        Expiry {
            live,
            generation,
            over: Box::pin(async move { ended.signals.over().await }),
            drains: Some(Box::pin(async move { drained.signals.drains().await })),
            alarm: Box::pin(tokio::time::sleep(IDLE)),
            runs_since: None,
            handler,
        }
    }

    /// New requests do not wait for an instance that runs long.
    fn note_turn(&mut self, yields: bool) {
        self.runs_since = match (yields, self.runs_since) {
            (false, _) => None,
            (true, since) => since.or_else(|| Some(Instant::now())),
        };
        if self.runs_since.is_some_and(|since| since.elapsed() >= BUSY) {
            self.generation.handlers_03.pass_over(self.handler);
        }
    }

    /// Whether newer code serves.
    fn drains(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(drains) = &mut self.drains
            && drains.as_mut().poll(cx).is_ready()
        {
            self.drains = None;
        }
        self.drains.is_none() && self.generation.signals.is_draining()
    }
}

impl WorkerExpiration for Expiry {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let this = &mut *self;
        *this.live.worker.lock() = Some(cx.waker().clone());
        let yields = this.live.meter.end();
        this.note_turn(yields);
        if this.over.as_mut().poll(cx).is_ready() {
            return this.live.end(CallFailure::Drained);
        }
        if this.live.meter.overran() {
            let limit = this.generation.runtime.limits.cpu;
            return this.live.end(CallFailure::Cpu(limit));
        }
        let drains = this.drains(cx);
        let (open, since) = this.live.meter.open();
        if yields || open > 0 {
            return Poll::Pending;
        }
        let is_idle = status == WorkerStatus::Idle;
        if (is_idle && drains) || this.live.is_stopped.load(Relaxed) {
            return Poll::Ready(());
        }
        let due = match is_idle {
            true => tokio::time::Instant::from_std(start) + IDLE,
            false => since + AFTER_RESPONSE,
        };
        if this.alarm.deadline() != due {
            this.alarm.as_mut().reset(due);
        }
        this.alarm.as_mut().poll(cx)
    }
}
