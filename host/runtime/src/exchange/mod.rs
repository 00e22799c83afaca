//! One request and all that follows from it: callbacks, parts, messages.
//!
//! An exchange that is over after its first callback never leaves the task of
//! its connection. One that goes on gets a task of its own, which owns its
//! state; between two callbacks there is no instance.

mod answer;
mod call;
mod complain;
mod event;
mod fetches;
mod keys;
mod mailbox;
mod memory;
mod migrate;
mod open;
mod run;
mod sequence;
mod try_states;
mod upload;
mod wasi_http;
mod wasi_http_03;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use mailbox::{Mailbox, OUTGOING, Published, Subscriptions, Topics};

use crate::capacity::{NoPlace, PATIENCE};
use crate::generation::{ComponentKind, Generation, Lease, Slot};
use crate::http::{OutgoingBody, RequestHead, empty, request, text};
use crate::views::Views;
pub(crate) use complain::Complaint;
use complain::Complaints;
use memory::RequestMemory;
use open::OpenStreams;
pub use try_states::UnreadableStates;

/// All whole bodies together may take 256 MiB. They are counted in units of 64 KiB.
/// A single body may be larger if the limit of bodies allows it.
const BODY_UNIT: usize = 64 * 1024;
const BODY_UNITS: usize = 4096;
/// Why a body is turned away when they are used up.
const NO_ROOM: NoPlace = NoPlace::Bodies(BODY_UNITS * BODY_UNIT);

/// What all exchanges of a node share.
pub struct Exchanges {
    views: Views,
    /// Shows open exchanges that newer code has come.
    slot: Arc<Slot>,
    own_name: Arc<str>,
    topics: Arc<Topics>,
    /// True once the node begins to stop.
    stopping: watch::Receiver<bool>,
    /// The state that an exchange starts with.
    config: Bytes,
    limits: BodyLimits,
    /// What is left of the memory for whole bodies, in units of [`BODY_UNIT`].
    whole_bodies: Arc<Semaphore>,
    complaints: Complaints,
    live: AtomicUsize,
    /// Copies of the states of open streams.
    open: Arc<OpenStreams>,
    memory: RequestMemory<ToServe, http::Response<OutgoingBody>>,
}

/// A request that is to be answered.
struct ToServe {
    exchanges: Arc<Exchanges>,
    generation: Arc<Generation>,
    head: RequestHead,
    body: Incoming,
}

/// What one app gives its exchanges, besides what all share.
#[derive(Debug)]
pub struct ExchangesConfig {
    /// The app's config of this node: the state that an exchange starts with. If it is empty, that is
    /// what is set in the cluster.
    pub config: Bytes,
    /// The limits of bodies of requests.
    pub bodies: BodyLimits,
}

/// The limits of the body of a request.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The largest whole body, in bytes.
    pub whole: usize,
    /// How long a body may pause before its exchange is ended. After this time, a whole body
    /// must have come at [`BodyLimits::least_rate`] since.
    pub idle: Duration,
    /// The least rate of a whole body, in bytes per second.
    pub least_rate: u64,
    /// How long a client may read nothing of a response that waits for it.
    pub stall: Duration,
}

impl Default for BodyLimits {
    /// 8 MiB; a minute without a byte, 8 KiB per second; five minutes without reading. The
    /// contract in `wit/` names these.
    fn default() -> BodyLimits {
        BodyLimits {
            whole: 8 << 20,
            idle: Duration::from_secs(60),
            least_rate: 8 << 10,
            stall: Duration::from_secs(300),
        }
    }
}

impl Exchanges {
    /// What exchanges share on the node that sees these views. `stopping` becomes
    /// true when the node begins to stop.
    pub fn new(
        views: Views,
        slot: Arc<Slot>,
        stopping: watch::Receiver<bool>,
        config: ExchangesConfig,
    ) -> Arc<Exchanges> {
        Arc::new(Exchanges {
            own_name: views.own_name().to_string().into(),
            views,
            slot,
            topics: Arc::default(),
            stopping,
            config: config.config,
            limits: config.bodies,
            whole_bodies: Arc::new(Semaphore::new(BODY_UNITS)),
            complaints: Complaints::default(),
            live: AtomicUsize::new(0),
            open: Arc::default(),
            memory: RequestMemory::new(ToServe::serve),
        })
    }

    /// The state that an exchange of this generation starts with.
    fn first_state(&self, generation: &Generation) -> Bytes {
        match self.config.is_empty() {
            true => generation.runtime.node.settings().lines().clone(),
            false => self.config.clone(),
        }
    }

    /// For exchanges in which new code is tried before it serves. Nobody else hears
    /// what they publish, and their failures are not logged.
    pub(crate) fn apart(
        views: Views,
        stopping: watch::Receiver<bool>,
        config: ExchangesConfig,
    ) -> Arc<Exchanges> {
        let slot = Slot::new(Duration::ZERO);
        let mut exchanges = Exchanges::new(views, slot, stopping, config);
        if let Some(exchanges) = Arc::get_mut(&mut exchanges) {
            exchanges.complaints = Complaints::kept();
        }
        exchanges
    }

