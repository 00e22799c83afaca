//! The run of one exchange: it waits for the next thing that happens, calls
//! the component with it, checks and sends what comes back, and puts into
//! force what was asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::call::{self, Call, Failure, Returned};
use super::mailbox::{Mailbox, Subscriptions};
use super::outlet::{HIGH_WATER, Outlet, outlet};
use super::sequence::{Illegal, Sequence};
use super::{Exchanges, Live, failed, headless, not_implemented};
use crate::app::Generation;
use crate::contract::http::{Part, Request, Response, ResponseBody};
use crate::contract::mailbox::{ClosingReason, Message};
use crate::contract::{Effect, Step};
use crate::http::{Body, Head, IllegalResponse, request::BodyRefusal, response};

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
}

/// What an exchange waits for.
enum Event {
    Call(Call),
    /// The client has gone, or its body broke off.
    ClientGone,
}

/// One exchange; its fields are what is kept between two callbacks.
pub(super) struct Exchange {
    shared: Arc<Exchanges>,
    generation: Arc<Generation>,
    /// For the log.
    path: Arc<str>,
    is_head: bool,
    state: Bytes,
    sequence: Sequence,
    /// Where the head goes; none once it has gone.
    answer: Option<oneshot::Sender<http::Response<Body>>>,
    /// Where data goes; none before the head.
    outlet: Option<Outlet>,
    /// Whether the last callback left so much output that no other may run
    /// before it has gone.
    held_back: bool,
    /// What is left of the request; none once it has ended.
    body: Option<Incoming>,
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
        generation: Arc<Generation>,
        head: &Head,
        answer: oneshot::Sender<http::Response<Body>>,
        body: Option<Incoming>,
    ) -> Exchange {
        Exchange {
            shared: shared.clone(),
            generation,
            path: head.path().into(),
            is_head: head.method() == Method::HEAD,
            state: shared.config.clone(),
            sequence: Sequence::Empty,
            answer: Some(answer),
            outlet: None,
            held_back: false,
            body,
            views: None,
            subscriptions: None,
            timers: Vec::new(),
            stopping: Some(shared.stopping.clone()),
            _live: Live::new(shared),
        }
    }

    /// The first callback. Returns whether the exchange goes on.
    pub(super) async fn begin(&mut self, request: Request) -> bool {
        self.callback(Call::Head(request)).await
    }

    /// The rest of the exchange.
    pub(super) async fn go_on(mut self) {
        loop {
            match self.next().await {
                // Boxed, so that a stream that waits does not hold the room
                // that a running callback needs.
                Ok(Event::Call(call)) => {
                    if !Box::pin(self.callback(call)).await {
                        return;
                    }
                }
                Ok(Event::ClientGone) => {
                    let closing = Call::Info(Message::Closing(ClosingReason::ClientGone));
                    // Seen only by a client whose body came too late.
                    let late = self.answer.take();
                    Box::pin(self.callback(closing)).await;
                    if let Some(late) = late {
                        let _ = late.send(BodyRefusal::TooSlow.response(self.shared.limits.whole));
                    }
                    return;
                }
                Err(ended) => return self.end(&ended),
            }
        }
    }

    /// One callback. Returns whether the exchange goes on after it.
    async fn callback(&mut self, call: Call) -> bool {
        let held = (
            self.subscriptions.as_ref().map_or(0, Subscriptions::len),
            self.timers.len(),
        );
        let ended = match call::call(&self.generation, call, &self.state, held).await {
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
    async fn next(&mut self) -> Result<Event, Ended> {
        if let (Some(outlet), true) = (&self.outlet, std::mem::take(&mut self.held_back)) {
            return Ok(match outlet.drained().await {
                true => Event::Call(Call::Info(Message::Writable)),
                false => Event::ClientGone,
            });
        }
        let can_answer = self.answer.is_none()
            || self.body.is_some()
            || self.views.is_some()
            || self.subscriptions.is_some()
            || !self.timers.is_empty();
        if !can_answer {
            return Err(Ended::Stuck);
        }
        let timer = self
            .timers
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, _))| *at)
            .map(|(n, (at, _))| (n, *at));
        let event = tokio::select! {
            () = client_gone(self.outlet.as_ref(), self.answer.as_mut()) => Event::ClientGone,
            () = stopping(self.stopping.as_mut()) => {
                self.stopping = None;
                Event::Call(Call::Info(Message::Closing(ClosingReason::Shutdown)))
            }
            view = changed(self.views.as_mut()) => {
                Event::Call(Call::Info(Message::Nodes(self.shared.views.to_contract(&view))))
            }
            message = published(self.subscriptions.as_ref().map(Subscriptions::mailbox)) => {
                Event::Call(Call::Info(message))
            }
            number = due(timer) => {
                let (_, token) = self.timers.swap_remove(number);
                Event::Call(Call::Info(Message::Timer(token)))
            }
            read = read(self.body.as_mut(), self.shared.limits.idle) => match read {
                Read::Data(data) => Event::Call(Call::Data(data.into())),
                Read::End(trailers) => {
                    self.body = None;
                    Event::Call(Call::Tail(response::fields(&trailers)))
                }
                Read::Broken => {
                    self.body = None;
                    Event::ClientGone
                }
            },
        };
        Ok(event)
    }

    /// Checks and sends what a callback returned, keeps its state, and puts
    /// its effects into force.
    fn take(&mut self, returned: Returned) -> Result<(), Ended> {
        match returned.step {
            Step::Done(response) => {
                self.sequence.done(&response)?;
                self.send_head(response)?;
            }
            Step::Continue((parts, state)) => {
                let limit = self.generation.runtime.limits.state;
                if state.len() > limit {
                    return Err(Ended::State(state.len(), limit));
                }
                let sequence = self.check(&parts)?;
                self.state = state.into();
                // Counted without what the connection takes meanwhile, so that
                // an app that fills the queue can rely on `writable`.
                let mut waiting = self.outlet.as_ref().map_or(0, Outlet::waiting);
                for part in parts {
                    if let Part::Data(data) = &part {
                        waiting = waiting.saturating_add(data.len());
                    }
                    self.send(part)?;
                }
                // To HEAD the head is the whole answer, whatever follows it.
                self.sequence = match self.is_head && self.answer.is_none() {
                    true => Sequence::Complete,
                    false => sequence,
                };
                self.held_back = waiting >= HIGH_WATER;
            }
        }
        for effect in returned.effects {
            self.put_into_force(effect);
        }
        Ok(())
    }

    /// Checks all parts of a callback before any is sent: one that breaks a
    /// rule sends nothing.
    fn check(&self, parts: &[Part]) -> Result<Sequence, Ended> {
        let mut sequence = self.sequence;
        for part in parts {
            let promised = match part {
                Part::Head(head) => response::content_length(head)?,
                _ => None,
            };
            sequence.part(part, promised)?;
            if let Part::Tail(fields) = part {
                response::trailers(fields)?;
            }
        }
        Ok(sequence)
    }

    fn send(&mut self, part: Part) -> Result<(), Ended> {
        match part {
            Part::Head(head) => self.send_head(head)?,
            Part::Data(data) => {
                if let Some(outlet) = &self.outlet {
                    outlet.data(data.into());
                }
            }
            Part::Tail(fields) => {
                let trailers = response::trailers(&fields)?;
                if let Some(outlet) = self.outlet.take() {
                    outlet.finish(trailers);
                }
            }
            // The sequence has refused it.
            Part::Frame(_) => {}
        }
        Ok(())
    }

    fn send_head(&mut self, head: Response) -> Result<(), Ended> {
        let (parts, body) = response::head(head, self.is_head)?;
        let response = match body {
            ResponseBody::Whole(_) | ResponseBody::None if self.is_head => {
                let length = match body {
                    ResponseBody::Whole(whole) => Some(whole.len()),
                    _ => None,
                };
                headless(parts, length)
            }
            ResponseBody::Whole(whole) => parts.map(|_| Body::whole(whole.into())),
            ResponseBody::None => parts,
            // To HEAD there is nothing to stream.
            ResponseBody::Streamed if self.is_head => parts,
            ResponseBody::Streamed => {
                let (outlet, body) = outlet();
                self.outlet = Some(outlet);
                parts.map(|_| Body::stream(body))
            }
            // The sequence has refused it.
            ResponseBody::Websocket => parts,
        };
        if let Some(answer) = self.answer.take() {
            // It is refused only if the client has gone; the outlet will tell.
            let _ = answer.send(response);
        }
        Ok(())
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
        self.shared
            .complaints
            .about(&self.generation, &self.path, ended);
        self.outlet = None;
        if let Some(answer) = self.answer.take() {
            let response = match ended {
                Ended::Illegal(Illegal::WebSocket) => not_implemented(),
                _ => failed(),
            };
            let _ = answer.send(response);
        }
    }
}

