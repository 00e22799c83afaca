//! The side that is called: accepts, checks the address, then the key, then
//! the name, and only then listens.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::{Cidr, NodeName};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{sleep, timeout};

use super::protocol::{self, HELLO, NAME_MAX, ReadError, SYNC};
use super::stream::Watched;
use super::{EXCHANGE, Event, HANDSHAKE, Identity, MESSAGE_MAX, PING, PING_ANSWER, WINDOW};

/// The most connections at a time, and of one IP.
const CONNECTIONS_MAX: usize = 256;
const PER_IP_MAX: usize = 4;

/// The most callers at a time that have not said who they are.
const STRANGERS_MAX: usize = 32;

/// Requests at a time on one connection; a member has one.
const REQUESTS_MAX: u32 = 4;

/// The most header bytes of a request; a member sends some forty.
const HEADERS_MAX: u32 = 4 * 1024;

/// How often refusals of one IP are logged, and of how many IPs that is known.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_IPS: usize = 256;

/// How long to wait when the system has no connection to give, for want of
/// file descriptors.
const BREATHER: Duration = Duration::from_millis(100);

/// How long a caller has to take note that it is refused.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a caller was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It calls from outside of the subnet and every allowed range.
    Source,
    /// There are too many connections.
    Limit,
    /// It does not know the cookie, or was slow.
    Handshake,
    /// It did not say who it is, or its IP is not that of its name.
    Hello,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Source => "outside of the own subnet; --allow lets it in",
            Refusal::Limit => "too many connections",
            Refusal::Handshake => "wrong cookie, or no member of a cluster",
            Refusal::Hello => "it did not say a name with the IP it calls from",
        })
    }
}

/// Callers by what became of them, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlCounters {
    /// They proved who they are.
    pub admitted: u64,
    /// Closed: from outside of the subnet and every allowed range.
    pub refused_source: u64,
    /// Closed: too many connections.
    pub refused_limit: u64,
    /// Closed: wrong cookie, no TLS, or too slow.
    pub refused_handshake: u64,
    /// Closed: no name, or one whose IP they do not call from.
    pub refused_hello: u64,
}

/// The counters where they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    admitted: AtomicU64,
    source: AtomicU64,
    limit: AtomicU64,
    handshake: AtomicU64,
    hello: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> ControlCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ControlCounters {
            admitted: load(&self.admitted),
            refused_source: load(&self.source),
            refused_limit: load(&self.limit),
            refused_handshake: load(&self.handshake),
            refused_hello: load(&self.hello),
        }
    }

    fn refused(&self, why: Refusal) {
        let counter = match why {
            Refusal::Source => &self.source,
            Refusal::Limit => &self.limit,
            Refusal::Handshake => &self.handshake,
            Refusal::Hello => &self.hello,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The accept loop and all it needs.
pub(crate) struct Server {
    pub(crate) me: NodeName,
    pub(crate) identity: Identity,
    /// Where callers may come from.
    pub(crate) reach: Vec<Cidr>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) counters: Arc<Counters>,
}

impl Server {
    /// Accepts callers until it is dropped.
    pub(crate) async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        let mut open = Open::default();
        let mut quiet = HashMap::new();
        loop {
            let (ip, refusal) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, SocketAddr::V4(from))) => {
                        let ip = *from.ip();
                        (ip, server.admit(stream, ip, &mut open, &strangers))
                    }
                    Ok((_, SocketAddr::V6(_))) => continue,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept control connections");
                        sleep(BREATHER).await;
                        continue;
                    }
                },
                (ip, refusal) = open.ended() => (ip, refusal),
            };
            if let Some(why) = refusal {
                server.counters.refused(why);
                log_once(&mut quiet, ip, why);
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        ip: Ipv4Addr,
        open: &mut Open,
        strangers: &Arc<Semaphore>,
    ) -> Option<Refusal> {
        if !self.reach.iter().any(|range| range.contains(ip)) {
            return Some(Refusal::Source);
        }
        let Ok(stranger) = strangers.clone().try_acquire_owned() else {
            return Some(Refusal::Limit);
        };
        if open.total() >= CONNECTIONS_MAX || open.of(ip) >= PER_IP_MAX {
            return Some(Refusal::Limit);
        }
        let server = self.clone();
        open.spawn(ip, async move {
            let caller = Arc::new(Caller::new(ip, server));
            caller.converse(stream, stranger).await.err()
        });
        None
    }
}

fn log_once(quiet: &mut HashMap<Ipv4Addr, Instant>, ip: Ipv4Addr, why: Refusal) {
    let now = Instant::now();
    if quiet.len() >= QUIET_IPS {
        quiet.retain(|_, said| now.duration_since(*said) < QUIET);
    }
    let said_lately = quiet
        .get(&ip)
        .is_some_and(|said| now.duration_since(*said) < QUIET);
    if !said_lately && quiet.len() < QUIET_IPS {
        quiet.insert(ip, now);
        tracing::warn!(%ip, reason = %why, "control connection refused");
    }
}

/// The open connections, and whose they are.
#[derive(Default)]
struct Open {
    tasks: JoinSet<Option<Refusal>>,
    ips: HashMap<Id, Ipv4Addr>,
    counts: HashMap<Ipv4Addr, usize>,
}

impl Open {
    fn total(&self) -> usize {
        self.ips.len()
    }

    fn of(&self, ip: Ipv4Addr) -> usize {
        self.counts.get(&ip).copied().unwrap_or(0)
    }

