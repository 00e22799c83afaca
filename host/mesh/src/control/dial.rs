//! Dialling, by a member or a tool: TCP, TLS with the cookie's key, HTTP/2 and the hello. The
//! result is a connection to a node that has proven its name.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use bytes::Bytes;
use cluster::NodeName;
use http::StatusCode;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::protocol::{self, Body, ReadError};
use super::routes::{HELLO, Route};
use super::stream::{Cut, Watched};
use super::tls::ShownCertificate;
use super::{EXCHANGE, HANDSHAKE, Identity, PING, PING_ANSWER, WINDOW};
use crate::net;

/// How long the other side may take to notice that a connection is closed.
const GOODBYE: Duration = Duration::from_secs(1);

/// Dials any member. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialler {
    /// The caller. Connections leave from the IP of this name.
    pub(crate) me: NodeName,
    /// The proof that the caller knows the cookie.
    pub(crate) identity: Identity,
}

/// Why a node could not be reached on the control channel.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// TCP failed.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No connection came in time.
    #[error("no connection within {} s", HANDSHAKE.as_secs())]
    Slow,
    /// TLS failed.
    #[error("no TLS, the cookie may be another: {0}")]
    Tls(io::Error),
    /// HTTP/2 failed.
    #[error("HTTP/2 failed: {0}")]
    Http(#[from] hyper::Error),
    /// The answer cannot be read.
    #[error("its answer cannot be read: {0}")]
    Answer(#[from] ReadError),
    /// The node refused.
    #[error("it answers {0}; it may be of another version")]
    Refused(StatusCode),
    /// The node that answers is not the dialled one.
    #[error("another node answers than was dialled")]
    Impostor,
}

/// An open connection to a node that has proven its name.
pub(super) struct Connection {
    host: String,
    requests: SendRequest<Body>,
    /// The task that moves its bytes; none once it has ended.
    driver: Option<JoinHandle<()>>,
    cut: Cut,
    /// The key that the node has shown as proof of the cookie.
    shown: ShownCertificate,
}

impl Dialler {
    /// Connects to a member, and checks that the right node answers. Up to `window` bytes of
    /// its answers may be under way at a time.
    pub(super) async fn dial(
        &self,
        peer: &NodeName,
        at: SocketAddrV4,
        window: u32,
    ) -> Result<Connection, DialError> {
        let mut open = Connection::open(&self.identity, Some(self.me.ip()), at, window).await?;
        match open.hello(protocol::introduce(&self.me)).await? {
            name if name == *peer => Ok(open),
            _ => Err(DialError::Impostor),
        }
    }
}

impl Connection {
    /// Connects, from this IP or from one that the system chooses. The caller's name is not
    /// sent yet.
    pub(super) async fn open(
        identity: &Identity,
        from: Option<Ipv4Addr>,
        at: SocketAddrV4,
        window: u32,
    ) -> Result<Self, DialError> {
        let (tls, shown) = handshake(identity, from, at).await?;
        let (stream, cut) = Watched::new(tls);
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(window)
            .initial_connection_window_size(window)
            .max_send_buf_size(WINDOW as usize)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING_ANSWER)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            host: at.to_string(),
            requests,
            driver: Some(tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "control connection ended");
                }
            })),
            cut,
            shown,
        })
    }

    /// Sends the caller's name, and returns the name of the node that answers.
    pub(super) async fn hello(&mut self, who: Bytes) -> Result<NodeName, DialError> {
        let said = self.exchange(&HELLO, who).await?;
        protocol::introduced(&said).ok_or(DialError::Impostor)
    }

    /// Sends one request and reads its answer, within the limits of the route.
    pub(super) async fn exchange(
        &mut self,
        route: &Route,
        message: Bytes,
    ) -> Result<Bytes, DialError> {
        let request = protocol::request(&self.host, route.path, message);
        let exchange = async {
            let response = self.requests.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(DialError::Refused(response.status()));
            }
            let max = route.answer_max;
            Ok(protocol::read(response.into_body(), max, EXCHANGE).await?)
        };
        timeout(route.within, exchange)
            .await
            .unwrap_or(Err(DialError::Slow))
    }

    /// The address and port of the node.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Sends requests on the connection.
    pub(super) fn requests(&self) -> &SendRequest<Body> {
        &self.requests
    }

    /// The key that the node has shown.
    pub(super) fn shown(&self) -> &ShownCertificate {
        &self.shown
    }

    /// Whether the connection was cut off, and not closed.
    pub(super) fn was_cut(&self) -> bool {
        self.cut.seen()
    }

    /// Whether the connection's task has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.driver.is_none()
    }

    /// Waits for the connection to end.
    pub(super) async fn ended(&mut self) {
        if let Some(driver) = &mut self.driver {
            // A normal end and a panic count alike.
            let _ = driver.await;
            self.driver = None;
        }
    }

    /// Closes the connection so that the other side knows that this is on purpose. What is
    /// still under way has a second.
    pub(super) async fn close(self) {
        drop(self.requests);
        if let Some(mut driver) = self.driver
            && timeout(GOODBYE, &mut driver).await.is_err()
        {
            driver.abort();
        }
    }
}

/// Connects with each known key in turn, until one works.
async fn handshake(
    identity: &Identity,
    from: Option<Ipv4Addr>,
    at: SocketAddrV4,
) -> Result<(TlsStream<TcpStream>, ShownCertificate), DialError> {
    let mut with = 0;
    loop {
        let connect = async {
            match from {
                Some(ip) => net::connect_from(ip, at).await,
                None => net::connect(at).await,
            }
        };
        let tcp = timeout(HANDSHAKE, connect).await;
        let tcp = tcp
            .map_err(|_| DialError::Slow)?
            .map_err(DialError::Connect)?;
        match identity.connect(tcp, with, HANDSHAKE).await {
            Ok(connected) => return Ok(connected),
            Err(error) => {
                with += 1;
                // A node that did not answer in time will not do so the second time.
                if error.kind() == io::ErrorKind::TimedOut {
                    return Err(DialError::Slow);
                }
                if with >= identity.keys() {
                    return Err(DialError::Tls(error));
                }
            }
        }
    }
}
