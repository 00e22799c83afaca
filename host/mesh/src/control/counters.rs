//! What became of callers: counted by reason, and told to people at most once
//! a minute for each source.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often refusals of one IP are logged, and of how many IPs that is known.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_IPS: usize = 256;

/// Why a caller was closed, or a request of it refused.
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
    /// It asked for what members only, or tools only, may have.
    Role,
    /// It did not take what it asked for.
    Stalled,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Source => "outside of the own subnet; --allow lets it in",
            Refusal::Limit => "too many connections",
            Refusal::Handshake => "wrong cookie, or no member of a cluster",
            Refusal::Hello => "it did not say a name with the IP it calls from",
            Refusal::Role => "it asked for what only members, or only tools, may have",
            Refusal::Stalled => "it did not take the answer it asked for",
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
    /// Requests for what is not for members, or not for tools.
    pub refused_role: u64,
    /// Closed: they left an answer lying.
    pub refused_stalled: u64,
}

impl ControlCounters {
    /// How many were refused, for whatever reason.
    pub fn refused(&self) -> u64 {
        self.refused_source
            + self.refused_limit
            + self.refused_handshake
            + self.refused_hello
            + self.refused_role
            + self.refused_stalled
    }
}

/// The counters where they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    admitted: AtomicU64,
    source: AtomicU64,
    limit: AtomicU64,
    handshake: AtomicU64,
    hello: AtomicU64,
    role: AtomicU64,
    stalled: AtomicU64,
    /// When each source was last told of.
    told: Mutex<HashMap<Ipv4Addr, Instant>>,
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
            refused_role: load(&self.role),
            refused_stalled: load(&self.stalled),
        }
    }

    pub(super) fn admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts, and logs unless this source was in the log within the last
    /// minute.
    pub(super) fn refused(&self, ip: Ipv4Addr, why: Refusal) {
        let counter = match why {
            Refusal::Source => &self.source,
            Refusal::Limit => &self.limit,
            Refusal::Handshake => &self.handshake,
            Refusal::Hello => &self.hello,
            Refusal::Role => &self.role,
            Refusal::Stalled => &self.stalled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if self.is_news(ip) {
            tracing::warn!(%ip, reason = %why, "control connection refused");
        }
    }

    fn is_news(&self, ip: Ipv4Addr) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= QUIET_IPS {
            told.retain(|_, said| now.duration_since(*said) < QUIET);
        }
        let lately = told
            .get(&ip)
            .is_some_and(|said| now.duration_since(*said) < QUIET);
        let is_news = !lately && told.len() < QUIET_IPS;
        if is_news {
            told.insert(ip, now);
        }
        is_news
    }
}
