//! The body of an answer. It may neither pause for too long nor go on without end; and the place
//! of its request is given back when it has ended.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::EgressError;

/// The body of an answer, as it comes.
#[derive(Debug)]
pub struct ResponseBody {
    inner: Incoming,
    pause: Duration,
    /// When all of it must have come.
    due: Instant,
    /// When the next piece must have come, while somebody waits for it.
    waiting: Option<Pin<Box<Sleep>>>,
    /// The place of the request, until the body has ended.
    place: Option<OwnedSemaphorePermit>,
}

impl ResponseBody {
    /// A body that may pause so long, and must end by then.
    pub(crate) fn new(
        inner: Incoming,
        pause: Duration,
        due: Instant,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            inner,
            pause,
            due,
            waiting: None,
            place: Some(place),
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<EgressError> {
        let due = self.due;
        let until = due.min(Instant::now() + self.pause);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        waiting
            .as_mut()
            .poll(cx)
            .map(|()| match Instant::now() < due {
                true => EgressError::Silent,
                false => EgressError::TotalTime,
            })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        if this.place.is_none() {
            return Poll::Ready(None);
        }
        let next = match Pin::new(&mut this.inner).poll_frame(cx) {
            // A server that sends a little now and then never lets the pause end.
            Poll::Ready(Some(Ok(_))) if Instant::now() >= this.due => {
                Some(Err(EgressError::TotalTime))
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = None;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(EgressError::of_hyper(&error))),
            Poll::Ready(None) => None,
            Poll::Pending => match this.wait(cx) {
                Poll::Ready(error) => Some(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
        };
        // After an error nothing more comes either.
        this.place = None;
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.place.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
