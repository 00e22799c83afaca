//! One connection that somebody else opened: the key is checked, then the
//! name, and only then is anything listened to.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cluster::NodeName;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::counters::Refusal;
use super::protocol::{self, HELLO, NAME_MAX, ReadError, SYNC};
use super::server::Server;
use super::stream::Watched;
use super::{EXCHANGE, Event, HANDSHAKE, MESSAGE_MAX, PING, PING_ANSWER, WINDOW};

/// Requests at a time on one connection; a member has one.
const REQUESTS_MAX: u32 = 4;

/// The most header bytes of a request; a member sends some forty.
const HEADERS_MAX: u32 = 4 * 1024;

/// How long a caller has to take note that it is refused.
const GOODBYE: Duration = Duration::from_secs(1);

/// The connection.
pub(super) struct Caller {
    ip: Ipv4Addr,
    server: Arc<Server>,
    /// Who it is, once it has said so.
    name: OnceLock<NodeName>,
    /// Its hello came, good or bad.
    said_hello: Notify,
}

impl Caller {
    pub(super) fn new(ip: Ipv4Addr, server: Arc<Server>) -> Self {
        Self {
            ip,
            server,
            name: OnceLock::new(),
            said_hello: Notify::new(),
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn converse<P>(
        self: Arc<Self>,
        stream: TcpStream,
        stranger: P,
    ) -> Result<(), Refusal> {
        let server = &self.server;
        let nodelay = stream.set_nodelay(true);
        let tls = match nodelay {
            Ok(()) => server.identity.accept(stream, HANDSHAKE).await,
            Err(error) => Err(error),
        };
        let (tls, shown) = tls.map_err(|error| {
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
        server.counters.admitted();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = server.identity.revoked(&shown) => {
                // It may call again with a key that holds.
                connection.as_mut().graceful_shutdown();
                let _ = timeout(GOODBYE, connection).await;
                return Ok(());
            }
        };
        if let Err(error) = ended {
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
            Some(name)
                if name.ip() == self.ip && *self.name.get_or_init(|| name.clone()) == name =>
            {
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