    fn spawn(
        &mut self,
        ip: Ipv4Addr,
        connection: impl Future<Output = Option<Refusal>> + Send + 'static,
    ) {
        let id = self.tasks.spawn(connection).id();
        self.ips.insert(id, ip);
        *self.counts.entry(ip).or_insert(0) += 1;
    }

    /// Waits until one ends.
    async fn ended(&mut self) -> (Ipv4Addr, Option<Refusal>) {
        loop {
            let (id, refusal) = match self.tasks.join_next_with_id().await {
                Some(Ok((id, refusal))) => (id, refusal),
                // One that panicked: what it did is lost, the others go on.
                Some(Err(error)) => (error.id(), None),
                None => std::future::pending().await,
            };
            let Some(ip) = self.ips.remove(&id) else {
                continue;
            };
            if let Some(count) = self.counts.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&ip);
                }
            }
            return (ip, refusal);
        }
    }
}

/// One connection that somebody else opened.
struct Caller {
    ip: Ipv4Addr,
    server: Arc<Server>,
    /// Who it is, once it has said so.
    name: OnceLock<NodeName>,
    /// Its hello came, good or bad.
    said_hello: Notify,
}

impl Caller {
    fn new(ip: Ipv4Addr, server: Arc<Server>) -> Self {
        Self {
            ip,
            server,
            name: OnceLock::new(),
            said_hello: Notify::new(),
        }
    }

    /// Serves the connection to its end.
    async fn converse<P>(self: Arc<Self>, stream: TcpStream, stranger: P) -> Result<(), Refusal> {
        let server = &self.server;
        let nodelay = stream.set_nodelay(true);
        let tls = match nodelay {
            Ok(()) => server.identity.accept(stream, HANDSHAKE).await,
            Err(error) => Err(error),
        };
        let tls = tls.map_err(|error| {
            tracing::debug!(ip = %self.ip, %error, "TLS handshake failed");
            Refusal::Handshake
        })?;
        let (stream, cut) = Watched::new(tls);
        let service = service_fn(|request| {
            let caller = self.clone();
            async move { Ok::<_, Infallible>(caller.answer(request).await) }
        });
        let connection = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(WINDOW as usize)
            .max_concurrent_streams(REQUESTS_MAX)
            .max_header_list_size(HEADERS_MAX)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING_ANSWER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = &mut connection => {}
            _ = timeout(HANDSHAKE, self.said_hello.notified()) => {}
        }
        if self.name.get().is_none() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GOODBYE, connection).await;
            return Err(Refusal::Hello);
        }
        drop(stranger);
        server.counters.admitted.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = connection.await {
            tracing::debug!(ip = %self.ip, %error, "control connection ended");
        }
        if cut.seen() {
            let lost = Event::Lost { ip: self.ip };
            // Nobody to tell means that the node stops.
            let _ = server.events.send(lost).await;
        }
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let known = path == HELLO || path == SYNC;
        if known && request.method() != Method::POST {
            return protocol::refusal(StatusCode::METHOD_NOT_ALLOWED, "use POST");
        }
        match path {
            HELLO => {
                let answer = self.hello(request.into_body()).await;
                self.said_hello.notify_one();
                answer
            }
            SYNC => match self.name.get() {
                Some(name) => self.sync(name, request.into_body()).await,
                None => protocol::refusal(StatusCode::FORBIDDEN, "say hello first"),
            },
            _ => protocol::refusal(StatusCode::NOT_FOUND, "this node speaks version 1"),
        }
    }

    async fn hello(&self, body: Incoming) -> Response<Full<Bytes>> {
        let message = match protocol::read(body, NAME_MAX).await {
            Ok(message) => message,
            Err(error) => return unread(&error),
        };
        match protocol::introduced(&message) {
            Some(name) if name.ip() == self.ip && *self.name.get_or_init(|| name.clone()) == name => {
                protocol::answer(protocol::introduce(&self.server.me))
            }
            Some(_) => protocol::refusal(StatusCode::FORBIDDEN, "your IP is not that of your name"),
            None => protocol::refusal(StatusCode::BAD_REQUEST, "this is no NAME@IP"),
        }
    }

    async fn sync(&self, name: &NodeName, body: Incoming) -> Response<Full<Bytes>> {
        let bytes = match protocol::read(body, MESSAGE_MAX).await {
            Ok(bytes) => bytes,
            Err(error) => return unread(&error),
        };
        let (answer, answered) = oneshot::channel();
        let request = Event::Request {
            peer: name.clone(),
            bytes,
            answer,
        };
        let exchange = async {
            self.server.events.send(request).await.ok()?;
            answered.await.ok()
        };
        match timeout(EXCHANGE, exchange).await {
            Ok(Some(state)) => protocol::answer(state),
            Ok(None) | Err(_) => {
                protocol::refusal(StatusCode::SERVICE_UNAVAILABLE, "no answer; not a member?")
            }
        }
    }
}

fn unread(error: &ReadError) -> Response<Full<Bytes>> {
    match error {
        ReadError::TooLong => protocol::refusal(StatusCode::PAYLOAD_TOO_LARGE, "too long"),
        ReadError::TooSlow => protocol::refusal(StatusCode::REQUEST_TIMEOUT, "too slow"),
        ReadError::Cut => protocol::refusal(StatusCode::BAD_REQUEST, "cut off"),
    }
}