/// Until there is something to wait for, nothing comes.
async fn never<T>() -> T {
    std::future::pending().await
}

async fn client_gone(
    outlet: Option<&Outlet>,
    answer: Option<&mut oneshot::Sender<http::Response<Body>>>,
) {
    match (outlet, answer) {
        (Some(outlet), _) => outlet.gone().await,
        (None, Some(answer)) => answer.closed().await,
        (None, None) => never().await,
    }
}

async fn stopping(stopping: Option<&mut watch::Receiver<bool>>) {
    match stopping {
        Some(stopping) => {
            if stopping.wait_for(|stopping| *stopping).await.is_err() {
                never().await
            }
        }
        None => never().await,
    }
}

async fn changed(views: Option<&mut watch::Receiver<Arc<cluster::View>>>) -> Arc<cluster::View> {
    match views {
        Some(views) => match views.changed().await {
            Ok(()) => views.borrow_and_update().clone(),
            Err(_) => never().await,
        },
        None => never().await,
    }
}

async fn published(mailbox: Option<&Mailbox>) -> Message {
    match mailbox {
        Some(mailbox) => mailbox.next().await,
        None => never().await,
    }
}

async fn due(timer: Option<(usize, Instant)>) -> usize {
    match timer {
        Some((number, at)) => {
            tokio::time::sleep_until(at).await;
            number
        }
        None => never().await,
    }
}

enum Read {
    Data(Bytes),
    End(HeaderMap),
    /// The client broke off, sent what is not HTTP, or paused too long.
    Broken,
}

async fn read(body: Option<&mut Incoming>, idle: Duration) -> Read {
    let Some(body) = body else {
        return never().await;
    };
    loop {
        return match tokio::time::timeout(idle, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => Read::Data(data),
                Err(frame) => Read::End(frame.into_trailers().unwrap_or_default()),
            },
            Ok(None) => Read::End(HeaderMap::new()),
            Ok(Some(Err(_))) | Err(_) => Read::Broken,
        };
    }
}
