//! The connection to one member: dialled when it is needed or kept, dialled
//! again when it is lost.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use cluster::NodeName;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::dial::{Connection, DialError, Dialler};
use super::protocol::SYNC;
use super::{Event, MESSAGE_MAX};

/// How long a connection that is not kept waits for another use.
const IDLE: Duration = Duration::from_secs(30);

/// How long after a lost connection it is dialled again; doubled each time,
/// up to [`REDIAL_MAX`].
const REDIAL: Duration = Duration::from_millis(100);
const REDIAL_MAX: Duration = Duration::from_secs(5);

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
                    if matches!(end, End::Lost) || connection.was_cut() {
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
            let shown = connection.shown().clone();
            tokio::select! {
                // Dialled again with a key that holds.
                () = self.dialler.identity.revoked(&shown) => return End::Closed,
                () = connection.ended() => {
                    return if connection.was_cut() { End::Lost } else { End::Closed };
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
