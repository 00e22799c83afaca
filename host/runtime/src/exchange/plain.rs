//! Requests to a plain `wasi:http` 0.2 component: one instance for the whole
//! request, under the same limits.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Sleep;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::call::{self, Failure};
use super::{Cut, Exchanges, Live, failed, headless, overloaded};
use crate::contract::{CallContext, Held, Metered};
use crate::generation::{CallEnd, Kind, Seat};
use crate::http::{Body, Head};

type Answer = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error("returned without setting a response")]
    NoResponse,
    #[error("answered with an error of its own: {0:?}")]
    Error(ErrorCode),
}

/// Answers one request.
pub(super) async fn serve(
    shared: &Arc<Exchanges>,
    generation: Seat,
    head: Head,
    body: Incoming,
) -> http::Response<Body> {
    let path: Arc<str> = head.path().into();
    let to_head = head.method() == Method::HEAD;
    let generation = Arc::new(generation);
    match answer(shared, &generation, head, body, path.clone()).await {
        Ok(response) if to_head => {
            let (parts, mut body) = response.into_parts();
            // Its head was the whole answer; the component may finish.
            body.let_finish();
            let length = http_body::Body::size_hint(&body).exact();
            let length = length.filter(|_| !parts.headers.contains_key(header::CONTENT_LENGTH));
            let length = length.and_then(|length| usize::try_from(length).ok());
            headless(http::Response::from_parts(parts, Body::plain(body)), length)
        }
        Ok(response) => response.map(Body::plain),
        Err(Unanswered::Failure(Failure::Drained)) => overloaded(),
        Err(unanswered) => {
            shared.complaints.about(&generation, &path, &unanswered);
            match unanswered {
                Unanswered::Failure(failure) if failure.is_busy() => overloaded(),
                _ => failed(),
            }
        }
    }
}

async fn answer(
    shared: &Arc<Exchanges>,
    generation: &Arc<Seat>,
    head: Head,
    body: Incoming,
    path: Arc<str>,
) -> Result<http::Response<PlainBody>, Unanswered> {
    let Kind::Plain(pre) = &generation.kind else {
        return Err(Failure::Trap("not a wasi:http component".to_owned()).into());
    };
    let runtime = &generation.runtime;
    let wall = runtime.limits.wall;
    let instance = (
        call::free(&runtime.plain_instances, wall).await?,
        call::free(&runtime.instances, wall).await?,
    );
    let (sender, receiver) = oneshot::channel();
    let failed = Arc::new(AtomicBool::new(false));
    let running = Running {
        shared: shared.clone(),
        generation: generation.clone(),
        path,
        failed: failed.clone(),
        _instance: instance,
        _live: Live::new(shared),
    };
    let mut task =
        tokio::spawn(running.run(pre.clone(), request(head, body, shared.limits.idle), sender));
    let guard = AbortOnDrop(task.abort_handle());
    match tokio::time::timeout(wall, receiver).await {
        Ok(Ok(Ok(response))) => {
            let left = promised(&response);
            Ok(response.map(|body| PlainBody {
                body,
                left,
                failed,
                task: Some((task, guard)),
            }))
        }
        Ok(Ok(Err(error))) => Err(Unanswered::Error(error)),
        // The store went away with the sender: the task says why.
        Ok(Err(_)) => match (&mut task).await {
            Ok(Err(failure)) => Err(failure.into()),
            _ => Err(Unanswered::NoResponse),
        },
        Err(_) => {
            // The task is ended from outside, and says nothing any more.
            generation.count(CallEnd::Overran);
            Err(Failure::Wall(wall).into())
        }
    }
}

/// A request that `wasi:http` takes: it wants an authority.
fn request(head: Head, body: Incoming, idle: Duration) -> hyper::Request<Upload> {
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
    };
    hyper::Request::from_parts(parts, body)
}

/// How many bytes a response promises, if it does.
fn promised(response: &http::Response<HyperOutgoingBody>) -> Option<u64> {
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.or_else(|| http_body::Body::size_hint(response.body()).exact())
}

