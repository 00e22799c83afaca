//! The client of the control channel. It dials connections when they are needed, shares them,
//! and closes idle ones.
//!
//! A node has two clients. One is for the workers. The other lives on membership's thread, so
//! that busy workers never delay it. That one also tells membership when a connection is cut;
//! [`super::Links`] keeps some open for that.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use cluster::{NodeName, View};
use http::StatusCode;
use hyper::client::conn::http2::SendRequest;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::{Connection, DialError, Dialler};
use super::protocol::{self, Body, REFUSAL_MAX, ReadError};
use super::routes::Route;
use super::{Event, WINDOW};

/// How long an unused connection stays open, for the workers and for membership.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_MEMBERSHIP: Duration = Duration::from_secs(30);

/// The most members that are connected at a time. To connect one more, the longest idle
/// connection is closed.
const POOL_MAX: usize = 512;

/// How much of an answer to the workers may be under way, in bytes: one chunk of a component.
const POOL_WINDOW: u32 = 256 * 1024;

/// Why a member gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The member was not reached, so nothing was sent.
    #[error("not reached: {0}")]
    Dial(DialError),
    /// There are too many connections, and all are in use, so nothing was sent.
    #[error("all {POOL_MAX} connections to members are in use")]
    Busy,
    /// It took too long. The member may have done what was asked.
    #[error("no answer within {} ms", .0.as_millis())]
    Slow(Duration),
    /// The connection broke. The member may have done what was asked.
    #[error("the connection broke: {0}")]
    Broken(hyper::Error),
    /// The answer of the member cannot be read.
    #[error("its answer cannot be read: {0}")]
    Answer(ReadError),
}

impl CallError {
    /// Whether it is certain that the member did not get the request.
    pub fn is_unsent(&self) -> bool {
        matches!(self, CallError::Dial(_) | CallError::Busy)
    }
}

/// Asks members. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Pool>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

struct Pool {
    dialler: Dialler,
    /// The port of the control channel. It is the same on every node, since broadcast needs
    /// that.
    port: u16,
    /// How long an unused connection stays open.
    idle: Duration,
    /// How much of an answer may be under way, in bytes.
    window: u32,
    /// Gets an event when a connection is cut or refused; none for the workers' client.
    lost: Option<mpsc::Sender<Event>>,
    lines: Mutex<HashMap<NodeName, Arc<Line>>>,
}

/// The state of the connection to one member.
struct Line {
    /// The connection. Locked while it is dialled, so that it is dialled once.
    open: tokio::sync::Mutex<Option<Open>>,
    /// How many requests are under way.
    calls: AtomicUsize,
    /// When the last request ended.
    used: Mutex<Instant>,
    /// Signals that the connection is no longer wanted and is to be closed.
    dropped: Notify,
}

/// A connection that is open.
struct Open {
    requests: SendRequest<Body>,
    /// Closed once the connection has ended.
    ended: watch::Receiver<()>,
}

impl Client {
    /// A client for the workers.
    pub(crate) fn new(dialler: Dialler, port: u16) -> Self {
        Self::with(dialler, port, IDLE)
    }

    /// Like `new`, with another time for unused connections.
    pub(super) fn with(dialler: Dialler, port: u16, idle: Duration) -> Self {
        Self(Arc::new(Pool {
            dialler,
            port,
            idle,
            window: POOL_WINDOW,
            lost: None,
            lines: Mutex::default(),
        }))
    }

    /// A client for membership, which gets an event when a connection is cut or refused.
    pub(super) fn for_membership(dialler: Dialler, port: u16, lost: mpsc::Sender<Event>) -> Self {
        Self(Arc::new(Pool {
            dialler,
            port,
            idle: IDLE_MEMBERSHIP,
            window: WINDOW,
            lost: Some(lost),
            lines: Mutex::default(),
        }))
    }

    /// The name of this node.
    pub fn me(&self) -> &NodeName {
        &self.0.dialler.me
    }

    /// The address of a member's control channel.
    pub fn at(&self, member: &NodeName) -> SocketAddrV4 {
        SocketAddrV4::new(member.ip(), self.0.port)
    }

