//! What the client of a call does: whether the call waits for it, and for how long it has sent or
//! read nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// No time: the connection waits for the call, and not the other way round.
const NEVER: u64 = u64::MAX;

/// What the bodies of a request and its response know of the client. They write it, and
/// [`Metered`](super::Metered) reads it.
#[derive(Debug)]
pub(crate) struct ClientSide {
    since: Instant,
    /// Whether the call has waited for the body of its request when it was last polled.
    awaited: AtomicBool,
    /// Whether the client has sent nothing for longer than it may.
    silent: AtomicBool,
    /// When the connection took the last piece of the response, in milliseconds after `since`;
    /// `NEVER` while the connection waits for more.
    taken: AtomicU64,
}

impl Default for ClientSide {
    fn default() -> ClientSide {
        ClientSide {
            since: Instant::now(),
            awaited: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            taken: AtomicU64::new(NEVER),
        }
    }
}

impl ClientSide {
    /// The call is about to be polled.
    pub(super) fn begin(&self) {
        self.awaited.store(false, Relaxed);
    }

    /// The call waits for more of the request.
    pub(crate) fn is_awaited(&self) {
        self.awaited.store(true, Relaxed);
    }

    /// The client has sent nothing for longer than it may.
    pub(crate) fn is_silent(&self) {
        self.silent.store(true, Relaxed);
    }

    /// The connection has taken a piece of the response, and comes back when the client has read.
    pub(crate) fn took(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.taken.store(now, Relaxed);
    }

    /// The connection waits for more of the response.
    pub(crate) fn waits(&self) {
        self.taken.store(NEVER, Relaxed);
    }

    /// Whether the call waited for its client when it was last polled.
    pub(super) fn was_awaited(&self) -> bool {
        self.awaited.load(Relaxed)
    }

    /// Whether the client has sent nothing for too long.
    pub(crate) fn sent_nothing(&self) -> bool {
        self.silent.load(Relaxed)
    }

    /// When the client will have read nothing for this time; none while nothing waits for it.
    pub(crate) fn reads_by(&self, limit: Duration) -> Option<Instant> {
        match self.taken.load(Relaxed) {
            NEVER => None,
            taken => (self.since + Duration::from_millis(taken)).checked_add(limit),
        }
    }
}
