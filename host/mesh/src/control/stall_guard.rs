//! The body of an answer that the caller must read. If the caller leaves a piece unread for too
//! long, the guard signals it, so that the connection can be closed. The answer itself may come
//! slowly, so a tool can follow a log in which nothing happens.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::protocol::Body;

/// The guarded body.
pub(super) struct StallGuard {
    body: Body,
    /// How long a piece may stay unread.
    stall: Duration,
    /// Signals that the caller reads nothing.
    stalled: Arc<Notify>,
    /// Runs while a piece is unread. HTTP/2 asks for the next piece only once there is room for
    /// it.
    timer: Option<AbortHandle>,
}

impl StallGuard {
    pub(super) fn new(body: Body, stall: Duration, stalled: Arc<Notify>) -> Self {
        Self {
            body,
            stall,
            stalled,
            timer: None,
        }
    }

    fn taken(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}

impl http_body::Body for StallGuard {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.taken();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) && !self.body.is_end_stream() {
            let (stall, stalled) = (self.stall, self.stalled.clone());
            let timer = tokio::spawn(async move {
                sleep(stall).await;
                stalled.notify_one();
            });
            self.timer = Some(timer.abort_handle());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for StallGuard {
    fn drop(&mut self) {
        self.taken();
    }
}
