//! Requests to a `wasi:http` 0.2 component. One instance serves the whole
//! request, under the same limits.

mod head;

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method, header};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

use self::head::{BodySoFar, Pending, ResponseSoFar, SendHead, Sender, SetByGuest};
use super::upload::{Upload, UploadBody, UploadProgress};
use super::{Exchanges, Live, failed, overloaded};
use crate::capacity::NoPlace;
use crate::contract::{BodyEnd, Subscribed};
use crate::generation::{
    CallFailure, ComponentKind, Lease, RequestEnd, Source, Span, Stopwatch, call_function, invoke,
};
use crate::http::request::BodyRefusal;
use crate::http::{
    AbortOnDrop, IllegalResponse, OutgoingBody, RequestHead, Task, WasiHttpBody, leave, response,
};

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Failure(#[from] CallFailure),
    #[error("returned without setting a response")]
    NoResponse,
    #[error("answered with an error of its own: {0:?}")]
    Error(ErrorCode),
    #[error(transparent)]
    Illegal(#[from] IllegalResponse),
    /// It would be a stream.
    #[error(transparent)]
    NoStream(NoPlace),
    /// The task of the component tells why.
    #[error("ended its response before the end")]
    Cut,
}

/// Answers one request.
pub(super) async fn serve(
    shared: &Arc<Exchanges>,
    lease: Lease,
    head: RequestHead,
    body: Incoming,
) -> http::Response<OutgoingBody> {
    let running = Arc::new(Running {
        shared: shared.clone(),
        lease,
        path: head.path().into(),
        source: head.source(),
        progress: Arc::new(UploadProgress {
            watch: Stopwatch::start(),
            upload: AtomicU8::new(UploadProgress::COMES),
        }),
        answered: AtomicBool::new(false),
        response: Pending::new(head.method() == Method::HEAD),
        _live: Live::new(shared),
    });
    let unanswered = match answer(&running, request(head, body)).await {
        Ok(response) => return response,
        Err(unanswered) => unanswered,
    };
    match unanswered {
        Unanswered::Failure(CallFailure::Drained) => overloaded(),
        Unanswered::Failure(CallFailure::NoPlace(why)) => {
            shared.complaints.no_place(&why);
            overloaded()
        }
        Unanswered::NoStream(why) => {
            shared.complaints.no_place(&why);
            overloaded()
        }
        Unanswered::Failure(failure) if failure.is_client() => {
            BodyRefusal::TooSlow.response(shared.limits.whole)
        }
        Unanswered::Cut => failed(),
        unanswered => {
            running.complain(&unanswered);
            // What else failed is counted where it failed.
            if let Unanswered::Error(_) | Unanswered::Illegal(_) = unanswered {
                running.count(RequestEnd::Broken, None);
            }
            failed()
        }
    }
}

/// Runs the component until its response is there. If it is over by then, it never leaves the task
/// of its connection; else it goes on in a task of its own.
async fn answer(
    running: &Arc<Running>,
    request: hyper::Request<Incoming>,
) -> Result<http::Response<OutgoingBody>, Unanswered> {
    let (sender, mut receiver) = oneshot::channel();
    let mut call = Box::pin(running.clone().run(request, sender));
    let (head, task) = tokio::select! {
        biased;
        ended = &mut call => {
            // What it was to answer with is there, or will never be.
            match receiver.try_recv() {
                Ok(head) => (head, None),
                Err(_) => return Err(match ended {
                    Err(failure) => failure.into(),
                    Ok(()) => Unanswered::NoResponse,
                }),
            }
        }
        Ok(head) = &mut receiver => {
            let task = tokio::spawn(call);
            let guard = AbortOnDrop(task.abort_handle());
            (head, Some((task, guard)))
        }
    };
    match head {
        Ok(head) => send(head, task).await,
        // If it still runs, it is ended.
        Err(error) => Err(Unanswered::Error(error)),
    }
}

/// Makes the response for the connection from what the component has set.
async fn send(
    head: ResponseSoFar,
    task: Option<Task>,
) -> Result<http::Response<OutgoingBody>, Unanswered> {
    let ResponseSoFar {
        response,
        first,
        mark,
        meter,
        has_place,
    } = head;
    if let Err(illegal) = response::check(&response) {
        leave(task);
        return Err(illegal.into());
    }
    let (frames, has_ended, is_bare) = match first {
        BodySoFar::Frames(frames, has_ended) => (frames, has_ended, false),
        BodySoFar::Bare => (VecDeque::new(), true, true),
        BodySoFar::Cut => {
            // The component's own end tells why.
            leave(task);
            return Err(Unanswered::Cut);
        }
    };
    let length = http_body::Body::size_hint(response.body()).exact();
    let client = meter.client().clone();
    let body = WasiHttpBody::of(response, frames, has_ended, mark, task, client);
    if let Err(why) = has_place {
        // If it is short and complete in a moment, it need not be a stream.
        let (head, body) = body.into_parts();
        let Some(body) = body.complete().await else {
            meter.turn_away(&why);
            return Err(Unanswered::NoStream(why));
        };
        let body = OutgoingBody::wasi_http(body);
        return Ok(http::Response::from_parts(head, body));
    }
    if !is_bare {
        return Ok(body.map(OutgoingBody::wasi_http));
    }
    // The head is the whole answer; the component may finish.
    Ok(response::without_body(body, length))
}

/// Makes a request for `wasi:http`, which requires an authority.
fn request(head: RequestHead, body: Incoming) -> hyper::Request<Incoming> {
    let mut parts = head.into_parts();
    let known = parts
        .headers
        .get(header::HOST)
        .is_some_and(|host| host.to_str().is_ok());
    if parts.uri.authority().is_none() && !known {
        parts
            .headers
            .insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    hyper::Request::from_parts(parts, body)
}

/// What one running request holds.
struct Running {
    shared: Arc<Exchanges>,
    lease: Lease,
    path: Box<str>,
    source: Source,
    progress: Arc<UploadProgress>,
    /// Whether the component has answered, with a response or with an error.
    answered: AtomicBool,
    response: Arc<Pending>,
    _live: Live,
}

impl Running {
    async fn run(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        sender: oneshot::Sender<SetByGuest>,
    ) -> Result<(), CallFailure> {
        let ended = self.call(request, sender).await;
        let (counted, told) = match (ended, self.response.end()) {
            (Err(CallFailure::Drained), _) => {
                self.lease.stats.count_left(|left| left.cut += 1);
                return Err(CallFailure::Drained);
            }
            // The client or the machine has ended it.
            (Err(failure), _) if failure.is_client() || failure.is_busy() => return Err(failure),
            // What the component does after the client has gone says nothing of it.
            (ended, Some(BodyEnd::Left)) => return ended,
            // All of the response is there, so nobody sees this.
            (Err(failure), Some(BodyEnd::Finished)) => {
                self.tell_unseen(&failure);
                (None, Err(failure))
            }
            (Ok(()), Some(end @ BodyEnd::Kept)) => {
                self.tell_unseen(&end);
                (None, Ok(()))
            }
            (Ok(()), Some(end @ (BodyEnd::Open | BodyEnd::Short { .. }))) => {
                self.complain(&end);
                (Some(RequestEnd::Broken), Ok(()))
            }
            (Err(failure), Some(end @ BodyEnd::Short { .. })) => {
                self.complain(&format_args!("{end}, and then failed: {failure}"));
                (failure.request_end(), Err(failure))
            }
            (ended, _) => {
                // If nobody waits for the reason any more, it is told here.
                if let Err(failure) = &ended
                    && self.answered.load(Ordering::Relaxed)
                {
                    self.complain(failure);
                }
                let end = match &ended {
                    Ok(()) => {
                        (!self.answered.load(Ordering::Relaxed)).then_some(RequestEnd::Broken)
                    }
                    Err(failure) => failure.request_end(),
                };
                (end, ended)
            }
        };
        if let Some(end) = counted {
            self.count(end, None);
        }
        told
    }

    /// Calls the component. It may end itself once it has answered.
    async fn call(
        self: &Arc<Self>,
        request: hyper::Request<Incoming>,
        channel: oneshot::Sender<SetByGuest>,
    ) -> Result<(), CallFailure> {
        let ComponentKind::WasiHttp { handle } = &self.lease.kind else {
            return Err(CallFailure::Trap("not a wasi:http component".to_owned()));
        };
        let held = Subscribed::default();
        let limits = self.shared.limits;
        let span = Span::Request(limits.stall);
        let counted = self.clone();
        let calling = invoke(&self.lease, span, held, async |store, instance| {
            let call = &mut store.data_mut().call;
            let meter = call.meter().clone();
            call.to_head = self.response.is_to_head();
            call.response = Some(self.response.set());
            let (client, progress) = (meter.client().clone(), self.progress.clone());
            let (head, body) = request.into_parts();
            let body = UploadBody::new(body);
            let upload = Upload::new(body.clone(), limits.idle, client, progress);
            let request = hyper::Request::from_parts(head, upload);
            store.data_mut().instance.note_head(&request);
            let mut http = store.data_mut().http();
            let request = http.new_incoming_request(Scheme::Http, request)?;
            let setting = meter.clone();
            let out = http.new_response_outparam_from_callback(move |answer| {
                // From the response head on, a stream may last.
                setting.lift_deadline();
                if let Ok(response) = &answer {
                    let end = RequestEnd::Answered(response.status().as_u16());
                    counted.count(end, Some(counted.progress.watch.time()));
                }
                counted.response.answer(answer);
            })?;
            let mut sender = Sender::new(&self.response, &self.answered, &meter, channel);
            let ended = {
                let call = pin!(call_function(&mut *store, instance, handle, (request, out)));
                let sender = &mut sender;
                let held = None;
                SendHead { call, sender, held }.await
            };
            let ended = match ended {
                Err(error) if matches!(error.downcast_ref(), Some(I32Exit(0))) => {
                    store.data_mut().instance.spend();
                    Ok(())
                }
                ended => ended,
            };
            body.end();
            if ended.is_ok() {
                store.data_mut().instance.returned();
            }
            sender.finish();
            let instance = &mut store.data_mut().instance;
            match self.response.end() {
                Some(BodyEnd::Finished | BodyEnd::Kept) => {}
                // It broke off its response, or has lost its client.
                Some(_) => instance.spend(),
                None => instance.leave_unanswered(),
            }
            ended
        });
        let ended = self.progress.watch.time_of(calling).await;
        ended.map(|((), _)| ())
    }

    /// Counts an end of the request. A client that has sent half a request has no answer
    /// that says anything of the app.
    fn count(&self, end: RequestEnd, time: Option<Duration>) {
        if !(end.is_failure() && self.progress.is_half()) {
            self.lease.count(&self.path, self.source, end, time);
        }
    }

    fn tell_unseen(&self, cause: &dyn fmt::Display) {
        let complaints = &self.shared.complaints;
        complaints.unseen(&self.lease, &self.path, cause);
    }

    fn complain(&self, cause: &dyn fmt::Display) {
        self.shared.complaints.about(&self.lease, &self.path, cause);
    }
}
