//! The connections of a client: one to each member, dialled when it is needed, shared by all
//! requests, and closed when it is idle.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use cluster::NodeName;
use hyper::client::conn::http2::SendRequest;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::CallError;
use crate::control::Event;
use crate::control::dial::{Connection, DialError, Dialler};
use crate::control::protocol::Body;

/// The most members that are connected at a time. To connect one more, the longest idle
/// connection is closed.
pub(super) const POOL_MAX: usize = 512;

/// All connections of one client.
pub(super) struct Pool {
    pub(super) dialler: Dialler,
    /// The port of the control channel. It is the same on every node, since broadcast needs
    /// that.
    pub(super) port: u16,
    /// How long an unused connection stays open.
    pub(super) idle: Duration,
    /// How much of an answer may be under way, in bytes.
    pub(super) window: u32,
    /// Gets an event when a connection is cut or refused; none for the workers' client.
    pub(super) lost: Option<mpsc::Sender<Event>>,
    pub(super) lines: Mutex<HashMap<NodeName, Arc<Line>>>,
}

/// The state of the connection to one member.
pub(super) struct Line {
    /// The connection. Locked while it is dialled, so that it is dialled once.
    open: tokio::sync::Mutex<Option<Open>>,
    /// How many requests are under way.
    calls: AtomicUsize,
    /// When the last request ended.
    used: Mutex<Instant>,
    /// Signals that the connection is no longer wanted and is to be closed.
    pub(super) dropped: Notify,
}

/// A connection that is open.
struct Open {
    requests: SendRequest<Body>,
    /// Closed once the connection has ended.
    ended: watch::Receiver<()>,
}

impl Pool {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Arc<Line>>> {
        self.lines.lock()
    }

    /// The line to a member, for one request.
    pub(super) fn line(self: &Arc<Self>, peer: &NodeName) -> Result<InUse, CallError> {
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
    pub(super) async fn connected(
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

    /// Waits until the connection is no longer needed or no longer works, and closes it.
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
pub(super) struct InUse {
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
