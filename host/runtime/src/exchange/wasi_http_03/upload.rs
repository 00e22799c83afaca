//! The body of a request on its way to a component of WASI 0.3, and what the request is told of
//! its client by it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use wasmtime_wasi_http::Error;

use super::super::upload::{Upload, UploadBody, UploadProgress};
use crate::capacity::{ClientSide, NoPlace, Place};
use crate::generation::CallFailure;

/// The place of a request, and what its client does. The instance may hold its upload for longer
/// than the request lasts, so this holds nothing else of it.
#[derive(Default)]
pub(super) struct Terms {
    client: Arc<ClientSide>,
    place: Mutex<Option<Place>>,
    why: Mutex<Option<CallFailure>>,
    ended: Notify,
}

impl Terms {
    pub(super) fn client(&self) -> &Arc<ClientSide> {
        &self.client
    }

    /// The request has this place.
    pub(super) fn take(&self, place: Place) {
        *self.place.lock() = Some(place);
    }

    /// The request is over: others may have its place.
    pub(super) fn give_back(&self) {
        *self.place.lock() = None;
    }

    /// From now on the request counts as a stream.
    ///
    /// # Errors
    /// See [`Place::becomes_stream`].
    pub(super) fn becomes_stream(&self) -> Result<(), NoPlace> {
        let place = self.place.lock();
        place.as_ref().map_or(Ok(()), Place::becomes_stream)
    }

    /// Waits until the upload ends the request. Returns why.
    pub(super) async fn ended(&self) -> CallFailure {
        loop {
            let ended = self.ended.notified();
            if let Some(why) = self.why() {
                return why;
            }
            ended.await;
        }
    }

    /// Why the upload has ended the request, if it has.
    pub(super) fn why(&self) -> Option<CallFailure> {
        self.why.lock().clone()
    }

    fn end(&self, why: CallFailure) {
        self.why.lock().get_or_insert(why);
        self.ended.notify_one();
    }
}

/// The body of a request. When it is not there in time, the request ends, and its instance is
/// told that the connection has ended: it has other requests.
pub(super) struct Upload03 {
    body: Upload,
    terms: Arc<Terms>,
    is_broken: bool,
}

impl Upload03 {
    pub(super) fn new(
        body: UploadBody,
        idle: Duration,
        terms: Arc<Terms>,
        progress: Arc<UploadProgress>,
    ) -> Upload03 {
        let client = terms.client().clone();
        Upload03 {
            body: Upload::new(body, idle, client, progress),
            terms,
            is_broken: false,
        }
    }
}

impl Body for Upload03 {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_broken {
            return Poll::Ready(None);
        }
        if let Poll::Ready(read) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(read);
        }
        // It waits for its client.
        let why = match self.terms.client().sent_nothing() {
            true => Some(CallFailure::Silent),
            false => self.terms.becomes_stream().err().map(CallFailure::NoPlace),
        };
        let Some(why) = why else {
            return Poll::Pending;
        };
        self.is_broken = true;
        self.terms.end(why);
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_broken || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
