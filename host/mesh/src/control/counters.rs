//! Counts callers by result and reason, and logs refusals at most once a minute for each
//! source.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use cluster::Counted;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// How often refusals of one IP are logged, and how many IPs are remembered for that.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_IPS: usize = 256;

cluster::reasons! {
    /// Why a caller's connection was closed, or its request refused.
    pub enum CallerRefusal;
    /// Callers that were refused, by reason.
    pub struct RefusedCallers;
    /// The caller does not know the cookie, speaks no TLS, or was too slow.
    Handshake, handshake: "without cookie or TLS, or too slow",
        "wrong cookie, or no member of a cluster";
    /// The caller is outside of the subnet and of every allowed range.
    Source, source: "from outside", "outside of the own subnet; --member-net lets it in";
    /// The caller did not give its name, or its IP is not that of its name.
    Hello, hello: "without a name of their IP",
        "it did not say a name with the IP it calls from";
    /// The caller asked for what only members, or only tools, may have.
    Role, role: "asked for what is not theirs",
        "it asked for what only members, or only tools, may have";
    /// There are too many connections.
    Limit, limit: "too many at once", "too many connections";
    /// The caller did not read the answer.
    Stalled, stalled: "did not take their answer", "it did not take the answer it asked for";
}

/// Callers on the control channel since the start, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callers {
    /// Callers that proved that they know the cookie.
    pub admitted: u64,
    /// Callers that were closed, or whose request was refused, for any reason.
    pub refused: u64,
    /// The refused callers, by reason.
    #[serde(default)]
    pub refused_by: RefusedCallers,
}

/// Counts callers.
#[derive(Debug, Default)]
pub(crate) struct CallerCounts {
    callers: Counted<Callers>,
    /// When each source was last logged.
    told: Mutex<HashMap<Ipv4Addr, Instant>>,
}

impl CallerCounts {
    pub(crate) fn now(&self) -> Callers {
        self.callers.now()
    }

    pub(super) fn admitted(&self) {
        self.callers.count(|callers| callers.admitted += 1);
    }

    /// Counts a refusal, and logs it unless this source was logged within the last minute.
    pub(super) fn refused(&self, ip: Ipv4Addr, why: CallerRefusal) {
        self.callers.count(|callers| {
            callers.refused += 1;
            callers.refused_by.count(why);
        });
        if self.is_news(ip) {
            tracing::warn!(%ip, reason = %why, "control connection refused");
        }
    }

    fn is_news(&self, ip: Ipv4Addr) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock();
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
