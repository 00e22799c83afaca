//! The run of one exchange: it waits for the next thing that happens, calls
//! the component with it, checks and sends what comes back, and puts into
//! effect what was asked for. When newer code comes, it goes over to that
//! between two callbacks.

mod change;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::answer::Answer;
use super::call::{self, Call, Failure, Returned};
use super::event::{
    Read, changed, client_gone, code_changed, drained, due, published, read, stopping,
};
use super::mailbox::Subscriptions;
use super::outlet::{HIGH_WATER, Outlet, outlet};
use super::sequence::{Illegal, Sequence};
use super::{Exchanges, Live, failed, headless, not_implemented, overloaded};
use crate::contract::http::{Part, Request, ResponseBody};
use crate::contract::mailbox::{ClosingReason, Message};
use crate::contract::{Effect, Held, Step};
use crate::generation::Seat;
use crate::http::request::BodyRefusal;
use crate::http::{Body, Head, IllegalResponse, response};

/// How long a client may leave all of its output unread while so much waits
/// that callbacks are held back.
const OUTPUT_STALL: Duration = Duration::from_secs(300);

/// Why an exchange ended before its response was complete.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Illegal(#[from] Illegal),
    #[error(transparent)]
    Response(#[from] IllegalResponse),
    #[error("returned {0} bytes of state, more than the {1} allowed; --max-state allows more")]
    State(usize, usize),
    #[error("neither sent a head nor has anything to wait for")]
    Stuck,
    #[error("was left on old code, and the drain of it is over")]
    Drained,
}

/// What happens next in an exchange, if it is no callback.
enum Instead {
    /// The client has gone, or its body broke off.
    Gone,
    /// Newer code may have come.
    CodeChange,
    /// It is ended.
    End(Ended),
}

/// What becomes of one that was left on old code: its time is over, or that code
/// is current again.
fn left(is_over: bool) -> Instead {
    match is_over {
        true => Instead::End(Ended::Drained),
        false => Instead::CodeChange,
    }
}

/// A part that may be sent.
enum Checked {
    Head((http::Response<Body>, ResponseBody)),
    Data(Bytes),
    Tail(HeaderMap),
}

/// One exchange; its fields are what is kept between two callbacks.
pub(super) struct Exchange {
    shared: Arc<Exchanges>,
    /// The code that it runs, and that wrote its state.
    seat: Seat,
    /// Whether it goes over to newer code: not in the first callback, nor once
    /// newer code has not taken it over, until its own is current again.
    follows: bool,
    /// Until when it must have ended, if newer code has not taken it over.
    drain_due: Option<Instant>,
    /// What it is to be told before anything else.
    closing: Option<ClosingReason>,
    /// For the log.
    path: Arc<str>,
    is_head: bool,
    state: Bytes,
    sequence: Sequence,
    /// What becomes of the head.
    answer: Answer,
    /// Where data goes; none before the head.
    outlet: Option<Outlet>,
    /// Whether the last callback left so much output that no other may run
    /// before it has gone.
    held_back: bool,
    /// Until when some of that output must have gone.
    stall_due: Instant,
    /// What is left of the request; none once it has ended.
    body: Option<Incoming>,
    /// Until when a next piece of it must come.
    body_due: Instant,
    /// What a client is told whose body broke off.
    refusal: Option<BodyRefusal>,
    /// Whether nothing more is to be sent: the last callback runs.
    is_over: bool,
    views: Option<watch::Receiver<Arc<cluster::View>>>,
    subscriptions: Option<Subscriptions>,
    timers: Vec<(Instant, u64)>,
    /// Turns to none once the exchange was told.
    stopping: Option<watch::Receiver<bool>>,
    _live: Live,
}

impl Exchange {
    pub(super) fn new(
        shared: &Arc<Exchanges>,
        seat: Seat,
        head: &Head,
        body: Option<Incoming>,
    ) -> Exchange {
        Exchange {
            shared: shared.clone(),
            seat,
            follows: false,
            drain_due: None,
            closing: None,
            path: head.path().into(),
            is_head: head.method() == Method::HEAD,
            state: shared.config.clone(),
            sequence: Sequence::Empty,
            answer: Answer::Awaited,
            outlet: None,
            held_back: false,
            stall_due: Instant::now(),
            body,
            body_due: Instant::now() + shared.limits.idle,
            refusal: None,
            is_over: false,
            views: None,
            subscriptions: None,
            timers: Vec::new(),
            stopping: Some(shared.stopping.clone()),
            _live: Live::new(shared),
        }
    }

