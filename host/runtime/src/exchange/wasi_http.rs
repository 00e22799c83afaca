//! Requests to a `wasi:http` 0.2 component. One instance serves the whole
//! request, under the same limits.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::{Exchanges, Live, failed, headless, overloaded};
use crate::contract::Subscribed;
use crate::generation::{
    CallFailure, ComponentKind, Lease, RequestEnd, Source, Span, Stopwatch, call_function, invoke,
};
use crate::http::{AbortOnDrop, OutgoingBody, RequestHead, WasiHttpBody};

type Answer = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

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
        source: head.source(),
        is_head: to_head,
        progress: Arc::new(Progress {
            watch: Stopwatch::start(),
            upload: AtomicU8::new(Progress::COMES),
        }),
        failed: Arc::default(),
        _live: Live::new(shared),
    });
    let request = request(head, body, shared.limits.idle, running.progress.clone());
    match answer(&running, request).await {
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
        Err(unanswered) => {
            running.complain(&unanswered);
            match unanswered {
                Unanswered::Failure(failure) if failure.is_busy() => overloaded(),
                _ => failed(),
            }
        }
    }
}

/// Runs the component in a task of its own, and waits for its response.
async fn answer(
    running: &Arc<Running>,
    request: hyper::Request<Upload>,
) -> Result<http::Response<WasiHttpBody>, Unanswered> {
    let (sender, receiver) = oneshot::channel();
    let mut task = tokio::spawn(running.clone().run(request, sender));
    let guard = AbortOnDrop(task.abort_handle());
    match receiver.await {
        Ok(Ok(response)) => Ok(WasiHttpBody::of(
            response,
            task,
            guard,
            running.failed.clone(),
        )),
        Ok(Err(error)) => Err(Unanswered::Error(error)),
        // The store was dropped, and the sender with it. The task knows the
        // reason.
        Err(_) => match (&mut task).await {
            Ok(Err(failure)) => Err(failure.into()),
            _ => Err(Unanswered::NoResponse),
        },
    }
}

/// Makes a request for `wasi:http`, which requires an authority.
fn request(
    head: RequestHead,
    body: Incoming,
    idle: Duration,
    progress: Arc<Progress>,
) -> hyper::Request<Upload> {
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
    let body = Upload {
        body,
        idle,
        due: None,
        progress,
    };
    hyper::Request::from_parts(parts, body)
}

/// The body of a request. It may not pause for longer than other bodies may.
struct Upload {
    body: Incoming,
    idle: Duration,
    /// Created when the body is waited for.
    due: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

/// How far a request has come.
#[derive(Debug)]
struct Progress {
    /// How long the head of the response takes, since the client has sent something.
    watch: Stopwatch,
    /// How far its body has come.
    upload: AtomicU8,
}

impl Progress {
    /// The body comes, and the component does not wait for it.
    const COMES: u8 = 0;
    /// The component waits for more of it.
    const AWAITED: u8 = 1;
    /// It broke off, or did not come in time.
    const BROKEN: u8 = 2;

    /// Whether the component lacks a part of the request.
    fn is_half(&self) -> bool {
        self.upload.load(Ordering::Acquire) != Progress::COMES
    }

    fn set(&self, upload: u8) {
        self.upload.store(upload, Ordering::Release);
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(read) = Pin::new(&mut self.body).poll_frame(cx) {
            self.due = None;
            match &read {
                Some(Err(_)) => self.progress.set(Progress::BROKEN),
                Some(Ok(_)) | None => self.progress.set(Progress::COMES),
            }
            self.progress.watch.restart();
            return Poll::Ready(read.map(|frame| frame.map_err(Into::into)));
        }
        let idle = self.idle;
        let due = self
            .due
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        let is_late = due.as_mut().poll(cx);
        self.progress.set(match is_late {
            Poll::Ready(()) => Progress::BROKEN,
            Poll::Pending => Progress::AWAITED,
        });
        is_late.map(|()| Some(Err(wasmtime_wasi_http::Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What one running request holds.
struct Running {
    shared: Arc<Exchanges>,
    lease: Lease,
    path: Box<str>,
    source: Source,
    is_head: bool,
    progress: Arc<Progress>,
    /// Tells the body of the response that the component failed.
    failed: Arc<AtomicBool>,
    _live: Live,
}

impl Running {
    async fn run(
        self: Arc<Self>,
        request: hyper::Request<Upload>,
        sender: oneshot::Sender<Answer>,
    ) -> Result<(), CallFailure> {
        let ComponentKind::WasiHttp { handle } = &self.lease.kind else {
            return Err(CallFailure::Trap("not a wasi:http component".to_owned()));
        };
        let answered = Arc::new(AtomicBool::new(false));
        let seen = answered.clone();
        let held = Subscribed::default();
        let counted = self.clone();
        let calling = invoke(&self.lease, Span::Request, held, async |store, instance| {
            let mut failed = SetOnDrop(Some(&self.failed));
            let meter = store.data().call.meter().clone();
            let mut http = store.data_mut().http();
            let request = http.new_incoming_request(Scheme::Http, request)?;
            let out = http.new_response_outparam_from_callback(move |answer| {
                // From the response head on, a stream may last.
                meter.lift_deadline();
                seen.store(true, Ordering::Relaxed);
                counted.count_answer(&answer);
                // The receiver is gone only if the client is.
                let _ = sender.send(answer);
            })?;
            let () = call_function(store, instance, handle, (request, out)).await?;
            failed.0 = None;
            Ok(())
        });
        let ended = self.progress.watch.time_of(calling).await;
        let is_answered = answered.load(Ordering::Relaxed);
        let end = match &ended {
            Ok(_) => (!is_answered).then_some(RequestEnd::Broken),
            Err(failure) => failure.request_end(),
        };
        // The head is the whole answer to HEAD, whatever the component does after it.
        if let Some(end) = end.filter(|_| !(is_answered && self.is_head)) {
            self.count(end, None);
        }
        let Err(failure) = ended else {
            return Ok(());
        };
        if matches!(failure, CallFailure::Drained) {
            self.lease.stats.count_left(|left| left.cut += 1);
        } else if is_answered {
            // Nobody waits for the reason any more; the stream is cut.
            self.complain(&failure);
        }
        Err(failure)
    }

    /// Counts how the client sees the head.
    fn count_answer(&self, answer: &Answer) {
        let end = match answer {
            Ok(response) => RequestEnd::Answered(response.status().as_u16()),
            Err(_) => RequestEnd::Broken,
        };
        self.count(end, Some(self.progress.watch.time()));
    }

    /// Counts an end of the request. A client that has sent half a request has no answer
    /// that says anything of the app.
    fn count(&self, end: RequestEnd, time: Option<Duration>) {
        if !(end.is_failure() && self.progress.is_half()) {
            self.lease.count(&self.path, self.source, end, time);
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
