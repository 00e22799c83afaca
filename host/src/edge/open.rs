//! Which requests of a connection are open: from their head to the end of the
//! body of their response.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};

/// The requests of one connection. They are counted, and the counts are looked
/// at now and then: a timer for each request would cost more than parsing it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    open: AtomicUsize,
    /// Whether the last request had a body, of which some may be unread.
    upload: AtomicBool,
}

impl Activity {
    /// A request has begun, with a body or without. It is open until the result is dropped.
    pub(super) fn open(self: &Arc<Self>, has_body: bool) -> Open {
        self.upload.store(has_body, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    /// Whether some of a request may be unread.
    pub(super) fn may_be_unread(&self) -> bool {
        self.upload.load(Relaxed)
    }

    /// Ends when no request was open and none began for this time, and at most
    /// for twice this time. So a client that sends a head very slowly is closed
    /// too.
    pub(super) async fn idle(&self, time: Duration) {
        let mut before = 0;
        loop {
            tokio::time::sleep(time).await;
            let begun = self.begun.load(Relaxed);
            if begun == before && self.open.load(Relaxed) == 0 {
                return;
            }
            before = begun;
        }
    }
}

/// A request that is open until the body of its response has gone.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// The body of a response, which keeps its request open until it is dropped.
#[derive(Debug)]
pub(super) struct OpenBody<B> {
    body: B,
    _open: Open,
}

impl<B> OpenBody<B> {
    pub(super) fn new(body: B, open: Open) -> OpenBody<B> {
        OpenBody { body, _open: open }
    }
}

impl<B: Body + Unpin> Body for OpenBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
