//! The body of a request on its way to a `wasi:http` component.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::capacity::ClientSide;
use crate::generation::Stopwatch;

/// The body of a request. It may not pause for longer than other bodies may, and tells when the
/// component waits for it.
pub(super) struct Upload {
    body: Incoming,
    idle: Duration,
    /// Created when the body is waited for.
    due: Option<Pin<Box<Sleep>>>,
    client: Arc<ClientSide>,
    progress: Arc<RequestProgress>,
}

/// How far a request has come.
#[derive(Debug)]
pub(super) struct RequestProgress {
    /// How long the head of the response takes, since the client has sent something.
    pub(super) watch: Stopwatch,
    /// How far its body has come.
    pub(super) upload: AtomicU8,
}

impl RequestProgress {
    /// The body comes, and the component does not wait for it.
    pub(super) const COMES: u8 = 0;
    /// The component waits for more of it.
    const AWAITED: u8 = 1;
    /// It broke off, or did not come in time.
    const BROKEN: u8 = 2;

    /// Whether the component lacks a part of the request.
    pub(super) fn is_half(&self) -> bool {
        self.upload.load(Ordering::Acquire) != RequestProgress::COMES
    }

    fn set(&self, upload: u8) {
        self.upload.store(upload, Ordering::Release);
    }
}

impl Upload {
    pub(super) fn new(
        body: Incoming,
        idle: Duration,
        client: Arc<ClientSide>,
        progress: Arc<RequestProgress>,
    ) -> Upload {
        Upload {
            body,
            idle,
            due: None,
            client,
            progress,
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(read) = Pin::new(&mut self.body).poll_frame(cx) {
            self.due = None;
            match &read {
                Some(Err(_)) => self.progress.set(RequestProgress::BROKEN),
                Some(Ok(_)) | None => self.progress.set(RequestProgress::COMES),
            }
            self.progress.watch.restart();
            return Poll::Ready(read.map(|frame| frame.map_err(Into::into)));
        }
        let idle = self.idle;
        let due = self
            .due
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        let is_late = due.as_mut().poll(cx).is_ready();
        self.client.is_awaited();
        self.progress.set(match is_late {
            true => RequestProgress::BROKEN,
            false => RequestProgress::AWAITED,
        });
        if is_late {
            // This ends the call. The component need not hear of it before.
            self.client.is_silent();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
