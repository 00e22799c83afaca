//! The HTTP server of a node: accepts connections, and sends each request to
//! the generation that is current when it comes.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode, Version, header};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use runtime::http::{OutgoingBody, RequestHead, text};

use super::connection::{Protocols, serve};
use runtime::exchange::{BodyLimits, Exchanges};
use runtime::generation::Slot;

/// How long the accept loop rests when the machine has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(50);

/// How many connections are accepted before others have their turn.
const AT_ONCE: u32 = 512;

/// The limits of a listener.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// How many connections may be open; more wait in the backlog of the kernel.
    pub connections: u32,
    /// Bytes of the header fields of one request.
    pub header_bytes: u32,
    /// How many HTTP/2 streams of one connection may be open at a time.
    pub streams: u32,
    /// How long a connection may take until its first request, and how long it
    /// may be idle between two requests.
    pub idle: Duration,
    /// How long a peer may acknowledge nothing, or read nothing, of what was sent to it.
    pub stall: Duration,
    /// How long a client that sends no more is waited for while nothing is sent to it.
    pub half_closed: Duration,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            connections: 16_384,
            header_bytes: 128 * 1024,
            streams: 256,
            idle: Duration::from_secs(60),
            stall: BodyLimits::default().stall,
            half_closed: Duration::from_secs(5),
        }
    }
}

/// The HTTP server of a node.
pub struct Server {
    slot: Arc<Slot>,
    exchanges: Arc<Exchanges>,
    pub(super) limits: HttpLimits,
    /// True once the node begins to stop.
    pub(super) stopping: watch::Receiver<bool>,
    connections: Arc<Semaphore>,
    pub(super) protocols: Protocols,
}

impl Server {
    /// A server of the generation in the slot. It stops when `stopping` becomes
    /// true.
    pub fn new(
        slot: Arc<Slot>,
        exchanges: Arc<Exchanges>,
        limits: HttpLimits,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Server> {
        let connections = Arc::new(Semaphore::new(limits.connections as usize));
        Arc::new(Server {
            slot,
            exchanges,
            limits,
            stopping,
            connections,
            protocols: Protocols::new(&limits),
        })
    }

    /// Accepts connections until the node begins to stop. Then the listener is
    /// closed. Open connections go on; [`Server::drained`] waits for them.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        // Within the budget of a task it would accept 64 at once, and the next 64 when all others have
        // had their turn. If each of them has a request, the last of a crowd would wait many times as
        // long as the first.
        tokio::task::unconstrained(self.accept_all(listener)).await;
    }

    async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        let mut stopped = pin!(stopping.wait_for(|stopping| *stopping));
        let mut full = false;
        let mut count = 0_u32;
        loop {
            let accepted = tokio::select! {
                _ = &mut stopped => return self.slot.stop(),
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    full = false;
                    tokio::spawn(serve(self.clone(), stream, peer, permit));
                    count = count.wrapping_add(1);
                    if count.is_multiple_of(AT_ONCE) {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut full, true) {
                        tracing::warn!("cannot accept a connection: {error}; trying on");
                    }
                    tokio::time::sleep(NO_ROOM).await;
                }
            }
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = self
            .connections
            .clone()
            .acquire_owned()
            .await
            .map_err(std::io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer, permit))
    }

    /// Waits until every connection is closed.
    pub async fn drained(&self) {
        // All permits are back only when no connection has one.
        let _ = self.connections.acquire_many(self.limits.connections).await;
    }

    /// Sends one request to the generation that is current now, unless no app is to answer it.
    /// What waits for the answer is small: a connection holds the memory of it as long as it lives.
    pub(super) fn dispatch(
        &self,
        request: http::Request<Incoming>,
        peer: SocketAddr,
        is_own: bool,
    ) -> Result<impl Future<Output = http::Response<OutgoingBody>> + use<>, Refused> {
        if let Some(refused) = refuse(&request, self.limits.header_bytes as usize) {
            return Err(Box::new(refused));
        }
        let Some(generation) = self.slot.current() else {
            return Err(Box::new(no_app()));
        };
        let (parts, body) = request.into_parts();
        let head = match RequestHead::new(parts, peer) {
            head if is_own => head.from_this_machine(),
            head => head,
        };
        Ok(self.exchanges.serve(generation, head, body))
    }
}

/// The answer to a request that no app sees.
type Refused = Box<http::Response<OutgoingBody>>;

/// The page of a node that has no app yet. It reloads by itself.
const NO_APP: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
<meta name=viewport content=\"width=device-width\"><meta http-equiv=refresh content=1>\
<title>No app yet</title><p>This node has no app yet. It gets it from the other nodes as soon as one \
has it; this page looks again every second.\n";

fn no_app() -> http::Response<OutgoingBody> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, NO_APP);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    let soon = HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, soon);
    response
}

/// How many header fields a request may have. `http.wit` names this limit; the server of
/// HTTP/1.1 has it by itself.
const MAX_FIELDS: usize = 100;

/// Answers requests that no app can answer, and those that are not well-formed: no client is to
/// provoke a failure of an app with them.
fn refuse(
    request: &http::Request<Incoming>,
    header_bytes: usize,
) -> Option<http::Response<OutgoingBody>> {
    if request.method() == Method::CONNECT {
        return Some(text(StatusCode::NOT_IMPLEMENTED, "this is not a proxy\n"));
    }
    if request.headers().len() > MAX_FIELDS {
        return Some(text(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "a request has at most 100 header fields\n",
        ));
    }
    // The server of HTTP/1.1 looks at its limit only while a head is not complete.
    let fields = request.headers().iter();
    let bytes: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > header_bytes {
        let mut refused = text(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the header fields of the request are too large\n",
        );
        let close = HeaderValue::from_static("close");
        refused.headers_mut().insert(header::CONNECTION, close);
        return Some(refused);
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    let is_one = host.is_some() && hosts.next().is_none();
    if request.version() == Version::HTTP_11 && !is_one {
        return Some(text(
            StatusCode::BAD_REQUEST,
            "a request has one host field\n",
        ));
    }
    if host.is_some_and(|host| !names_host(host)) {
        return Some(text(
            StatusCode::BAD_REQUEST,
            "the host field of a request is a name or an address, and perhaps a port\n",
        ));
    }
    None
}

/// Whether a `host` field names a host: without user, path or blanks, and not empty.
fn names_host(host: &HeaderValue) -> bool {
    let authority = Authority::try_from(host.as_bytes());
    authority.is_ok_and(|authority| {
        let (host, all) = (authority.host(), authority.as_str());
        let has_port = all.len() > host.len();
        !host.is_empty() && !all.contains('@') && (!has_port || authority.port_u16().is_some())
    })
}
