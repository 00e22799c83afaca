//! One connection that another node or a tool opened. The key is checked, then the name; only
//! then are requests served.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster::NodeName;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::counters::CallerRefusal;
use super::protocol::{self, Body, TOOL};
use super::routes::{Audience, HELLO, Route, SYNC};
use super::server::{ControlServer, ToolRoom, Tools};
use super::stall_guard::StallGuard;
use super::stream::Watched;
use super::{EXCHANGE, Event, HANDSHAKE, PING, PING_ANSWER, Peer, WINDOW};

/// The most requests at a time on one connection.
const REQUESTS_MAX: u32 = 4;

/// The most header bytes of a request; a member sends about forty.
const HEADERS_MAX: u32 = 4 * 1024;

/// How long a caller may take to read that it is refused.
const GOODBYE: Duration = Duration::from_secs(1);

/// The connection.
pub(super) struct Caller {
    ip: Ipv4Addr,
    server: Arc<ControlServer>,
    tools: Arc<Tools>,
    /// The caller, once its hello has named it.
    who: OnceLock<Who>,
    /// Why its hello was refused.
    refused: OnceLock<CallerRefusal>,
    /// Signals that its hello came, good or bad.
    said_hello: Notify,
    /// Signals that the caller does not read its answer.
    stalled: Arc<Notify>,
}

/// The caller.
enum Who {
    Member(NodeName),
    Tool {
        /// Held as long as the connection lives.
        _room: ToolRoom,
    },
}

impl Caller {
    pub(super) fn new(ip: Ipv4Addr, server: Arc<ControlServer>, tools: Arc<Tools>) -> Self {
        Self {
            ip,
            server,
            tools,
            who: OnceLock::new(),
            refused: OnceLock::new(),
            said_hello: Notify::new(),
            stalled: Arc::default(),
        }
    }

    /// Serves the connection until it ends.
    pub(super) async fn converse<P>(
        self: Arc<Self>,
        stream: TcpStream,
        stranger: P,
    ) -> Result<(), CallerRefusal> {
        let server = &self.server;
        let nodelay = stream.set_nodelay(true);
        let tls = match nodelay {
            Ok(()) => server.identity.accept(stream, HANDSHAKE).await,
            Err(error) => Err(error),
        };
        let (tls, shown) = tls.map_err(|error| {
            tracing::debug!(ip = %self.ip, %error, "TLS handshake failed");
            CallerRefusal::Handshake
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
        let Some(who) = self.who.get() else {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GOODBYE, connection).await;
            return Err(self.refused.get().copied().unwrap_or(CallerRefusal::Hello));
        };
        drop(stranger);
        server.counters.admitted();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = server.identity.revoked(&shown) => {
                // The caller may call again with a key that is still valid.
                connection.as_mut().graceful_shutdown();
                let _ = timeout(GOODBYE, connection).await;
                return Ok(());
            }
            () = self.stalled.notified() => return Err(CallerRefusal::Stalled),
        };
        if let Err(error) = ended {
            tracing::debug!(ip = %self.ip, %error, "control connection ended");
        }
        // A killed tool says nothing about a member.
        if cut.seen() && matches!(who, Who::Member(_)) {
            let lost = Event::Lost { ip: self.ip };
            // If there is no receiver, the node stops.
            let _ = server.events.send(lost).await;
        }
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(Route { audience, .. }) = Route::of(request.uri().path()) else {
            return protocol::refusal(StatusCode::NOT_FOUND, "this node speaks version 1");
        };
        if *audience != Audience::Tools && request.method() != Method::POST {
            return protocol::refusal(StatusCode::METHOD_NOT_ALLOWED, "use POST");
        }
        if *audience == Audience::Hello {
            let answer = self.hello(request.into_body()).await;
            self.said_hello.notify_one();
            return answer;
        }
        let Some(who) = self.who.get() else {
            return protocol::refusal(StatusCode::FORBIDDEN, "say hello first");
        };
        match (audience, who) {
            (Audience::Sync, Who::Member(name)) => self.sync(name, request.into_body()).await,
            (Audience::Members, Who::Member(name)) => {
                let from = Peer::Member(name.clone());
                self.ask(from, request, self.server.waits.member).await
            }
            (Audience::Tools, Who::Tool { .. }) => {
                self.ask(Peer::Tool(self.ip), request, self.server.waits.tool)
                    .await
            }
            (_, Who::Tool { .. }) => self.not_for("this is for members only"),
            (_, Who::Member(_)) => self.not_for("this is for tools only"),
        }
    }

