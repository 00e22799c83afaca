//! The body of a request on its way to a `wasi:http` component.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::capacity::ClientSide;
use crate::generation::Stopwatch;

/// The body of a request. It may not pause for longer than other bodies may, and tells when the
/// component waits for it.
pub(super) struct Upload {
    body: UploadBody,
    idle: Duration,
    /// Created when the body is waited for.
    due: Option<Pin<Box<Sleep>>>,
    client: Arc<ClientSide>,
    progress: Arc<UploadProgress>,
}

/// What is left of the body of a request, until its call is over. The component may hold a handle
/// of it for longer; without this, the connection would wait for it then.
#[derive(Clone, Debug)]
pub(super) struct UploadBody(Arc<Mutex<Option<Incoming>>>);

impl UploadBody {
    pub(super) fn new(body: Incoming) -> UploadBody {
        UploadBody(Arc::new(Mutex::new(Some(body))))
    }

    /// The call is over: nobody reads the body any more.
    pub(super) fn end(&self) {
        let body = self.0.lock().take();
        drop(body);
    }
}

/// How far a request has come.
#[derive(Debug)]
pub(super) struct UploadProgress {
    /// How long the head of the response takes, since the client has sent something.
    pub(super) watch: Stopwatch,
    /// How far its body has come.
    pub(super) upload: AtomicU8,
}

impl UploadProgress {
    /// The body comes, and the component does not wait for it.
    pub(super) const COMES: u8 = 0;
    /// The component waits for more of it.
    const AWAITED: u8 = 1;
    /// It broke off, or did not come in time.
    const BROKEN: u8 = 2;

    /// Whether the component lacks a part of the request.
    pub(super) fn is_half(&self) -> bool {
        self.upload.load(Ordering::Acquire) != UploadProgress::COMES
    }

    fn set(&self, upload: u8) {
        self.upload.store(upload, Ordering::Release);
    }
}

impl Upload {
    pub(super) fn new(
        body: UploadBody,
        idle: Duration,
        client: Arc<ClientSide>,
        progress: Arc<UploadProgress>,
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
        let polled = match &mut *self.body.0.lock() {
            Some(body) => Pin::new(body).poll_frame(cx),
            // The component reads it in a later call.
            None => return Poll::Ready(Some(Err(wasmtime_wasi_http::Error::ConnectionTerminated))),
        };
        if let Poll::Ready(read) = polled {
            self.due = None;
            match &read {
                Some(Err(_)) => self.progress.set(UploadProgress::BROKEN),
                Some(Ok(_)) | None => self.progress.set(UploadProgress::COMES),
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
            true => UploadProgress::BROKEN,
            false => UploadProgress::AWAITED,
        });
        if is_late {
            // This ends the call. The component need not hear of it before.
            self.client.is_silent();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let body = self.body.0.lock();
        body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.0.lock();
        body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}
