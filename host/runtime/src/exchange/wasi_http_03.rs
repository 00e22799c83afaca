//! Requests to a component that exports `wasi:http/handler` of WASI 0.3. Its instance takes other
//! requests at the same time, so it has no task of its own here:
//!
//! ```text
//! place -> Handler03 (an instance takes it) -> response head -> what of the body is there -> whole | stream
//! ```
//!
//! Each request has a place of its own, and ends for its own reasons: its client, the time on the
//! wall, its place. What its instance does to itself ends all requests of the instance.

mod body;
mod upload;

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Response, Uri, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{InstantiationError, TrapOrPanicError};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use self::body::{Body03, Taken, bytes, short, take};
use self::upload::{Terms, Upload03};
use super::upload::{UploadBody, UploadProgress};
use super::{Exchanges, Live, failed, overloaded};
use crate::capacity::{Class, NoPlace, PATIENCE};
use crate::contract::promised;
use crate::engine::one_line;
use crate::generation::{
    Asked, CallFailure, Lease, RequestEnd, SharedInstance, Source, Stopwatch, queue,
};
use crate::http::request::BodyRefusal;
use crate::http::response::{is_bare, without_body};
use crate::http::{IllegalResponse, OutgoingBody, RequestHead, response};

/// How long a head may wait for a guest that runs on without waiting for anything.
const HOLD: Duration = Duration::from_millis(500);
/// How long a response may take to be complete for which there is no place as a stream.
const SOON: Duration = Duration::from_millis(400);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Failure(#[from] CallFailure),
    #[error("ended without a response")]
    NoResponse,
    #[error("answered with an error of its own: {0:?}")]
    Error(ErrorCode),
    #[error(transparent)]
    Illegal(#[from] IllegalResponse),
    /// It would be a stream.
    #[error(transparent)]
    NoStream(NoPlace),
    #[error("{0}")]
    Cut(String),
}

/// A response, and what of its body was there before its head is sent.
struct Answered {
    response: Response<WasiBody>,
    frames: VecDeque<Frame<Bytes>>,
    /// Whether they are all of it.
    has_ended: bool,
    /// Whether the head is all that is sent.
    is_bare: bool,
    live: Arc<SharedInstance>,
}

/// Answers one request.
pub(super) async fn serve(
    shared: &Arc<Exchanges>,
    lease: Lease,
    head: RequestHead,
    body: Incoming,
) -> Response<OutgoingBody> {
    let running = Running {
        shared: shared.clone(),
        lease,
        path: head.path().into(),
        source: head.source(),
        progress: Arc::new(UploadProgress {
            watch: Stopwatch::start(),
            upload: AtomicU8::new(UploadProgress::COMES),
        }),
        upload: UploadBody::new(body),
        terms: Arc::default(),
        asked: Arc::default(),
        _live: Live::new(shared),
    };
    match running.answer(head).await {
        Ok(answered) => running.send(answered),
        Err(unanswered) => running.refuse(unanswered),
    }
}

/// Makes a request for `wasi:http`, which wants the authority beside the fields.
fn request(head: RequestHead, body: WasiBody) -> http::Request<WasiBody> {
    let mut parts = head.into_parts();
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.scheme.get_or_insert(Scheme::HTTP);
    uri.authority.get_or_insert_with(|| {
        let host = parts.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()?.parse().ok());
        host.unwrap_or(Authority::from_static("localhost"))
    });
    uri.path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
    http::Request::from_parts(parts, body)
}

/// What one running request holds. When it is dropped, the request is over.
struct Running {
    shared: Arc<Exchanges>,
    lease: Lease,
    path: Box<str>,
    source: Source,
    progress: Arc<UploadProgress>,
    upload: UploadBody,
    terms: Arc<Terms>,
    asked: Arc<Asked>,
    _live: Live,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.asked.end();
        self.upload.end();
        self.terms.give_back();
    }
}

impl Running {
    /// Has an instance answer, and looks at what of the body is there when the guest waits.
    async fn answer(&self, head: RequestHead) -> Result<Answered, Unanswered> {
        let to_head = head.method() == Method::HEAD;
        let watch = &self.progress.watch;
        let mut response = watch.time_of(self.ask(head)).await?;
        self.asked.lasts();
        response::check(&response)?;
        let status = response.status().as_u16();
        self.count(RequestEnd::Answered(status), Some(watch.time()));
        let live = self.asked.instance().ok_or(Unanswered::NoResponse)?;
        let mut frames = VecDeque::new();
        let is_bare = to_head || is_bare(response.status());
        let has_ended = match is_bare {
            true => true,
            false => self.begin(&mut response, &mut frames, &live).await?,
        };
        Ok(Answered {
            response,
            frames,
            has_ended,
            is_bare,
            live,
        })
    }

    /// Waits for a place, and for the response.
    async fn ask(&self, head: RequestHead) -> Result<Response<WasiBody>, Unanswered> {
        let generation = self.lease.generation();
        let (runtime, class) = (&generation.runtime, generation.class());
        let patience = match class {
            Class::Call => PATIENCE,
            Class::Try => runtime.limits.wall,
        };
        let places = &runtime.places;
        let place = queue(places.take(class, generation.instance_size(), patience)).await;
        self.terms.take(place.map_err(CallFailure::from)?);
        let idle = self.shared.limits.idle;
        let (terms, progress) = (self.terms.clone(), self.progress.clone());
        let upload = Upload03::new(self.upload.clone(), idle, terms, progress);
        let request = request(head, upload.boxed_unsync());
        let handler = generation.handler_03();
        let handled = handler.handle(self.asked.clone(), request);
        let error = tokio::select! {
            biased;
            handled = handled => match handled {
                Ok(response) => return Ok(response),
                Err(error) => error,
            },
            why = self.terms.ended() => return Err(why.into()),
            () = generation.signals.over() => return Err(CallFailure::Drained.into()),
            () = self.overdue(runtime.limits.wall) => {
                self.asked.give_up();
                return Err(CallFailure::Wall(runtime.limits.wall).into());
            }
        };
        Err(self.why(error).await)
    }

