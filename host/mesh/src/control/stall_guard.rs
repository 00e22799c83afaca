//! The body of an answer whose caller must take it: a caller that leaves a
//! piece lying for too long is told of, so that its connection can be closed.
//! How long the answer itself takes to come is not its matter, so that a tool
//! can follow a log in which nothing happens.

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

/// The body itself.
pub(super) struct StallGuard {
    body: Body,
    /// How long a piece may lie there.
    stall: Duration,
    /// Told when the caller takes nothing.
    stalled: Arc<Notify>,
    /// Runs while a piece lies there. HTTP/2 asks for the next one only once
    /// there is room for it.
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