    fn not_for(&self, why: &'static str) -> Response<Body> {
        self.server.counters.refused(self.ip, CallerRefusal::Role);
        protocol::refusal(StatusCode::FORBIDDEN, why)
    }

    async fn ask(
        &self,
        from: Peer,
        request: Request<Incoming>,
        within: Duration,
    ) -> Response<Body> {
        match timeout(within, self.server.ask(from, request)).await {
            Ok(answer) => {
                let (stall, stalled) = (self.server.waits.stall, self.stalled.clone());
                answer.map(|body| StallGuard::new(body, stall, stalled).boxed())
            }
            Err(_) => protocol::refusal(StatusCode::SERVICE_UNAVAILABLE, "no answer in time"),
        }
    }

    async fn hello(&self, body: Incoming) -> Response<Body> {
        let message = match protocol::read(body, HELLO.message_max, EXCHANGE).await {
            Ok(message) => message,
            Err(error) => return error.refusal(),
        };
        let admitted = match (
            protocol::introduced(&message),
            &message[..] == TOOL.as_bytes(),
        ) {
            (Some(name), _) => self.admit_member(name),
            (None, true) => self.admit_tool(),
            (None, false) => {
                return protocol::refusal(StatusCode::BAD_REQUEST, "this is no NAME@IP");
            }
        };
        match admitted {
            Ok(()) => protocol::answer(protocol::introduce(&self.server.me)),
            Err((why, status, text)) => {
                // Only the first reason counts, so it may be set already.
                let _ = self.refused.set(why);
                protocol::refusal(status, text)
            }
        }
    }

    fn admit_member(
        &self,
        name: NodeName,
    ) -> Result<(), (CallerRefusal, StatusCode, &'static str)> {
        if name.ip() != self.ip {
            let why = "your IP is not that of your name";
            return Err((CallerRefusal::Hello, StatusCode::FORBIDDEN, why));
        }
        if !self.server.reaches(self.ip) {
            let why = "no members are let in from your IP";
            return Err((CallerRefusal::Source, StatusCode::FORBIDDEN, why));
        }
        match self.who.get_or_init(|| Who::Member(name.clone())) {
            Who::Member(known) if *known == name => Ok(()),
            _ => Err((
                CallerRefusal::Hello,
                StatusCode::FORBIDDEN,
                "you were another",
            )),
        }
    }

    fn admit_tool(&self) -> Result<(), (CallerRefusal, StatusCode, &'static str)> {
        match self.who.get() {
            Some(Who::Tool { .. }) => return Ok(()),
            Some(Who::Member(_)) => {
                return Err((
                    CallerRefusal::Hello,
                    StatusCode::FORBIDDEN,
                    "you were a member",
                ));
            }
            None => {}
        }
        let Some(room) = self.tools.room(self.ip) else {
            let why = "too many tools are connected; end one";
            return Err((CallerRefusal::Limit, StatusCode::SERVICE_UNAVAILABLE, why));
        };
        match self.who.get_or_init(|| Who::Tool { _room: room }) {
            Who::Tool { .. } => Ok(()),
            Who::Member(_) => Err((
                CallerRefusal::Hello,
                StatusCode::FORBIDDEN,
                "you were a member",
            )),
        }
    }

    async fn sync(&self, name: &NodeName, body: Incoming) -> Response<Body> {
        let bytes = match protocol::read(body, SYNC.message_max, EXCHANGE).await {
            Ok(bytes) => bytes,
            Err(error) => return error.refusal(),
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
