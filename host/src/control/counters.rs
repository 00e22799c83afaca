//! What became of callers: counted by reason.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a caller was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It calls from outside of the subnet and every allowed range.
    Source,
    /// There are too many connections.
    Limit,
    /// It does not know the cookie, or was slow.
    Handshake,
    /// It did not say who it is, or its IP is not that of its name.
    Hello,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Source => "outside of the own subnet; --allow lets it in",
            Refusal::Limit => "too many connections",
            Refusal::Handshake => "wrong cookie, or no member of a cluster",
            Refusal::Hello => "it did not say a name with the IP it calls from",
        })
    }
}

/// Callers by what became of them, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlCounters {
    /// They proved who they are.
    pub admitted: u64,
    /// Closed: from outside of the subnet and every allowed range.
    pub refused_source: u64,
    /// Closed: too many connections.
    pub refused_limit: u64,
    /// Closed: wrong cookie, no TLS, or too slow.
    pub refused_handshake: u64,
    /// Closed: no name, or one whose IP they do not call from.
    pub refused_hello: u64,
}

/// The counters where they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    admitted: AtomicU64,
    source: AtomicU64,
    limit: AtomicU64,
    handshake: AtomicU64,
    hello: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> ControlCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ControlCounters {
            admitted: load(&self.admitted),
            refused_source: load(&self.source),
            refused_limit: load(&self.limit),
            refused_handshake: load(&self.handshake),
            refused_hello: load(&self.hello),
        }
    }

    pub(super) fn admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: Refusal) {
        let counter = match why {
            Refusal::Source => &self.source,
            Refusal::Limit => &self.limit,
            Refusal::Handshake => &self.handshake,
            Refusal::Hello => &self.hello,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
