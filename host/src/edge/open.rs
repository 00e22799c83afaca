//! Which requests of a connection are open: from their head to the end of the
//! body of their response.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The connection gets no more than this of a body at a time, in bytes. What it has taken it
/// holds itself, however slowly the client reads: so the request stays open until little is left.
const PIECE: usize = 64 * 1024;

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
    /// too. While the client has yet to read what was sent to it, this does not end.
    pub(super) async fn idle(&self, time: Duration, is_unread: impl Fn() -> bool) {
        let mut before = 0;
        loop {
            tokio::time::sleep(time).await;
            let begun = self.begun.load(Relaxed);
            if begun == before && self.open.load(Relaxed) == 0 && !is_unread() {
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
    /// What the connection gets next of the last frame.
    rest: Bytes,
    _open: Open,
}

impl<B> OpenBody<B> {
    pub(super) fn new(body: B, open: Open) -> OpenBody<B> {
        OpenBody {
            body,
            rest: Bytes::new(),
            _open: open,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for OpenBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)).transpose()? {
                Some(frame) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                None => return Poll::Ready(None),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
