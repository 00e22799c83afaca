//! The end of a node: leave, stop accepting, drain, give up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::edge::Server;
use mesh::membership::Membership;
use runtime::exchange::Exchanges;

/// The signals that end a node.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes note of signals from now on.
    pub(super) fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Takes note of SIGHUP from now on, which would end the process otherwise.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// What is taken down.
pub(super) struct Parts {
    pub(super) membership: Membership,
    pub(super) stop: watch::Sender<bool>,
    pub(super) server: Arc<Server>,
    pub(super) serving: JoinHandle<()>,
    pub(super) exchanges: Arc<Exchanges>,
}

impl Parts {
    /// Leaves the cluster, closes the listener, and waits for what is open:
    /// until it is done, the drain is over, or a second signal comes.
    pub(super) async fn take_down(self, drain: Duration, signals: &mut Signals) {
        let began = Instant::now();
        tracing::info!(
            exchanges = self.exchanges.live(),
            "leaving the cluster; open exchanges have {} s to finish, a second signal ends them at once",
            drain.as_secs(),
        );
        // Exchanges are told, and the listener closes, while the leave is said.
        self.stop.send_replace(true);
        let drained = async {
            let _ = self.serving.await;
            self.server.drained().await;
        };
        let left = self.membership.leave();
        let over = tokio::time::sleep(drain);
        let done = async {
            tokio::join!(left, drained);
        };
        tokio::select! {
            () = done => {
                tracing::info!(drained_ms = began.elapsed().as_millis() as u64, "stopped");
            }
            () = over => {
                tracing::warn!(cut = self.exchanges.live(), "stopped; the drain is over and exchanges were cut");
            }
            () = signals.next() => {
                tracing::warn!(cut = self.exchanges.live(), "stopped at once by a second signal");
            }
        }
    }
}