    /// Drops the connections to nodes that are no longer members. A node that was cut off may
    /// come back; on an old connection TCP would then wait as long again as the node was away.
    pub(crate) fn keep(&self, view: &View) {
        self.0.lock().retain(|name, line| {
            let is_member = view.member(name).is_some();
            if !is_member {
                line.dropped.notify_one();
            }
            is_member
        });
    }

    /// Keeps a connection to the member at this address until the connection ends.
    ///
    /// # Errors
    /// The member was not reached.
    pub(super) async fn hold(&self, peer: &NodeName, at: SocketAddrV4) -> Result<(), CallError> {
        let line = self.0.line(peer)?;
        let mut ended = line.connected(&self.0, peer, at).await?.1;
        // Nothing is ever sent: this waits until the other half is dropped.
        while ended.changed().await.is_ok() {}
        Ok(())
    }

    /// Closes the connection to a member, since a request on it failed.
    pub(super) fn forget(&self, peer: &NodeName) {
        if let Some(line) = self.0.lock().remove(peer) {
            line.dropped.notify_one();
        }
    }

    /// Sends a request for a route to a member, within the limits of the route.
    ///
    /// # Errors
    /// [`CallError`]. A refusal by the member is not an error, but a status.
    pub async fn call(
        &self,
        peer: &NodeName,
        route: &Route,
        message: Bytes,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let (max, within) = (route.answer_max, route.within);
        self.request(peer, self.at(peer), route.path, message, max, within)
            .await
    }

    /// Sends a `POST` to the member at this address, and returns its answer of at most `max`
    /// bytes. All of it takes at most `within`.
    ///
    /// # Errors
    /// [`CallError`]. A refusal by the member is not an error, but a status.
    pub async fn request(
        &self,
        peer: &NodeName,
        at: SocketAddrV4,
        path: &str,
        message: Bytes,
        max: usize,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let until = Instant::now() + within;
        let exchange = async {
            let line = self.0.line(peer)?;
            let mut request = protocol::request(&at.to_string(), path, message);
            let mut again = false;
            loop {
                let (mut requests, _) = line.connected(&self.0, peer, at).await?;
                match requests.try_send_request(request).await {
                    Ok(response) => {
                        let status = response.status();
                        let left = until.saturating_duration_since(Instant::now());
                        let max = match response.status().is_success() {
                            true => max,
                            false => max.max(REFUSAL_MAX),
                        };
                        let body = protocol::read(response.into_body(), max, left).await;
                        return match body {
                            // The status already gives the reason of the refusal.
                            Err(ReadError::TooLong) if !status.is_success() => {
                                Ok((status, Bytes::new()))
                            }
                            body => Ok((status, body.map_err(CallError::Answer)?)),
                        };
                    }
                    // The connection was just closed, and nothing was sent.
                    Err(mut error) => match error.take_message() {
                        Some(unsent) if !again => {
                            again = true;
                            request = unsent;
                        }
                        _ => return Err(CallError::Broken(error.into_error())),
                    },
                }
            }
        };
        timeout(within, exchange)
            .await
            .unwrap_or(Err(CallError::Slow(within)))
    }

