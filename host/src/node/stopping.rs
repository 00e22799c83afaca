//! The end of a node: leave, stop accepting, drain, give up.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::joined::Joined;
use super::listening::HttpServing;

/// The signals that end a node.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen to the signals. None is lost from now on.
    pub(super) fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Begins to listen to SIGHUP, which would end the process otherwise.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Leaves the cluster, closes the listener, and waits until nothing is open any more, the
/// drain is over, or `at_once` completes.
pub(super) async fn take_down(
    serving: HttpServing,
    joined: Joined,
    drain: Duration,
    at_once: impl Future<Output = ()>,
) {
    let began = Instant::now();
    let exchanges = serving.exchanges;
    tracing::info!(
        exchanges = exchanges.live(),
        "leaving the cluster; open exchanges have {} s to finish, a second signal ends them at once",
        drain.as_secs(),
    );
    // The node tells its exchanges, and closes the listener, while it says that it leaves.
    serving.stop.send_replace(true);
    let drained = async {
        let _ = serving.accepting.await;
        serving.server.drained().await;
    };
    let left = joined.membership.leave();
    let done = async {
        tokio::join!(left, drained);
    };
    tokio::select! {
        () = done => {
            tracing::info!(drained_ms = began.elapsed().as_millis() as u64, "stopped");
        }
        () = tokio::time::sleep(drain) => {
            tracing::warn!(cut = exchanges.live(), "stopped; the drain is over and exchanges were cut");
        }
        () = at_once => {
            tracing::warn!(cut = exchanges.live(), "stopped at once by a second signal");
        }
    }
}
