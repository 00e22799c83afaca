//! The head of a response, on its way from the guest to the connection.
//!
//! It is sent when the guest waits for something other than its turn, or has ended, and not at once. So a response that
//! the guest finishes without waiting is known as a whole: one without a body ends with its head,
//! and one that breaks a rule is a 500.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::capacity::{Meter, NoPlace};
use crate::contract::{BodyEnd, BodyMark, ResponseSet, promised};
use crate::http::response::is_bare;

/// How long a head may wait for a guest that runs on without waiting for anything.
const HOLD: Duration = Duration::from_millis(500);

/// What a guest has answered with.
pub(super) type SetByGuest = Result<ResponseSoFar, ErrorCode>;

/// A response that a guest has set.
pub(super) struct ResponseSoFar {
    pub(super) response: Response<HyperOutgoingBody>,
    pub(super) first: BodySoFar,
    pub(super) mark: BodyMark,
    /// The meter of the call.
    pub(super) meter: Arc<Meter>,
    /// Whether it may be a stream, if it is one.
    pub(super) has_place: Result<(), NoPlace>,
}

/// What is known of the body when the head is sent.
pub(super) enum BodySoFar {
    /// There is none, whatever the guest writes: an answer to `HEAD`, or a 204 or 304.
    Bare,
    /// These frames are there, which may be none. If the body has ended, they are all of it.
    Frames(VecDeque<Frame<Bytes>>, HasEnded),
    /// It ended before its end.
    Cut,
}

/// Whether a body has ended, as it should.
pub(crate) type HasEnded = bool;

/// Where the response is from the moment it is set until it is sent.
#[derive(Default)]
pub(super) struct Pending {
    to_head: bool,
    set: Arc<ResponseSet>,
    answer: Mutex<Option<Result<Response<HyperOutgoingBody>, ErrorCode>>>,
    sent: Mutex<Option<Sent>>,
}

/// What is left of a response that was sent.
#[derive(Clone)]
struct Sent {
    is_bare: bool,
    mark: BodyMark,
}

impl Pending {
    pub(super) fn new(to_head: bool) -> Arc<Pending> {
        Arc::new(Pending {
            to_head,
            ..Pending::default()
        })
    }

    /// Whether a `HEAD` request is answered.
    pub(super) fn is_to_head(&self) -> bool {
        self.to_head
    }

    /// Where the guest's functions note how the body ends.
    pub(super) fn set(&self) -> Arc<ResponseSet> {
        self.set.clone()
    }

    /// The guest has answered.
    pub(super) fn answer(&self, answer: Result<Response<HyperOutgoingBody>, ErrorCode>) {
        *self.answer.lock() = Some(answer);
    }

    /// How the body of the response was left; none if no response was sent.
    pub(super) fn end(&self) -> Option<BodyEnd> {
        let sent = self.sent.lock().clone()?;
        Some(match sent.is_bare {
            true => BodyEnd::Finished,
            false => sent.mark.end(),
        })
    }

    /// Takes what the guest has answered, if it has, and looks at its body. `has_returned` says
    /// that the guest writes nothing more.
    fn take(&self, has_returned: bool, meter: &Arc<Meter>) -> Option<SetByGuest> {
        let mut response = match self.answer.lock().take()? {
            Ok(response) => response,
            Err(error) => return Some(Err(error)),
        };
        let mark = self.set.mark();
        let is_bare = self.to_head || is_bare(response.status());
        *self.sent.lock() = Some(Sent {
            is_bare,
            mark: mark.clone(),
        });
        let first = match is_bare {
            true => BodySoFar::Bare,
            false => first(&mut response, &mark, has_returned),
        };
        let has_place = match &first {
            BodySoFar::Frames(_, false) => meter.becomes_stream(),
            BodySoFar::Frames(_, true) | BodySoFar::Bare | BodySoFar::Cut => Ok(()),
        };
        Some(Ok(ResponseSoFar {
            response,
            first,
            mark,
            meter: meter.clone(),
            has_place,
        }))
    }
}

/// What of the body is there already. The engine lets a guest write two frames ahead.
fn first(
    response: &mut Response<HyperOutgoingBody>,
    mark: &BodyMark,
    has_returned: bool,
) -> BodySoFar {
    let mut cx = Context::from_waker(Waker::noop());
    let mut frames = VecDeque::new();
    loop {
        match Pin::new(response.body_mut()).poll_frame(&mut cx) {
            // A body that the guest has kept.
            Poll::Pending if has_returned && mark.is_finished() => break,
            Poll::Pending if has_returned => return BodySoFar::Cut,
            Poll::Pending => return BodySoFar::Frames(frames, false),
            Poll::Ready(Some(Ok(frame))) => frames.push_back(frame),
            Poll::Ready(Some(Err(_))) => return BodySoFar::Cut,
            Poll::Ready(None) if !mark.is_finished() => return BodySoFar::Cut,
            Poll::Ready(None) => break,
        }
    }
    match promised(response.headers()) {
        // The guest has not even taken the body that it promises.
        Some(promised @ 1..) if frames.is_empty() => {
            let written = 0;
            mark.set(BodyEnd::Short { written, promised });
            BodySoFar::Cut
        }
        _ => BodySoFar::Frames(frames, true),
    }
}

/// The guest's end of the way that a response takes.
pub(super) struct Sender<'a> {
    pending: &'a Pending,
    /// Becomes true when the guest has answered.
    answered: &'a AtomicBool,
    meter: &'a Arc<Meter>,
    channel: Option<oneshot::Sender<SetByGuest>>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        pending: &'a Pending,
        answered: &'a AtomicBool,
        meter: &'a Arc<Meter>,
        channel: oneshot::Sender<SetByGuest>,
    ) -> Sender<'a> {
        Sender {
            pending,
            answered,
            meter,
            channel: Some(channel),
        }
    }

    /// Sends what the guest has answered, if it has.
    fn send(&mut self, has_returned: bool) {
        if self.channel.is_some()
            && let Some(answer) = self.pending.take(has_returned, self.meter)
            && let Some(channel) = self.channel.take()
        {
            self.answered.store(true, Ordering::Relaxed);
            // The receiver is gone only if the client is.
            let _ = channel.send(answer);
        }
    }

    /// The guest has returned, or failed.
    pub(super) fn finish(mut self) {
        self.send(true);
    }
}

/// A call into the guest that sends the head once the guest waits.
pub(super) struct SendHead<'a, 'b, F> {
    pub(super) call: Pin<&'a mut F>,
    pub(super) sender: &'a mut Sender<'b>,
    /// Since when the response is set and not sent.
    pub(super) held: Option<Instant>,
}

impl<F> SendHead<'_, '_, F> {
    /// Whether the head is to wait for more of the body.
    fn holds(&mut self) -> bool {
        let pending = self.sender.pending;
        pending.answer.lock().is_some()
            && pending.set.waits_for_turn()
            && self.held.get_or_insert_with(Instant::now).elapsed() < HOLD
    }
}

impl<F: Future> Future for SendHead<'_, '_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.call.as_mut().poll(cx);
        if polled.is_pending() && !self.holds() {
            self.sender.send(false);
        }
        polled
    }
}
