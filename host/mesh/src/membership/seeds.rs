//! Nodes to join that have a DNS name. A name is looked up at the start, and again and again
//! while none of its nodes is a member. The addresses go to the core, which asks these nodes to
//! join.
//!
//! A name that cannot be looked up stops nothing: one log line says so, and another one says
//! when it works.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use cluster::{Config, View};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// The most lookups at a time. A lookup that the system does not end keeps its thread, and
/// other lookups wait for a free one.
pub(super) const LOOKUPS_MAX: usize = 8;

/// The waiting times.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeedWaits {
    /// How long a lookup may take. The system itself gives up after some 10 s.
    lookup: Duration,
    /// The pause between two lookups of a name, at first.
    first: Duration,
    /// The pause between two lookups of a name, at most.
    most: Duration,
}

/// The waiting times of a node.
pub(super) const WAITS: SeedWaits = SeedWaits {
    lookup: Duration::from_secs(5),
    first: Duration::from_secs(1),
    most: Duration::from_secs(30),
};

/// How much chance changes each pause.
const JITTER: f64 = 0.25;

/// The most addresses of a name that are joined.
const ADDRESSES_MAX: usize = 16;

/// How often the log says that an address of a name is not allowed.
const QUIET: Duration = Duration::from_secs(60);

/// The longest name, and the longest part of one (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// A node to join, or several, by DNS name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedName {
    host: String,
    port: u16,
}

/// Why a text is no DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedNameError {
    /// The part after the colon is no port.
    #[error("what follows the colon is no port")]
    Port,
    /// The name itself is wrong.
    #[error("it is neither an IPv4 address nor a DNS name of letters, digits, `-`, `_` and dots")]
    Name,
}

impl SeedName {
    /// Takes `NAME` or `NAME:PORT`.
    ///
    /// # Errors
    /// [`SeedNameError`]. A name whose last part is a number is refused: it is a mistyped
    /// address.
    pub fn parse(text: &str, port: u16) -> Result<Self, SeedNameError> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, u16::from_str(port).map_err(|_| SeedNameError::Port)?),
            None => (text, port),
        };
        let label = |label: &str| {
            let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=LABEL_MAX).contains(&label.len()) && label.chars().all(fit)
        };
        let labels = host.strip_suffix('.').unwrap_or(host);
        let last = labels.rsplit('.').next().unwrap_or_default();
        let number = last.chars().all(|c| c.is_ascii_digit());
        if labels.len() > NAME_MAX || number || !labels.split('.').all(label) {
            return Err(SeedNameError::Name);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for SeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Turns names into addresses.
pub(super) trait Lookup: Send + Sync {
    /// All addresses of a name, IPv6 ones too.
    fn look_up(&self, name: &SeedName) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The resolver of this machine: /etc/hosts, then DNS.
pub(super) struct System;

impl Lookup for System {
    async fn look_up(&self, name: &SeedName) -> io::Result<Vec<SocketAddr>> {
        // It runs in a thread of its own, not in membership's.
        let found = tokio::net::lookup_host((name.host.as_str(), name.port)).await?;
        Ok(found.collect())
    }
}

/// The addresses that were found for a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundSeed {
    /// The number of the name.
    pub(super) name: u16,
    pub(super) addresses: Vec<SocketAddrV4>,
}

/// Looks up one name, again and again.
pub(super) struct Search {
    pub(super) number: u16,
    pub(super) name: SeedName,
    /// The IP of this node, which need not be joined.
    pub(super) me: Ipv4Addr,
    /// Says which addresses are allowed.
    pub(super) config: Config,
    pub(super) views: watch::Receiver<Arc<View>>,
    pub(super) found: mpsc::Sender<FoundSeed>,
    pub(super) waits: SeedWaits,
}

impl Search {
    /// Looks the name up for as long as somebody needs it.
    pub(super) async fn run(mut self, lookup: impl Lookup) {
        let mut said = Said::default();
        let mut addresses = Vec::new();
        let mut wait = self.waits.first;
        loop {
            match self.look_up(&lookup).await {
                Ok(found) => {
                    let found = self.allowed(found, &mut said);
                    if std::mem::take(&mut said.failure) || found != addresses {
                        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
                        tracing::info!(
                            name = %self.name,
                            addresses = shown.join(", "),
                            "looked up a name to join"
                        );
                    }
                    addresses = found.clone();
                    let found = FoundSeed {
                        name: self.number,
                        addresses: found,
                    };
                    if self.found.send(found).await.is_err() {
                        return;
                    }
                }
                // The earlier addresses are still asked: old ones are better than none.
                Err(error) => said.failed(&self.name, error),
            }
            sleep(jittered(wait)).await;
            wait = self.waits.most.min(wait * 2);
            let joined = |view: &Arc<View>| {
                let members = view.members.iter().map(|member| member.name.ip());
                let mut others = members.filter(|ip| *ip != self.me);
                others.any(|ip| addresses.iter().any(|address| *address.ip() == ip))
            };
            if joined(&self.views.borrow_and_update()) {
                wait = self.waits.first;
                if self.views.wait_for(|view| !joined(view)).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn look_up(&self, lookup: &impl Lookup) -> Result<Vec<SocketAddrV4>, String> {
        let all = match timeout(self.waits.lookup, lookup.look_up(&self.name)).await {
            Ok(Ok(all)) => all,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {:?}", self.waits.lookup)),
        };
        let mut found = Vec::new();
        for address in all {
            if let SocketAddr::V4(address) = address
                && !found.contains(&address)
            {
                found.push(address);
            }
        }
        match found.is_empty() {
            true => Err("it has no IPv4 address".to_owned()),
            false => Ok(found),
        }
    }

    /// Leaves out addresses that are not allowed, and logs that.
    fn allowed(&self, mut found: Vec<SocketAddrV4>, said: &mut Said) -> Vec<SocketAddrV4> {
        let refused = |address: &&SocketAddrV4| !self.config.allows(*address.ip());
        if let Some(address) = found.iter().find(refused) {
            said.refused(&self.name, *address.ip(), &self.config);
        }
        found.retain(|address| self.config.allows(*address.ip()));
        // Sorted, so that the order does not change with every answer.
        found.sort();
        found.truncate(ADDRESSES_MAX);
        found
    }
}

/// What was logged about a name, so that it is not logged again.
#[derive(Default)]
struct Said {
    /// The name cannot be looked up.
    failure: bool,
    /// An address is not allowed.
    refused: Option<Instant>,
}

impl Said {
    fn failed(&mut self, name: &SeedName, error: String) {
        if !std::mem::replace(&mut self.failure, true) {
            tracing::warn!(%name, error, "cannot look up a name to join; trying again until it works");
        }
    }

    fn refused(&mut self, name: &SeedName, ip: Ipv4Addr, config: &Config) {
        let now = Instant::now();
        if self
            .refused
            .is_none_or(|at| now.duration_since(at) >= QUIET)
        {
            self.refused = Some(now);
            tracing::warn!(
                %name,
                "the name to join is {ip}, which is outside of {}; add --member-net {ip}/32 here, \
                 and --member-net {}/32 there",
                config.subnet,
                config.name.ip(),
            );
        }
    }
}

fn jittered(wait: Duration) -> Duration {
    // Without randomness all waits are equal, which does no harm here.
    let random = SysRng.try_next_u32().unwrap_or(u32::MAX / 2);
    let between = f64::from(random) / f64::from(u32::MAX);
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * between)
}

#[cfg(test)]
mod tests;
