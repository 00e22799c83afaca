//! The client of the control channel. It dials connections when they are needed, shares them,
//! and closes idle ones.
//!
//! A node has two clients. One is for the workers. The other lives on membership's thread, so
//! that busy workers never delay it. That one also tells membership when a connection is cut;
//! [`super::Links`] keeps some open for that.

mod pool;

use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{NodeName, View};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use self::pool::{POOL_MAX, Pool};
use super::dial::{DialError, Dialler};
use super::protocol::{self, REFUSAL_MAX, ReadError};
use super::routes::Route;
use super::{Event, WINDOW};

/// How long an unused connection stays open, for the workers and for membership.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_MEMBERSHIP: Duration = Duration::from_secs(30);

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
