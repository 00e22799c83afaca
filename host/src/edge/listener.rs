//! The HTTP server of a node: accepts connections, and sends each request to
//! the generation that is current when it comes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use runtime::http::{OutgoingBody, RequestHead, text};

use super::open::{Activity, OpenBody};
use super::socket::watched;
use runtime::exchange::{BodyLimits, Exchanges};
use runtime::generation::Slot;

/// How long a connection is silent before the system asks whether the peer is still there.
const SILENCE: Duration = Duration::from_secs(60);
/// How many bytes may wait in the system to be sent, so that it is soon seen whether the client
/// reads.
const UNSENT: u32 = 128 * 1024;
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
    limits: HttpLimits,
    /// True once the node begins to stop.
    stopping: watch::Receiver<bool>,
    connections: Arc<Semaphore>,
    protocol: Builder<TokioExecutor>,
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
        let mut protocol = Builder::new(TokioExecutor::new());
        protocol
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            // A client may close its sending half and read on. `WatchedSocket` notices one that is gone.
            .half_close(true)
            .max_buf_size(limits.header_bytes.max(8192) as usize);
        protocol
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            .keep_alive_interval(limits.idle / 3)
            .keep_alive_timeout(limits.stall);
        let connections = Arc::new(Semaphore::new(limits.connections as usize));
        Arc::new(Server {
            slot,
            exchanges,
            limits,
            stopping,
            connections,
            protocol,
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
                    tokio::spawn(self.clone().connection(stream, peer, permit));
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

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _permit: OwnedSemaphorePermit,
    ) {
        tune(&stream, self.limits.stall);
        let is_own = stream.local_addr().is_ok_and(|own| own.ip() == peer.ip());
        let (socket, watched) = watched(stream);
        let activity = Arc::new(Activity::default());
        let (server, seen) = (self.clone(), activity.clone());
        let service = service_fn(move |request: http::Request<Incoming>| {
            let open = seen.open(!request.body().is_end_stream());
            let server = server.clone();
            async move {
                let response = server.dispatch(request, peer, is_own).await;
                Ok::<_, Infallible>(response.map(|body| OpenBody::new(body, open)))
            }
        });
        let mut connection = pin!(
            self.protocol
                .serve_connection(TokioIo::new(socket), service)
        );
        let mut stopping = self.stopping.clone();
        let mut gone = pin!(watched.gone(self.limits.half_closed));
        let grace = tokio::select! {
            // Errors here are the client's: it broke off, or sent no HTTP.
            _ = connection.as_mut() => None,
            () = &mut gone => return,
            () = activity.idle(self.limits.idle, || watched.is_unread()) => Some(self.limits.idle),
            _ = stopping.wait_for(|stopping| *stopping) => Some(Duration::MAX),
        };
        if let Some(grace) = grace {
            connection.as_mut().graceful_shutdown();
            // The node cuts what is left when its time to stop is over.
            tokio::select! {
                _ = tokio::time::timeout(grace, connection) => {}
                () = gone => return,
            }
        }
        if activity.may_be_unread() {
            let mut stopping = self.stopping.clone();
            tokio::select! {
                () = watched.linger() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
    }

    /// Sends one request to the generation that is current now.
    async fn dispatch(
        &self,
        request: http::Request<Incoming>,
        peer: SocketAddr,
        is_own: bool,
    ) -> http::Response<OutgoingBody> {
        if let Some(refused) = refuse(&request) {
            return refused;
        }
        let Some(generation) = self.slot.current() else {
            return no_app();
        };
        let (parts, body) = request.into_parts();
        let head = match RequestHead::new(parts, peer) {
            head if is_own => head.from_this_machine(),
            head => head,
        };
        // Boxed: a connection holds the memory of its service's future as long
        // as it lives, and a running callback needs several KiB of it.
        Box::pin(self.exchanges.serve(generation, head, body)).await
    }
}

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
fn refuse(request: &http::Request<Incoming>) -> Option<http::Response<OutgoingBody>> {
    if request.method() == Method::CONNECT {
        return Some(text(StatusCode::NOT_IMPLEMENTED, "this is not a proxy\n"));
    }
    if request.headers().len() > MAX_FIELDS {
        return Some(text(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "a request has at most 100 header fields\n",
        ));
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

fn tune(stream: &TcpStream, stall: Duration) {
    // None of these options is needed to serve. If one is refused, the
    // connection works without it.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    let _ = socket.set_tcp_user_timeout(Some(stall));
    let _ = socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(SILENCE)
            .with_interval(SILENCE / 4),
    );
}