    /// Runs the exchange to its head, and what follows it in a task of its own.
    pub(super) async fn answer(mut self, request: Request) -> http::Response<Body> {
        let goes_on = self.callback(Call::Head(request)).await;
        // Nearly always the head is there after the first callback; then it
        // needs no way back from the task, and mostly there is no task.
        match (std::mem::replace(&mut self.answer, Answer::Given), goes_on) {
            (Answer::Ready(response), false) => *response,
            (Answer::Ready(response), true) => {
                tokio::spawn(self.go_on());
                *response
            }
            (_, true) => {
                let (sender, receiver) = oneshot::channel();
                self.answer = Answer::Sent(sender);
                tokio::spawn(self.go_on());
                // The sender is dropped unused only if the node is stopping.
                receiver.await.unwrap_or_else(|_| failed())
            }
            (_, false) => failed(),
        }
    }

    /// The rest of the exchange.
    async fn go_on(mut self) {
        self.follows = true;
        // What came during the first callback told nobody.
        if !Box::pin(self.change_code()).await {
            return;
        }
        loop {
            match self.next().await {
                // Boxed, so that a stream that waits does not hold the room
                // that a running callback needs.
                Ok(call) => {
                    if !Box::pin(self.callback(call)).await {
                        return;
                    }
                }
                Err(Instead::CodeChange) => {
                    if !Box::pin(self.change_code()).await {
                        return;
                    }
                }
                Err(Instead::Gone) => {
                    // Whatever it returns is not sent any more.
                    self.outlet = None;
                    if let Some(refusal) = self.refusal.take() {
                        self.answer.give(refusal.response(self.shared.limits.whole));
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
        let held = Held {
            topics: self
                .subscriptions
                .as_ref()
                .map_or(&[][..], Subscriptions::names),
            timers: self.timers.len(),
        };
        let returned = call::call(&self.seat, call, &self.state, held).await;
        if let Some(end) = call::end(&returned) {
            self.seat.count(end);
        }
        let ended = match returned {
            Ok(returned) => match self.take(returned) {
                Ok(()) => return self.sequence != Sequence::Complete,
                Err(ended) => ended,
            },
            Err(failure) => failure.into(),
        };
        self.end(&ended);
        false
    }

    /// Waits for what comes next.
    async fn next(&mut self) -> Result<Call, Instead> {
        if let (Some(outlet), true) = (&self.outlet, self.held_back) {
            let stalled = self.stall_due;
            return tokio::select! {
                is_there = outlet.drained() => {
                    self.held_back = false;
                    match is_there {
                        true => Ok(Call::Info(Message::Writable)),
                        false => Err(Instead::Gone),
                    }
                }
                // No callback is needed for it, so it need not wait.
                () = code_changed(self.follows, &self.seat, &self.shared.slot) => Err(Instead::CodeChange),
                is_over = drained(self.drain_due, &self.seat, &self.shared.slot) => Err(left(is_over)),
                // A client that reads nothing for so long is as good as gone.
                () = tokio::time::sleep_until(stalled) => Err(Instead::Gone),
            };
        }
        if self.drain_due.is_some() && self.shared.slot.is_current(&self.seat) {
            return Err(Instead::CodeChange);
        }
        if let Some(reason) = self.closing.take() {
            return Ok(Call::Info(Message::Closing(reason)));
        }
        let can_answer = self.answer.is_given()
            || self.body.is_some()
            || self.views.is_some()
            || self.subscriptions.as_ref().is_some_and(Subscriptions::any)
            || !self.timers.is_empty();
        if !can_answer {
            return Err(Instead::End(Ended::Stuck));
        }
        let timer = self
            .timers
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, _))| *at)
            .map(|(n, (at, _))| (n, *at));
        let call = tokio::select! {
            () = client_gone(self.outlet.as_ref(), &mut self.answer) => None,
            () = code_changed(self.follows, &self.seat, &self.shared.slot) => return Err(Instead::CodeChange),
            is_over = drained(self.drain_due, &self.seat, &self.shared.slot) => return Err(left(is_over)),
            () = stopping(self.stopping.as_mut()) => {
                self.stopping = None;
                Some(Call::Info(Message::Closing(ClosingReason::Shutdown)))
            }
            view = changed(self.views.as_mut()) => {
                Some(Call::Info(Message::Nodes(self.shared.views.to_contract(&view))))
            }
            message = published(self.subscriptions.as_ref().map(Subscriptions::mailbox)) => {
                Some(Call::Info(message))
            }
            number = due(timer) => {
                let (_, token) = self.timers.swap_remove(number);
                Some(Call::Info(Message::Timer(token)))
            }
            read = read(self.body.as_mut(), self.body_due) => match read {
                Ok(Read::Data(data)) => {
                    self.body_due = Instant::now() + self.shared.limits.idle;
                    Some(Call::Data(data.into()))
                }
                Ok(Read::End(trailers)) => {
                    self.body = None;
                    Some(Call::Tail(response::fields(&trailers)))
                }
                Err(refusal) => {
                    self.body = None;
                    self.refusal = Some(refusal);
                    None
                }
            },
        };
        call.ok_or(Instead::Gone)
    }

    /// Checks and sends what a callback returned, keeps its state, and puts    /// them into effect.
    fn take(&mut self, returned: Returned) -> Result<(), Ended> {
        if self.is_over {
            // The client has gone: parts are dropped, effects are not.
            for effect in returned.effects {
                self.put_into_force(effect);
            }
            return Ok(());
        }
        match returned.step {
            Step::Done(response) => {
                self.sequence.done(&response)?;
                let head = response::head(response, self.is_head)?;
                self.send(Checked::Head(head));
            }
            Step::Continue((parts, state)) => {
                let limit = self.seat.runtime.limits.state;
                if state.len() > limit {
                    return Err(Ended::State(state.len(), limit));
                }
                // All are checked before any is sent: of a callback that broke
                // a rule nothing goes out, so that a client whose head was not
                // sent yet gets a 500 and not half an answer.
                let checked = self.check(parts)?;
                // Counted without what the connection takes meanwhile, so that
                // an app that fills the queue can rely on `writable`.
                let mut waiting = self.outlet.as_ref().map_or(0, Outlet::waiting);
                for part in checked {
                    if let Checked::Data(data) = &part {
                        waiting = waiting.saturating_add(data.len());
                    }
                    self.send(part);
                }
                self.held_back = waiting >= HIGH_WATER;
                if self.held_back {
                    self.stall_due = Instant::now() + OUTPUT_STALL;
                }
                self.state = state.into();
            }
        }
        for effect in returned.effects {
            self.put_into_force(effect);
        }
        Ok(())
    }

    fn check(&mut self, parts: Vec<Part>) -> Result<Vec<Checked>, Ended> {
        let mut checked = Vec::with_capacity(parts.len());
        for part in parts {
            let promised = match &part {
                Part::Head(head) => response::content_length(head)?,
                _ => None,
            };
            self.sequence.part(&part, promised)?;
            checked.push(match part {
                Part::Head(head) => Checked::Head(response::head(head, self.is_head)?),
                Part::Data(data) => Checked::Data(data.into()),
                Part::Tail(fields) => Checked::Tail(response::trailers(&fields)?),
                // The sequence takes none, as long as no host serves WebSockets.
                Part::Frame(_) => return Err(Illegal::Frame.into()),
            });
        }
        Ok(checked)
    }

    fn send(&mut self, part: Checked) {
        match part {
            Checked::Head((head, body)) => self.send_head(head, body),
            Checked::Data(data) => {
                if let Some(outlet) = &self.outlet {
                    outlet.data(data);
                }
            }
            Checked::Tail(trailers) => {
                if let Some(outlet) = self.outlet.take() {
                    outlet.finish(trailers);
                }
            }
        }
    }

    fn send_head(&mut self, head: http::Response<Body>, body: ResponseBody) {
        let response = match body {
            ResponseBody::Whole(whole) if self.is_head => headless(head, Some(whole.len())),
            ResponseBody::Whole(whole) => head.map(|_| Body::whole(whole.into())),
            // To HEAD there is nothing to stream: the head is the whole answer.
            ResponseBody::Streamed if self.is_head => {
                self.sequence = Sequence::Complete;
                head
            }
            ResponseBody::Streamed => {
                let (outlet, body) = outlet();
                self.outlet = Some(outlet);
                head.map(|_| Body::stream(body))
            }
            // The sequence has refused a WebSocket.
            ResponseBody::None | ResponseBody::Websocket => head,
        };
        self.answer.give(response);
    }

    fn put_into_force(&mut self, effect: Effect) {
        match effect {
            Effect::SubscribeNodes => {
                if self.views.is_none() {
                    self.views = Some(self.shared.views.subscribe());
                }
            }
            Effect::Subscribe(topic) => {
                let topics = &self.shared.topics;
                self.subscriptions
                    .get_or_insert_with(|| Subscriptions::new(topics.clone()))
                    .add(topic);
            }
            Effect::Unsubscribe(topic) => {
                if let Some(subscriptions) = &mut self.subscriptions {
                    subscriptions.remove(&topic);
                }
            }
            Effect::Publish { topic, payload } => {
                self.shared
                    .topics
                    .publish(topic, payload, self.shared.own_name.clone());
            }
            Effect::SendAfter { delay, token } => {
                // Farther than any exchange lives; beyond it the clock overflows.
                let delay = delay.min(Duration::from_secs(365 * 24 * 3600));
                self.timers.push((Instant::now() + delay, token));
            }
        }
    }

    /// Ends an exchange that failed: 500 if no head was sent, else its stream
    /// is cut, since the outlet is dropped before its end.
    fn end(&mut self, ended: &Ended) {
        match ended {
            // No fault of the app's.
            Ended::Drained | Ended::Failure(Failure::Drained) => self.seat.life.count_cut(),
            ended => self.shared.complaints.about(&self.seat, &self.path, ended),
        }
        self.outlet = None;
        self.answer.give(match ended {
            Ended::Illegal(Illegal::WebSocket) => not_implemented(),
            Ended::Failure(failure) if failure.is_busy() => overloaded(),
            Ended::Drained => overloaded(),
            _ => failed(),
        });
    }
}
