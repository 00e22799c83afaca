//! The side that is called: accepts and checks the address. What follows on
//! the connection is in [`super::caller`].

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Cidr, NodeName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;

use super::caller::Caller;
use super::counters::{Counters, Refusal};
use super::{Event, Identity};

/// The most connections at a time, and of one IP.
const CONNECTIONS_MAX: usize = 256;
const PER_IP_MAX: usize = 4;

/// The most callers at a time that have not said who they are.
const STRANGERS_MAX: usize = 32;

/// How often refusals of one IP are logged, and of how many IPs that is known.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_IPS: usize = 256;

/// How long to wait when the system has no connection to give, for want of
/// file descriptors.
const BREATHER: Duration = Duration::from_millis(100);

/// The accept loop and all it needs.
pub(crate) struct Server {
    pub(crate) me: NodeName,
    pub(crate) identity: Identity,
    /// Where callers may come from.
    pub(crate) reach: Vec<Cidr>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) counters: Arc<Counters>,
}

impl Server {
    /// Accepts callers until it is dropped.
    pub(crate) async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        let mut open = Open::default();
        let mut quiet = HashMap::new();
        loop {
            let (ip, refusal) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, SocketAddr::V4(from))) => {
                        let ip = *from.ip();
                        (ip, server.admit(stream, ip, &mut open, &strangers))
                    }
                    Ok((_, SocketAddr::V6(_))) => continue,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept control connections");
                        sleep(BREATHER).await;
                        continue;
                    }
                },
                (ip, refusal) = open.ended() => (ip, refusal),
            };
            if let Some(why) = refusal {
                server.counters.refused(why);
                log_once(&mut quiet, ip, why);
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        ip: Ipv4Addr,
        open: &mut Open,
        strangers: &Arc<Semaphore>,
    ) -> Option<Refusal> {
        if !self.reach.iter().any(|range| range.contains(ip)) {
            return Some(Refusal::Source);
        }
        let Ok(stranger) = strangers.clone().try_acquire_owned() else {
            return Some(Refusal::Limit);
        };
        if open.total() >= CONNECTIONS_MAX || open.of(ip) >= PER_IP_MAX {
            return Some(Refusal::Limit);
        }
        let server = self.clone();
        open.spawn(ip, async move {
            let caller = Arc::new(Caller::new(ip, server));
            caller.converse(stream, stranger).await.err()
        });
        None
    }
}

fn log_once(quiet: &mut HashMap<Ipv4Addr, Instant>, ip: Ipv4Addr, why: Refusal) {
    let now = Instant::now();
    if quiet.len() >= QUIET_IPS {
        quiet.retain(|_, said| now.duration_since(*said) < QUIET);
    }
    let said_lately = quiet
        .get(&ip)
        .is_some_and(|said| now.duration_since(*said) < QUIET);
    if !said_lately && quiet.len() < QUIET_IPS {
        quiet.insert(ip, now);
        tracing::warn!(%ip, reason = %why, "control connection refused");
    }
}

/// The open connections, and whose they are.
#[derive(Default)]
struct Open {
    tasks: JoinSet<Option<Refusal>>,
    ips: HashMap<Id, Ipv4Addr>,
    counts: HashMap<Ipv4Addr, usize>,
}

impl Open {
    fn total(&self) -> usize {
        self.ips.len()
    }

    fn of(&self, ip: Ipv4Addr) -> usize {
        self.counts.get(&ip).copied().unwrap_or(0)
    }

    fn spawn(
        &mut self,
        ip: Ipv4Addr,
        connection: impl Future<Output = Option<Refusal>> + Send + 'static,
    ) {
        let id = self.tasks.spawn(connection).id();
        self.ips.insert(id, ip);
        *self.counts.entry(ip).or_insert(0) += 1;
    }

    /// Waits until one ends.
    async fn ended(&mut self) -> (Ipv4Addr, Option<Refusal>) {
        loop {
            let (id, refusal) = match self.tasks.join_next_with_id().await {
                Some(Ok((id, refusal))) => (id, refusal),
                // One that panicked: what it did is lost, the others go on.
                Some(Err(error)) => (error.id(), None),
                None => std::future::pending().await,
            };
            let Some(ip) = self.ips.remove(&id) else {
                continue;
            };
            if let Some(count) = self.counts.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&ip);
                }
            }
            return (ip, refusal);
        }
    }
}