    /// Completes when the app has taken too long for the head. The time for which it waits for its
    /// client does not count.
    async fn overdue(&self, wall: Duration) {
        loop {
            let is_half = self.progress.is_half();
            // A client that sends nothing for so long has ended the request by then. So the app has
            // begun to wait for it, and has given that up.
            let most = match is_half {
                true => wall.saturating_add(self.shared.limits.idle),
                false => wall,
            };
            let took = self.progress.watch.time();
            if took >= most {
                if is_half {
                    self.progress.comes();
                }
                return;
            }
            // Not for all that is left: meanwhile it may have stopped waiting.
            tokio::time::sleep((most - took).min(wall)).await;
        }
    }

    /// Why the handler gave no response.
    async fn why(&self, error: wasmtime::Error) -> Unanswered {
        let error = match error.downcast::<ErrorCode>() {
            Ok(code) => return Unanswered::Error(code),
            Err(error) => error,
        };
        if let Some(none) = error.downcast_ref::<InstantiationError<Arc<Asked>>>() {
            return match none.error.downcast_ref::<CallFailure>() {
                Some(failure) => failure.clone().into(),
                None => CallFailure::Trap(one_line(&none.error)).into(),
            };
        }
        let live = self.asked.instance();
        if error.is::<TrapOrPanicError>() {
            return match live {
                Some(live) => match live.ended().await {
                    Some(failure) => failure.into(),
                    None => Unanswered::NoResponse,
                },
                None => Unanswered::NoResponse,
            };
        }
        if let Some(live) = live {
            live.stop();
        }
        CallFailure::Trap(one_line(&error)).into()
    }

    /// Takes what of the body is there once the guest waits. Returns whether it is all of it; if
    /// not, the response is a stream.
    async fn begin(
        &self,
        response: &mut Response<WasiBody>,
        frames: &mut VecDeque<Frame<Bytes>>,
        live: &SharedInstance,
    ) -> Result<bool, Unanswered> {
        let promised = promised(response.headers());
        let body = response.body_mut();
        let mut taken = {
            // A wait that begins from here on is noticed.
            let mut waits = pin!(live.waits());
            waits.as_mut().enable();
            let taken = take(body, frames).await;
            if let (Taken::NotYet, false) = (&taken, live.is_waiting()) {
                let _ = tokio::time::timeout(HOLD, waits).await;
            }
            taken
        };
        if let Taken::NotYet = taken {
            taken = take(body, frames).await;
        }
        let no_place = match taken {
            Taken::NotYet | Taken::Enough => self.terms.becomes_stream().err(),
            Taken::All | Taken::Cut(_) => None,
        };
        if let Some(why) = no_place {
            // If it is short and complete in a moment, it need not be a stream.
            let due = Instant::now() + SOON;
            while let (Taken::NotYet, true) = (&taken, Instant::now() < due) {
                let _ = tokio::time::timeout_at(due, live.waits()).await;
                taken = take(body, frames).await;
            }
            if let Taken::NotYet | Taken::Enough = taken {
                return Err(Unanswered::NoStream(why));
            }
        }
        let failure = self.terms.why().or_else(|| live.failure());
        if let (Taken::All | Taken::Cut(_), Some(failure)) = (&taken, failure) {
            return Err(failure.into());
        }
        match taken {
            Taken::NotYet | Taken::Enough => Ok(false),
            Taken::All => match short(bytes(frames), promised) {
                None => Ok(true),
                Some(short) => Err(Unanswered::Cut(short.to_string())),
            },
            Taken::Cut(cause) => Err(Unanswered::Cut(cause)),
        }
    }

    /// The response for the connection. The request goes on as long as its body.
    fn send(self, answered: Answered) -> Response<OutgoingBody> {
        let Answered {
            response,
            frames,
            has_ended,
            is_bare,
            live,
        } = answered;
        if is_bare {
            let length = response.body().size_hint().exact();
            return without_body(response, length);
        }
        let (head, body) = response.into_parts();
        let body = match has_ended {
            true => Body03::whole(frames),
            false => Body03::stream(self, live, frames, body, &head.headers),
        };
        Response::from_parts(head, OutgoingBody::boxed(body))
    }

    /// The answer to a client that gets no response of the app.
    fn refuse(&self, unanswered: Unanswered) -> Response<OutgoingBody> {
        match unanswered {
            Unanswered::Failure(CallFailure::Drained) => {
                self.lease.stats.count_left(|left| left.cut += 1);
                overloaded()
            }
            Unanswered::Failure(CallFailure::NoPlace(why)) => {
                self.shared.complaints.no_place(&why);
                overloaded()
            }
            Unanswered::NoStream(why) => {
                self.lease.runtime.places().turn_away(&why);
                self.shared.complaints.no_place(&why);
                overloaded()
            }
            Unanswered::Failure(failure) if failure.is_client() => {
                BodyRefusal::TooSlow.response(self.shared.limits.whole)
            }
            Unanswered::Failure(failure) => {
                self.fail(&failure);
                failed()
            }
            unanswered => {
                self.complain(&unanswered);
                self.count(RequestEnd::Broken, None);
                failed()
            }
        }
    }

    /// What the instance has done to itself ends this request.
    fn fail(&self, failure: &CallFailure) {
        self.complain(failure);
        if let Some(end) = failure.request_end() {
            self.count(end, None);
        }
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
