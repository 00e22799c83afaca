//! The run of one exchange. It waits for the next event, calls the component with it,
//! checks and sends what the call returned, and carries out the effects. When newer
//! code comes, it migrates between two callbacks.

mod change;
mod collect;
mod next;
mod output;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::data::DataStore;
use cluster::data::WriteError;
use http::Method;
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

pub(super) use self::collect::Gathered;
use self::collect::Gathering;
use self::next::Instead;
use super::answer::ResponseHead;
use super::call::{self, Call};
use super::fetches::Fetches;
use super::keys::ExchangeKeys;
use super::mailbox::Subscriptions;
use super::sequence::{Illegal, Sequence};
use super::{Exchanges, Live, failed, not_implemented, overloaded};
use crate::capacity::Class;
use crate::contract::http::Request;
use crate::contract::mailbox::{ClosingReason, Message};
use crate::contract::{IllegalEffect, Subscribed};
use crate::generation::{CallFailure, Lease, RequestEnd, Source, Stopwatch};
use crate::http::{IllegalResponse, OutgoingBody, OutputQueue, RequestHead};

/// Why an exchange ended before its response was complete.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Failure(#[from] CallFailure),
    #[error(transparent)]
    Illegal(#[from] Illegal),
    #[error(transparent)]
    Effect(#[from] IllegalEffect),
    #[error(transparent)]
    Response(#[from] IllegalResponse),
    #[error("could not write: {0}")]
    Write(#[from] WriteError),
    #[error("returned {0} bytes of state, more than the {1} allowed; --max-state allows more")]
    State(usize, usize),
    #[error("neither sent a head nor has anything to wait for")]
    Stuck,
    #[error("was left on old code, and the drain of it is over")]
    Drained,
}

impl Ended {
    /// How the client saw it; none if the app did not cause it.
    fn request_end(&self) -> Option<RequestEnd> {
        match self {
            Ended::Failure(failure) => failure.request_end(),
            Ended::Illegal(_)
            | Ended::Effect(_)
            | Ended::Response(_)
            | Ended::Write(_)
            | Ended::State(..)
            | Ended::Stuck => Some(RequestEnd::Broken),
            Ended::Drained => None,
        }
    }
}

/// One exchange. Its fields are what is kept between two callbacks.
pub(super) struct Exchange {
    shared: Arc<Exchanges>,
    /// The code that the exchange runs, and that wrote its state.
    lease: Lease,
    /// Whether it migrates to newer code. It does not during the first callback, nor
    /// after newer code has refused it until its own code is current again.
    follows: bool,
    /// When it must have ended, if newer code has refused it.
    drain_due: Option<Instant>,
    /// The reason to close, which it must hear before anything else.
    closing: Option<ClosingReason>,
    /// The path of the request, for the log and to count its end.
    path: Arc<str>,
    source: Source,
    /// How long the head has taken so far.
    watch: Stopwatch,
    /// The status of the head, once there is one.
    status: Option<u16>,
    /// How long the head has taken, until that is counted.
    head_made: Option<Duration>,
    is_head: bool,
    state: Bytes,
    sequence: Sequence,
    /// Where the head is.
    answer: ResponseHead,
    /// Where data goes; none before the head.
    output: Option<OutputQueue>,
    /// Whether the last callback left so much output that no other may run before it
    /// has gone.
    held_back: bool,
    /// Whether that output has gone, and the exchange was not told yet.
    writable: bool,
    /// How much of that output was there, and when some of it must have gone.
    unread: usize,
    stall_due: Instant,
    /// What is left of the request; none once it has ended.
    body: Option<Incoming>,
    /// When the next piece of the body must have come.
    body_due: Instant,
    /// The answer to the client if its body broke off.
    refusal: Option<Box<http::Response<OutgoingBody>>>,
    /// What is left of the body, if it is gathered for one callback. Messages wait meanwhile.
    gathering: Option<Box<Gathering>>,
    /// Whether nothing more is sent: the last callback runs.
    is_over: bool,
    views: Option<watch::Receiver<Arc<cluster::View>>>,
    subscriptions: Option<Subscriptions>,
    timers: Vec<(Instant, u64)>,
    fetches: Fetches,
    keys: ExchangeKeys,
    /// How many messages were dropped when the exchange migrated to code that does not know them.
    lagged: u64,
    /// Becomes none once the exchange was told.
    stopping: Option<watch::Receiver<bool>>,
    _live: Live,
}

impl Exchange {
    pub(super) fn new(
        shared: &Arc<Exchanges>,
        lease: Lease,
        head: &RequestHead,
        body: Option<Incoming>,
    ) -> Exchange {
        let now = Instant::now();
        let state = shared.first_state(&lease);
        let keys = ExchangeKeys::new(match lease.class() {
            Class::Call => lease.runtime.node.data.clone(),
            // What new code writes while it is tried out holds nowhere.
            Class::Try => DataStore::default(),
        });
        Exchange {
            shared: shared.clone(),
            lease,
            follows: false,
            drain_due: None,
            closing: None,
            path: head.path().into(),
            source: head.source(),
            watch: Stopwatch::start(),
            status: None,
            head_made: None,
            is_head: head.method() == Method::HEAD,
            state,
            sequence: Sequence::Empty,
            answer: ResponseHead::Awaited,
            output: None,
            held_back: false,
            writable: false,
            unread: 0,
            stall_due: now,
            body,
            body_due: now + shared.limits.idle,
            refusal: None,
            gathering: None,
            is_over: false,
            views: None,
            subscriptions: None,
            timers: Vec::new(),
            fetches: Fetches::default(),
            keys,
            lagged: 0,
            stopping: Some(shared.stopping.clone()),
            _live: Live::new(shared),
        }
    }

    /// Runs the exchange until its response head. What follows runs in a task of its
    /// own.
    pub(super) async fn answer(mut self, request: Request) -> http::Response<OutgoingBody> {
        let goes_on = self.callback(Call::Head(request)).await;
        // The head is nearly always there after the first callback. Then no channel
        // from the task is needed, and mostly no task.
        match (
            std::mem::replace(&mut self.answer, ResponseHead::Given),
            goes_on,
        ) {
            (ResponseHead::Ready(response), false) => *response,
            (ResponseHead::Ready(response), true) => {
                self.spawn();
                *response
            }
            (_, true) => {
                let (sender, receiver) = oneshot::channel();
                self.answer = ResponseHead::Sent(sender);
                self.spawn();
                // The sender is dropped unused only if the node is stopping.
                receiver.await.unwrap_or_else(|_| failed())
            }
            (_, false) => failed(),
        }
    }

    /// Lets the rest of the exchange run in a task of its own.
    fn spawn(mut self) {
        // A function that took the exchange would have room for it twice.
        tokio::spawn(async move { self.go_on().await });
    }

    /// The rest of the exchange.
    async fn go_on(&mut self) {
        self.follows = true;
        let open = self.shared.open.add(&self.path, &self.lease, &self.state);
        // Code that came during the first callback has not woken this exchange.
        if !Box::pin(self.change_code()).await {
            return;
        }
        loop {
            open.note(&self.lease, &self.state);
            match self.next().await {
                // Boxed, so that a waiting stream does not hold the memory that a
                // running callback needs.
                Ok(call) => {
                    let is_body = matches!(call, Call::Body(_));
                    if is_body || matches!(call, Call::Data(_) | Call::Tail(_)) {
                        self.watch.restart();
                    }
                    if !Box::pin(self.callback(call)).await {
                        return;
                    }
                    if is_body {
                        // Newer code may have waited for this callback.
                        self.follows = self.drain_due.is_none();
                    }
                }
                Err(Instead::CodeChange) => {
                    if !Box::pin(self.change_code()).await {
                        return;
                    }
                }
                Err(Instead::Gone) => {
                    // What this callback returns is not sent any more.
                    self.output = None;
                    self.gathering = None;
                    if let Some(refusal) = self.refusal.take() {
                        self.answer.give(*refusal);
                    }
                    self.is_over = true;
                    let closing = Call::Info(Message::Closing(ClosingReason::ClientGone));
                    Box::pin(self.callback(closing)).await;
                    return;
                }
                Err(Instead::End(ended)) => return self.end(&ended),
            }
        }
    }

    /// One callback. Returns whether the exchange goes on after it.
    async fn callback(&mut self, call: Call) -> bool {
        let held = Subscribed {
            topics: self
                .subscriptions
                .as_ref()
                .map_or(&[][..], Subscriptions::names),
            timers: self.timers.len(),
            fetches: self.fetches.waiting(),
            watches: self.keys.watches(),
        };
        let call = call::call(&self.lease, call, &self.state, held);
        let returned = match self.status {
            None => self.watch.time_of(call).await,
            Some(_) => call.await,
        };
        let ended = match returned {
            Ok((step, Ok(effects))) => match self.take(step, effects) {
                Ok(()) => {
                    self.count_answer();
                    return self.sequence != Sequence::Complete;
                }
                Err(ended) => ended,
            },
            Ok((_, Err(illegal))) => illegal.into(),
            Err(failure) => failure.into(),
        };
        self.end(&ended);
        false
    }

    /// Counts the request, once its head was sent. The time of the head counts where it
    /// was made, and not where the exchange has migrated to.
    fn count_answer(&mut self) {
        let Some(status) = self.status else { return };
        let time = self.head_made.take();
        let end = RequestEnd::Answered(status);
        self.lease.count(&self.path, self.source, end, time);
    }

    /// Counts a failure of the app, unless its client has gone and could not see it.
    fn count_failure(&self, end: RequestEnd) {
        let has_gone = self.is_over
            || self.answer.is_gone()
            || self.output.as_ref().is_some_and(OutputQueue::is_gone);
        if !has_gone {
            self.lease.count(&self.path, self.source, end, None);
        }
    }

    /// Ends an exchange that failed: with a 500 if no head was sent. Otherwise its
    /// stream is cut, because the output is dropped before its end.
    fn end(&mut self, ended: &Ended) {
        if let Some(end) = ended.request_end() {
            self.count_failure(end);
        }
        match ended {
            // This is no fault of the app.
            Ended::Drained | Ended::Failure(CallFailure::Drained) => {
                self.lease.stats.count_left(|left| left.cut += 1)
            }
            Ended::Failure(CallFailure::NoPlace(why)) => self.shared.complaints.no_place(why),
            ended => self.shared.complaints.about(&self.lease, &self.path, ended),
        }
        self.output = None;
        self.answer.give(match ended {
            Ended::Illegal(Illegal::WebSocket) => not_implemented(),
            Ended::Failure(failure) if failure.is_busy() => overloaded(),
            Ended::Drained => overloaded(),
            _ => failed(),
        });
    }
}
