//! Requests to a plain `wasi:http` 0.2 component: one instance for the whole
//! request, under the same limits.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::call::{self, Failure};
use super::{Cut, Exchanges, Live, failed, headless};
use crate::app::{Generation, Kind};
use crate::contract::{CallContext, Metered};
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
    generation: Arc<Generation>,
    head: Head,
    body: Incoming,
) -> http::Response<Body> {
    let path: Arc<str> = head.path().into();
    let to_head = head.method() == Method::HEAD;
    match answer(shared, &generation, head, body, path.clone()).await {
        Ok(response) if to_head => {
            let (parts, body) = response.into_parts();
            let length = http_body::Body::size_hint(&body).exact();
            let length = length.filter(|_| !parts.headers.contains_key(header::CONTENT_LENGTH));
            let length = length.and_then(|length| usize::try_from(length).ok());
            headless(http::Response::from_parts(parts, Body::plain(body)), length)
        }
        Ok(response) => response.map(Body::plain),
        Err(unanswered) => {
            shared.complaints.about(&generation, &path, &unanswered);
            failed()
        }
    }
}

async fn answer(
    shared: &Arc<Exchanges>,
    generation: &Arc<Generation>,
    head: Head,
    body: Incoming,
    path: Arc<str>,
) -> Result<http::Response<PlainBody>, Unanswered> {
    let Kind::Plain(pre) = &generation.kind else {
        return Err(Failure::Trap("not a wasi:http component".to_owned()).into());
    };
    let runtime = &generation.runtime;
    let wall = runtime.limits.wall;
    let instance = call::instance(runtime).await?;
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
    let mut task = tokio::spawn(running.run(pre.clone(), request(head, body), sender));
    let guard = AbortOnDrop(task.abort_handle());
    match tokio::time::timeout(wall, receiver).await {
        Ok(Ok(Ok(response))) => Ok(response.map(|body| PlainBody {
            body,
            failed,
            task: Some((task, guard)),
        })),
        Ok(Ok(Err(error))) => Err(Unanswered::Error(error)),
        // The store went away with the sender: the task says why.
        Ok(Err(_)) => match (&mut task).await {
            Ok(Err(failure)) => Err(failure.into()),
            _ => Err(Unanswered::NoResponse),
        },
        Err(_) => Err(Failure::Wall(wall).into()),
    }
}

/// A request that `wasi:http` takes: it wants an authority.
fn request(head: Head, body: Incoming) -> hyper::Request<Incoming> {
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
    generation: Arc<Generation>,
    path: Arc<str>,
    /// Tells the body of the response that the component failed.
    failed: Arc<AtomicBool>,
    _instance: OwnedSemaphorePermit,
    _live: Live,
}

impl Running {
    async fn run(
        self,
        pre: ProxyPre<CallContext>,
        request: hyper::Request<Incoming>,
        sender: oneshot::Sender<Answer>,
    ) -> Result<(), Failure> {
        let generation = &self.generation;
        let mut store = generation.runtime.store(generation.release.clone(), 0, 0);
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
            Metered::new(running, slices, None).await
        };
        call::report_output(&store, generation);
        let Ok(Err(error)) = returned else {
            return Ok(());
        };
        // Before the store goes, and with it the other end of the body.
        self.failed.store(true, Ordering::Release);
        let failure = call::failure(generation, store.data(), &error);
        if answered.load(Ordering::Relaxed) {
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
        if let Some((task, guard)) = self.task.take() {
            tokio::spawn(async move {
                let _guard = guard;
                let _ = tokio::time::timeout(super::AFTER_RESPONSE, task).await;
            });
        }
    }
}
