//! The connection to one member: dialled when it is needed or kept, dialled
//! again when it is lost.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use cluster::NodeName;
use http::StatusCode;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsStream;

use super::protocol::{self, HELLO, NAME_MAX, ReadError, SYNC};
use super::stream::{Cut, Watched};
use super::tls::Shown;
use super::{EXCHANGE, Event, HANDSHAKE, Identity, MESSAGE_MAX, PING, PING_ANSWER, WINDOW};
use crate::net;

/// How long a connection that is not kept waits for another use.
const IDLE: Duration = Duration::from_secs(30);

/// How long after a lost connection it is dialled again; doubled each time,
/// up to [`REDIAL_MAX`].
const REDIAL: Duration = Duration::from_millis(100);
const REDIAL_MAX: Duration = Duration::from_secs(5);

/// How long the other side has to take note that a connection is closed.
const GOODBYE: Duration = Duration::from_secs(1);

/// What it takes to dial any member. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialler {
    /// Who calls. Connections leave from the IP of this name.
    pub(crate) me: NodeName,
    /// The proof that the cookie is known.
    pub(crate) identity: Identity,
}

/// Why a member could not be reached on the control channel.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no connection within {} s", HANDSHAKE.as_secs())]
    Slow,
    #[error("no TLS, the cookie may be another: {0}")]
    Tls(io::Error),
    #[error("HTTP/2 failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("its answer cannot be read: {0}")]
    Answer(#[from] ReadError),
    #[error("it answers {0}; it may be of another version")]
    Refused(StatusCode),
    #[error("another node answers than was dialled")]
    Impostor,
}

/// An open connection to a member that has proven who it is.
pub(super) struct Connection {
    host: String,
    requests: SendRequest<Full<Bytes>>,
    /// What moves its bytes; none once it has ended.
    driver: Option<JoinHandle<()>>,
    cut: Cut,
    /// The key by which the member has proven that it knows the cookie.
    shown: Shown,
}

impl Dialler {
    /// Connects, and makes sure that it is this node which answers.
    pub(super) async fn dial(
        &self,
        peer: &NodeName,
        at: SocketAddrV4,
    ) -> Result<Connection, DialError> {
        let (tls, shown) = self.handshake(at).await?;
        let (stream, cut) = Watched::new(tls);
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(WINDOW as usize)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING_ANSWER)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        let mut open = Connection {
            host: at.to_string(),
            requests,
            driver: Some(tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "control connection ended");
                }
            })),
            cut,
            shown,
        };
        let said = open
            .exchange(HELLO, protocol::introduce(&self.me), NAME_MAX)
            .await?;
        match protocol::introduced(&said) {
            Some(name) if name == *peer => Ok(open),
            _ => Err(DialError::Impostor),
        }
    }

    /// Connects, with each key that is known until one is right.
    async fn handshake(
        &self,
        at: SocketAddrV4,
    ) -> Result<(TlsStream<TcpStream>, Shown), DialError> {
        let mut with = 0;
        loop {
            let tcp = timeout(HANDSHAKE, net::connect_from(self.me.ip(), at)).await;
            let tcp = tcp
                .map_err(|_| DialError::Slow)?
                .map_err(DialError::Connect)?;
            match self.identity.connect(tcp, with, HANDSHAKE).await {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    with += 1;
                    // Who does not answer in time will not do so the second time.
                    let slow = error.kind() == io::ErrorKind::TimedOut;
                    if slow || with >= self.identity.keys() {
                        return Err(DialError::Tls(error));
                    }
                }
            }
        }
    }
}