    /// How many members are connected or being dialled now.
    #[cfg(test)]
    pub(super) fn connected(&self) -> usize {
        self.0.lock().len()
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Arc<Line>>> {
        self.lines.lock()
    }

    /// The line to a member, for one request.
    fn line(self: &Arc<Self>, peer: &NodeName) -> Result<InUse, CallError> {
        let mut lines = self.lock();
        if !lines.contains_key(peer) && lines.len() >= POOL_MAX {
            let idle = lines.iter().filter(|(_, line)| line.is_idle());
            let oldest = idle
                .min_by_key(|(_, line)| line.used())
                .map(|(name, _)| name.clone());
            let dropped = oldest.and_then(|name| lines.remove(&name));
            dropped.ok_or(CallError::Busy)?.dropped.notify_one();
        }
        let line = lines.entry(peer.clone()).or_insert_with(Line::new).clone();
        // Counted under the lock, so that the line is not dropped meanwhile.
        line.calls.fetch_add(1, Relaxed);
        Ok(InUse {
            pool: self.clone(),
            peer: peer.clone(),
            line,
        })
    }

    async fn tell_lost(&self, peer: &NodeName) {
        if let Some(lost) = &self.lost {
            // If there is no receiver, the node stops.
            let _ = lost.send(Event::Lost { ip: peer.ip() }).await;
        }
    }

    /// Forgets a line that was unused for this long. Returns whether it was.
    fn let_go(&self, peer: &NodeName, line: &Arc<Line>, unused: Duration) -> bool {
        let mut lines = self.lock();
        let ours = lines.get(peer).is_some_and(|held| Arc::ptr_eq(held, line));
        let idle = line.is_idle() && line.used().elapsed() >= unused;
        if ours && idle {
            lines.remove(peer);
        }
        idle
    }
}

impl Line {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            open: tokio::sync::Mutex::default(),
            calls: AtomicUsize::new(0),
            used: Mutex::new(Instant::now()),
            dropped: Notify::new(),
        })
    }

    fn is_idle(&self) -> bool {
        self.calls.load(Relaxed) == 0
    }

    fn used(&self) -> Instant {
        *self.used.lock()
    }

    /// The open connection, or a new one.
    async fn connected(
        self: &Arc<Self>,
        pool: &Arc<Pool>,
        peer: &NodeName,
        at: SocketAddrV4,
    ) -> Result<(SendRequest<Body>, watch::Receiver<()>), CallError> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| !open.requests.is_closed()) {
            return Ok((open.requests.clone(), open.ended.clone()));
        }
        *open = None;
        let dialled = pool.dialler.dial(peer, at, pool.window).await;
        if let Err(DialError::Connect(error)) = &dialled
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            pool.tell_lost(peer).await;
        }
        let connection = dialled.map_err(CallError::Dial)?;
        let requests = connection.requests().clone();
        let (lives, ended) = watch::channel(());
        *open = Some(Open {
            requests: requests.clone(),
            ended: ended.clone(),
        });
        let (pool, peer, line) = (pool.clone(), peer.clone(), self.clone());
        tokio::spawn(async move {
            line.tend(pool, peer, connection).await;
            drop(lives);
        });
        Ok((requests, ended))
    }

    /// ServerWaits until the connection is no longer needed or no longer works, and closes it.
    async fn tend(self: Arc<Self>, pool: Arc<Pool>, peer: NodeName, mut connection: Connection) {
        let shown = connection.shown().clone();
        loop {
            tokio::select! {
                () = connection.ended() => break,
                () = pool.dialler.identity.revoked(&shown) => break,
                () = self.dropped.notified() => break,
                () = sleep_until(self.used() + pool.idle) => {
                    if pool.let_go(&peer, &self, pool.idle) {
                        break;
                    }
                    // It is in use; check later whether it is still needed.
                    tokio::time::sleep(pool.idle / 10).await;
                }
            }
        }
        let mut open = self.open.lock().await;
        // If it ended by itself, a new one may have replaced it already.
        if !connection.has_ended() || open.as_ref().is_some_and(|open| open.requests.is_closed()) {
            *open = None;
        }
        if open.is_none() {
            pool.let_go(&peer, &self, Duration::ZERO);
        }
        drop(open);
        if connection.was_cut() {
            pool.tell_lost(&peer).await;
        }
        connection.close().await;
    }
}

/// A line during one request.
struct InUse {
    pool: Arc<Pool>,
    peer: NodeName,
    line: Arc<Line>,
}

impl std::ops::Deref for InUse {
    type Target = Arc<Line>;

    fn deref(&self) -> &Arc<Line> {
        &self.line
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *self.line.used.lock() = Instant::now();
        let mut lines = self.pool.lock();
        let others = self.line.calls.fetch_sub(1, Relaxed) > 1;
        // A line that could not be dialled is forgotten at once.
        let is_open = self
            .line
            .open
            .try_lock()
            .map_or(true, |open| open.is_some());
        let ours = lines
            .get(&self.peer)
            .is_some_and(|held| Arc::ptr_eq(held, &self.line));
        if ours && !others && !is_open {
            lines.remove(&self.peer);
        }
    }
}
