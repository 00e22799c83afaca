//! The body of a request on its way to a `wasi:http` component.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
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
pub(super) struct UploadBody(Arc<Mutex<Unread>>);

#[derive(Debug)]
struct Unread {
    /// None once the call is over.
    body: Option<Incoming>,
    /// Wakes who waits for more of it.
    reader: Option<Waker>,
}

impl UploadBody {
    pub(super) fn new(body: Incoming) -> UploadBody {
        UploadBody(Arc::new(Mutex::new(Unread {
            body: Some(body),
            reader: None,
        })))
    }

    /// The call is over: nobody may read the body any more.
    pub(super) fn end(&self) {
        let (body, reader) = {
            let mut unread = self.0.lock();
            (unread.body.take(), unread.reader.take())
        };
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
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

    /// The component does not wait for more of it after all.
    pub(super) fn comes(&self) {
        let (awaited, comes) = (UploadProgress::AWAITED, UploadProgress::COMES);
        let (done, failed) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.upload.compare_exchange(awaited, comes, done, failed);
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
        let polled = {
            let mut unread = self.body.0.lock();
            let Some(body) = &mut unread.body else {
                // The component reads it after its call.
                let over = wasmtime_wasi_http::Error::ConnectionTerminated;
                return Poll::Ready(Some(Err(over)));
            };
            let polled = Pin::new(body).poll_frame(cx);
            if polled.is_pending() {
                unread.reader = Some(cx.waker().clone());
            }
            polled
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
        let unread = self.body.0.lock();
        unread.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let unread = self.body.0.lock();
        let hint = unread.body.as_ref().map(Incoming::size_hint);
        hint.unwrap_or_default()
    }
}