impl Connection {
    /// One request and its answer, of at most so many bytes.
    pub(super) async fn exchange(
        &mut self,
        path: &str,
        message: Bytes,
        max: usize,
    ) -> Result<Bytes, DialError> {
        let request = protocol::request(&self.host, path, message);
        let exchange = async {
            let response = self.requests.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(DialError::Refused(response.status()));
            }
            Ok(protocol::read(response.into_body(), max).await?)
        };
        timeout(EXCHANGE, exchange)
            .await
            .unwrap_or(Err(DialError::Slow))
    }

    /// Waits for the connection to end.
    pub(super) async fn ended(&mut self) {
        if let Some(driver) = &mut self.driver {
            // Whether it came to an end or panicked is all the same.
            let _ = driver.await;
            self.driver = None;
        }
    }

    /// Closes it so that the other side knows that it was meant.
    pub(super) async fn close(self) {
        drop(self.requests);
        if let Some(driver) = self.driver {
            let _ = timeout(GOODBYE, driver).await;
        }
    }
}

/// The work of keeping one member connected. Runs until the other ends of its
/// channels are dropped, or it is idle and not kept.
pub(super) struct Link {
    pub(super) dialler: Dialler,
    pub(super) peer: NodeName,
    pub(super) at: SocketAddrV4,
    /// States to send to the member; the answers go to `events`.
    pub(super) states: mpsc::Receiver<Bytes>,
    /// Whether the connection is to be kept although nothing is to be sent.
    pub(super) kept: watch::Receiver<bool>,
    pub(super) events: mpsc::Sender<Event>,
}

/// How the use of a connection ended.
enum End {
    /// It was cut off.
    Lost,
    /// It was closed by the other side, or failed in an exchange.
    Closed,
    /// It is not needed any more.
    Done,
}

impl Link {
    pub(super) async fn run(mut self) {
        let mut wait = REDIAL;
        loop {
            let Some(state) = self.wanted().await else {
                return;
            };
            match self.dialler.dial(&self.peer, self.at).await {
                Ok(mut connection) => {
                    wait = REDIAL;
                    let end = self.serve(&mut connection, state).await;
                    if matches!(end, End::Lost) || connection.cut.seen() {
                        self.lost().await;
                    } else {
                        connection.close().await;
                    }
                    if matches!(end, End::Done) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(member = %self.peer, %error, "control connection not made");
                    if matches!(&error, DialError::Connect(io)
                        if io.kind() == io::ErrorKind::ConnectionRefused)
                    {
                        self.lost().await;
                    }
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(REDIAL_MAX);
        }
    }

    /// Waits until there is a reason to dial. Gives the state to send, if that
    /// is the reason; none if there will never be one.
    async fn wanted(&mut self) -> Option<Option<Bytes>> {
        if *self.kept.borrow_and_update() {
            return Some(self.states.try_recv().ok());
        }
        loop {
            tokio::select! {
                state = self.states.recv() => return state.map(Some),
                changed = self.kept.changed() => {
                    changed.ok()?;
                    if *self.kept.borrow_and_update() {
                        return Some(None);
                    }
                }
                () = sleep(IDLE) => return None,
            }
        }
    }

    async fn serve(&mut self, connection: &mut Connection, first: Option<Bytes>) -> End {
        let mut next = first;
        loop {
            if let Some(state) = next.take() {
                match connection.exchange(SYNC, state, MESSAGE_MAX).await {
                    Ok(bytes) => {
                        let peer = self.peer.clone();
                        let reply = Event::Reply { peer, bytes };
                        if self.events.send(reply).await.is_err() {
                            return End::Done;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(member = %self.peer, %error, "state not exchanged");
                        return End::Closed;
                    }
                }
            }
            let kept = *self.kept.borrow();
            let shown = connection.shown.clone();
            tokio::select! {
                // Dialled again with a key that holds.
                () = self.dialler.identity.revoked(&shown) => return End::Closed,
                () = connection.ended() => {
                    return if connection.cut.seen() { End::Lost } else { End::Closed };
                }
                state = self.states.recv() => match state {
                    Some(state) => next = Some(state),
                    None => return End::Done,
                },
                changed = self.kept.changed() => if changed.is_err() {
                    return End::Done;
                },
                () = sleep(IDLE), if !kept => return End::Done,
            }
        }
    }

    async fn lost(&self) {
        let ip = self.peer.ip();
        // Nobody to tell means that the node stops.
        let _ = self.events.send(Event::Lost { ip }).await;
    }
}