    /// The last failure of the app, if new code is tried here.
    pub(crate) fn complaint(&self) -> Option<Complaint> {
        self.complaints.last()
    }

    /// The topics of this node, and who has subscribed.
    pub fn topics(&self) -> &Arc<Topics> {
        &self.topics
    }

    /// How many exchanges there are now.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// Answers one request, with the generation that was current when it came.
    pub fn serve(
        self: &Arc<Self>,
        generation: Arc<Generation>,
        head: RequestHead,
        body: Incoming,
    ) -> impl Future<Output = http::Response<OutgoingBody>> + Send + use<> {
        self.memory.run(ToServe {
            exchanges: self.clone(),
            generation,
            head,
            body,
        })
    }

    async fn simple(
        self: &Arc<Self>,
        lease: Lease,
        head: RequestHead,
        body: Incoming,
    ) -> http::Response<OutgoingBody> {
        let limit = self.limits.whole;
        let room = self.room_for(&body, limit);
        let Ok(_room) = tokio::time::timeout(PATIENCE, room).await else {
            lease.runtime.places.turn_away(&NO_ROOM);
            self.complaints.no_place(&NO_ROOM);
            return overloaded();
        };
        let read = tokio::select! {
            read = request::whole(body, &self.limits) => read,
            () = lease.signals.over() => {
                lease.stats.count_left(|left| left.cut += 1);
                return overloaded();
            }
        };
        let whole = match read {
            Ok(whole) => whole,
            Err(refusal) => return refusal.response(limit),
        };
        let request = head.to_contract(whole);
        self.run(lease, &head, request, None).await
    }

    /// Waits for memory for this body, which may have so many bytes. Whole bodies are held in
    /// memory, so all of them together have a budget. When it is used up, later requests wait
    /// for a part of it.
    async fn room_for(&self, body: &Incoming, limit: usize) -> OwnedSemaphorePermit {
        let units = request::room(body, limit)
            .div_ceil(BODY_UNIT)
            .min(BODY_UNITS);
        match self
            .whole_bodies
            .clone()
            .acquire_many_owned(units as u32)
            .await
        {
            Ok(room) => room,
            // It is never closed.
            Err(_) => event::never().await,
        }
    }

    async fn streaming(
        self: &Arc<Self>,
        lease: Lease,
        head: RequestHead,
        body: Incoming,
    ) -> http::Response<OutgoingBody> {
        use http_body::Body as _;
        let (kind, body) = match body.is_end_stream() {
            true => (crate::contract::http::RequestBody::None, None),
            false => (crate::contract::http::RequestBody::Streamed, Some(body)),
        };
        let request = head.to_contract(kind);
        self.run(lease, &head, request, body).await
    }

    async fn run(
        self: &Arc<Self>,
        lease: Lease,
        head: &RequestHead,
        request: crate::contract::http::Request,
        body: Option<Incoming>,
    ) -> http::Response<OutgoingBody> {
        run::Exchange::new(self, lease, head, body)
            .answer(request)
            .await
    }
}

impl ToServe {
    async fn serve(self) -> http::Response<OutgoingBody> {
        let ToServe {
            exchanges,
            generation,
            head,
            body,
        } = self;
        let lease = Lease::take(generation);
        match &lease.kind {
            ComponentKind::WasiHttp { .. } => wasi_http::serve(&exchanges, lease, head, body).await,
            ComponentKind::WasiHttp03(_) => {
                wasi_http_03::serve(&exchanges, lease, head, body).await
            }
            ComponentKind::Simple { .. } => exchanges.simple(lease, head, body).await,
            ComponentKind::Streaming(_) => exchanges.streaming(lease, head, body).await,
        }
    }
}

/// The answer to a client whose exchange failed before the response head.
fn failed() -> http::Response<OutgoingBody> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n")
}

/// The answer to a client that asked for something that is not served yet.
fn not_implemented() -> http::Response<OutgoingBody> {
    text(StatusCode::NOT_IMPLEMENTED, "not implemented\n")
}

/// The answer to a client for whose request no instance came free.
fn overloaded() -> http::Response<OutgoingBody> {
    let mut response = text(
        StatusCode::SERVICE_UNAVAILABLE,
        "this node is busy; try again in a moment\n",
    );
    let soon = http::HeaderValue::from_static("1");
    response
        .headers_mut()
        .insert(http::header::RETRY_AFTER, soon);
    response
}

/// Counts an exchange as live until this is dropped.
struct Live(Arc<Exchanges>);

impl Live {
    fn new(exchanges: &Arc<Exchanges>) -> Live {
        exchanges.live.fetch_add(1, Relaxed);
        Live(exchanges.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Relaxed);
    }
}

/// The response to a `HEAD` request: without a body.
fn headless(
    mut response: http::Response<OutgoingBody>,
    length: Option<usize>,
) -> http::Response<OutgoingBody> {
    if let Some(length) = length {
        response
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, length.into());
    }
    response.map(|_| empty())
}