/// The body of a request, which may not pause for longer than others may.
struct Upload {
    body: Incoming,
    idle: Duration,
    /// Set up when the body is waited for.
    due: Option<Pin<Box<Sleep>>>,
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
            return Poll::Ready(read.map(|frame| frame.map_err(Into::into)));
        }
        let idle = self.idle;
        let due = self
            .due
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        due.as_mut()
            .poll(cx)
            .map(|()| Some(Err(wasmtime_wasi_http::Error::ConnectionReadTimeout)))
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
    generation: Arc<Seat>,
    path: Arc<str>,
    /// Tells the body of the response that the component failed.
    failed: Arc<AtomicBool>,
    _instance: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    _live: Live,
}

impl Running {
    async fn run(
        self,
        pre: ProxyPre<CallContext>,
        request: hyper::Request<Upload>,
        sender: oneshot::Sender<Answer>,
    ) -> Result<(), Failure> {
        let generation = &self.generation;
        let mut store = generation
            .runtime
            .store(generation.release.clone(), Held::default());
        let slices = store.data().slices().clone();
        let answered = Arc::new(AtomicBool::new(false));
        let seen = answered.clone();
        let returned = {
            let running = pin!(async {
                let mut http = store.data_mut().http();
                let request = http.new_incoming_request(Scheme::Http, request)?;
                let out = http.new_response_outparam_from_callback(move |answer| {
                    seen.store(true, Ordering::Relaxed);
                    // The receiver is gone only if the client is.
                    let _ = sender.send(answer);
                })?;
                let proxy = pre.instantiate_async(&mut store).await?;
                proxy
                    .wasi_http_incoming_handler()
                    .call_handle(&mut store, request, out)
                    .await
            });
            // Until the response head, whoever waits for it keeps the time;
            // after it, a stream may last.
            call::until_over(generation, Metered::new(running, slices, None)).await
        };
        let ended = call::outcome(&store, generation, returned);
        if let Some(end) = call::end(&ended) {
            generation.count(end);
        }
        let Err(failure) = ended else {
            return Ok(());
        };
        // Before the store goes, and with it the other end of the body.
        self.failed.store(true, Ordering::Release);
        if matches!(failure, Failure::Drained) {
            generation.life.count_cut();
        } else if answered.load(Ordering::Relaxed) {
            // Nobody waits for the reason any more; the stream is cut.
            self.shared
                .complaints
                .about(generation, &self.path, &failure);
        }
        Err(failure)
    }
}

/// Ends a task when nobody waits for it any more.
#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body that a `wasi:http` component writes. When the client goes away
/// before its end, the component is ended too.
#[derive(Debug)]
pub struct PlainBody {
    body: HyperOutgoingBody,
    /// Bytes still to come of those promised.
    left: Option<u64>,
    /// Whether the component failed: wasi:http ends its body then as if it
    /// had been finished.
    failed: Arc<AtomicBool>,
    task: Option<(JoinHandle<Result<(), Failure>>, AbortOnDrop)>,
}

impl http_body::Body for PlainBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx).map_err(|_| Cut);
        if let Poll::Ready(None) = polled {
            if self.failed.load(Ordering::Acquire) {
                return Poll::Ready(Some(Err(Cut)));
            }
            self.let_finish();
        }
        if let (Poll::Ready(Some(Ok(frame))), Some(left)) = (&polled, self.left) {
            let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.left = Some(left.saturating_sub(sent));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl PlainBody {
    /// All was sent: what the component still does after its response it may
    /// do, under its limit of processor time and for as long as a callback.
    fn let_finish(&mut self) {
        // Outside of a runtime nothing runs any more that could finish.
        if let (Some((task, guard)), Ok(runtime)) = (self.task.take(), Handle::try_current()) {
            runtime.spawn(async move {
                let _guard = guard;
                let _ = tokio::time::timeout(super::AFTER_RESPONSE, task).await;
            });
        }
    }
}

impl Drop for PlainBody {
    /// A connection asks for no more than what was promised, and so never sees
    /// the end of such a body.
    fn drop(&mut self) {
        if self.left == Some(0) {
            self.let_finish();
        } else if let Some((task, _)) = &self.task {
            // Before its stream is closed, at which it may trap: a client that
            // goes is no fault of the app's.
            task.abort();
        }
    }
}
