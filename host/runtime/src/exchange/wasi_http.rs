//! Requests to a `wasi:http` 0.2 component. One instance serves the whole
//! request, under the same limits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method, header};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::upload::Upload;
use super::{Exchanges, Live, failed, headless, overloaded};
use crate::capacity::{ClientSide, NoPlace};
use crate::contract::Subscribed;
use crate::generation::{CallFailure, ComponentKind, Lease, Span, call_end, call_function, invoke};
use crate::http::request::BodyRefusal;
use crate::http::{AbortOnDrop, OutgoingBody, RequestHead, WasiHttpBody};

/// What the component has set as its response.
struct Answer {
    response: Result<http::Response<HyperOutgoingBody>, ErrorCode>,
    client: Arc<ClientSide>,
    /// Whether it could be a stream, if it turns out to be one.
    has_place: Result<(), NoPlace>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Failure(#[from] CallFailure),
    #[error("returned without setting a response")]
    NoResponse,
    #[error("answered with an error of its own: {0:?}")]
    Error(ErrorCode),
}

/// Answers one request.
pub(super) async fn serve(
    shared: &Arc<Exchanges>,
    lease: Lease,
    head: RequestHead,
    body: Incoming,
) -> http::Response<OutgoingBody> {
    let to_head = head.method() == Method::HEAD;
    let running = Arc::new(Running {
        shared: shared.clone(),
        lease,
        path: head.path().into(),
        failed: Arc::default(),
        _live: Live::new(shared),
    });
    match answer(&running, request(head, body), to_head).await {
        Ok(response) if to_head => {
            let (parts, mut body) = response.into_parts();
            // The head was the whole answer; the component may finish.
            body.let_finish();
            let length = http_body::Body::size_hint(&body).exact();
            let length = length.filter(|_| !parts.headers.contains_key(header::CONTENT_LENGTH));
            let length = length.and_then(|length| usize::try_from(length).ok());
            headless(
                http::Response::from_parts(parts, OutgoingBody::wasi_http(body)),
                length,
            )
        }
        Ok(response) => response.map(OutgoingBody::wasi_http),
        Err(Unanswered::Failure(CallFailure::Drained)) => overloaded(),
        Err(Unanswered::Failure(CallFailure::NoPlace(why))) => {
            shared.complaints.no_place(&why);
            overloaded()
        }
        Err(Unanswered::Failure(failure)) if failure.is_client() => {
            BodyRefusal::TooSlow.response(0)
        }
        Err(unanswered) => {
            running.complain(&unanswered);
            failed()
        }
    }
}

/// Runs the component in a task of its own, and waits for its response.
async fn answer(
    running: &Arc<Running>,
    request: hyper::Request<Incoming>,
    to_head: bool,
) -> Result<http::Response<WasiHttpBody>, Unanswered> {
    let (sender, receiver) = oneshot::channel();
    let mut task = tokio::spawn(running.clone().run(request, sender));
    let guard = AbortOnDrop(task.abort_handle());
    let answer = receiver.await;
    let answer = answer.map(|answer| (answer.response, answer.client, answer.has_place));
    match answer {
        Ok((Ok(response), client, has_place)) => {
            let failed = running.failed.clone();
            let response = WasiHttpBody::of(response, task, guard, failed, client);
            match has_place {
                Err(why) if !to_head => running.short(response, why).await,
                _ => Ok(response),
            }
        }
        Ok((Err(error), ..)) => Err(Unanswered::Error(error)),
        // The store was dropped, and the sender with it. The task knows the
        // reason.
        Err(_) => match (&mut task).await {
            Ok(Err(failure)) => Err(failure.into()),
            _ => Err(Unanswered::NoResponse),
        },
    }
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
    /// Tells the body of the response that the component failed.
    failed: Arc<AtomicBool>,
    _live: Live,
}

impl Running {
    async fn run(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        sender: oneshot::Sender<Answer>,
    ) -> Result<(), CallFailure> {
        let ComponentKind::WasiHttp { handle } = &self.lease.kind else {
            return Err(CallFailure::Trap("not a wasi:http component".to_owned()));
        };
        let answered = Arc::new(AtomicBool::new(false));
        let seen = answered.clone();
        let held = Subscribed::default();
        let limits = self.shared.limits;
        let span = Span::Request(limits.stall);
        let ended = invoke(&self.lease, span, held, async |store, instance| {
            let mut failed = SetOnDrop(Some(&self.failed));
            let meter = store.data().call.meter().clone();
            let request =
                request.map(|body| Upload::new(body, limits.idle, meter.client().clone()));
            let mut http = store.data_mut().http();
            let request = http.new_incoming_request(Scheme::Http, request)?;
            let out = http.new_response_outparam_from_callback(move |response| {
                seen.store(true, Ordering::Relaxed);
                // The receiver is gone only if the client is.
                let _ = sender.send(Answer {
                    response,
                    client: meter.client().clone(),
                    has_place: meter.head_is_there(),
                });
            })?;
            let () = call_function(store, instance, handle, (request, out)).await?;
            failed.0 = None;
            Ok(())
        })
        .await;
        if let Some(end) = call_end(&ended) {
            self.lease.count(end);
        }
        let Err(failure) = ended else {
            return Ok(());
        };
        if matches!(failure, CallFailure::Drained) {
            self.lease.stats.count_left(|left| left.cut += 1);
        } else if answered.load(Ordering::Relaxed) && !failure.is_client() && !failure.is_busy() {
            // Nobody waits for the reason any more; the stream is cut.
            self.complain(&failure);
        }
        Err(failure)
    }

    /// The response, although there is no place for a stream: if it is short and complete in a
    /// moment, it need not be one.
    async fn short(
        &self,
        response: http::Response<WasiHttpBody>,
        why: NoPlace,
    ) -> Result<http::Response<WasiHttpBody>, Unanswered> {
        let (head, body) = response.into_parts();
        match body.complete().await {
            Some(body) => Ok(http::Response::from_parts(head, body)),
            None => {
                self.lease.runtime.places().turn_away(&why);
                Err(CallFailure::from(why).into())
            }
        }
    }

    fn complain(&self, cause: &dyn fmt::Display) {
        self.shared.complaints.about(&self.lease, &self.path, cause);
    }
}

/// Sets the flag that the component has failed, unless the flag was taken out.
/// It is dropped before the store, and so before the other end of the body.
struct SetOnDrop<'a>(Option<&'a AtomicBool>);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(failed) = self.0 {
            failed.store(true, Ordering::Release);
        }
    }
}
