//! The called side: accepts connections and checks the address. The rest of a connection is in
//! [`super::caller`].

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cidr, NodeName};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;

use super::caller::Caller;
use super::counters::{CallerCounts, CallerRefusal};
use super::protocol::{self, Body};
use super::{Event, Identity, Peer, Service};

/// The most connections at a time, in all and from one IP.
const CONNECTIONS_MAX: usize = 1024;
const PER_IP_MAX: usize = 8;

/// The most connections of tools at a time, in all and from one IP. They leave room for the
/// members.
const TOOLS_MAX: usize = 32;
const TOOLS_PER_IP_MAX: usize = 4;

/// The most callers at a time whose names are not known yet.
const STRANGERS_MAX: usize = 32;

/// How long to wait when the system has no file descriptors for another connection.
const BREATHER: Duration = Duration::from_millis(100);

/// The time limits for callers and for answers to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerWaits {
    /// Until an answer to a member begins, including its request.
    pub(super) member: Duration,
    /// Until an answer to a tool begins, including its request, which may be a large component
    /// on a slow line.
    pub(super) tool: Duration,
    /// Until a caller reads a piece of an answer.
    pub(super) stall: Duration,
}

/// The limits outside of tests.
pub(crate) const WAITS: ServerWaits = ServerWaits {
    member: Duration::from_secs(10),
    tool: Duration::from_secs(600),
    stall: Duration::from_secs(10),
};

/// The accept loop and all it needs.
pub(crate) struct ControlServer {
    pub(crate) me: NodeName,
    pub(crate) identity: Identity,
    /// The ranges from which callers may come.
    pub(crate) reach: Vec<Cidr>,
    /// Whether an IP is this machine's; tools may call from there too.
    pub(crate) is_here: fn(Ipv4Addr) -> bool,
    /// Answers requests of members and tools, except states.
    pub(crate) service: Arc<dyn Service>,
    /// The runtime in which the service answers; none for the thread of the control channel
    /// itself.
    pub(crate) runtime: Option<Handle>,
    pub(crate) waits: ServerWaits,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) counters: Arc<CallerCounts>,
}

impl ControlServer {
    /// Accepts callers until it is dropped.
    pub(crate) async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        let tools = Arc::new(Tools::default());
        let mut open = Open::default();
        loop {
            let (ip, refusal) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, SocketAddr::V4(from))) => {
                        let ip = *from.ip();
                        (ip, server.admit(stream, ip, &mut open, &strangers, &tools))
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
                server.counters.refused(ip, why);
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        ip: Ipv4Addr,
        open: &mut Open,
        strangers: &Arc<Semaphore>,
        tools: &Arc<Tools>,
    ) -> Option<CallerRefusal> {
        if !self.reaches(ip) && !(self.is_here)(ip) {
            return Some(CallerRefusal::Source);
        }
        let Ok(stranger) = strangers.clone().try_acquire_owned() else {
            return Some(CallerRefusal::Limit);
        };
        if open.total() >= CONNECTIONS_MAX || open.of(ip) >= PER_IP_MAX {
            return Some(CallerRefusal::Limit);
        }
        let caller = Arc::new(Caller::new(ip, self.clone(), tools.clone()));
        open.spawn(
            ip,
            async move { caller.converse(stream, stranger).await.err() },
        );
        None
    }

    /// Whether members may call from this IP.
    pub(super) fn reaches(&self, ip: Ipv4Addr) -> bool {
        self.reach.iter().any(|range| range.contains(ip))
    }

    /// The answer of the service.
    pub(super) async fn ask(&self, from: Peer, request: Request<Incoming>) -> Response<Body> {
        let service = self.service.clone();
        // Made and run in that runtime, so that it takes no time of membership's thread.
        let answer = async move { service.call(from, request).await };
        let Some(runtime) = &self.runtime else {
            return answer.await;
        };
        let mut answering = JoinSet::new();
        answering.spawn_on(answer, runtime);
        match answering.join_next().await {
            Some(Ok(response)) => response,
            // It panicked, or the node stops.
            _ => protocol::refusal(StatusCode::INTERNAL_SERVER_ERROR, "no answer"),
        }
    }
}

/// The connections of tools by their IP.
#[derive(Default)]
pub(super) struct Tools(Mutex<HashMap<Ipv4Addr, usize>>);

impl Tools {
    /// The right to one more connection from this IP, if there is room.
    pub(super) fn room(self: &Arc<Self>, ip: Ipv4Addr) -> Option<ToolRoom> {
        let mut open = self.0.lock();
        if open.values().sum::<usize>() >= TOOLS_MAX {
            return None;
        }
        let count = open.entry(ip).or_insert(0);
        if *count >= TOOLS_PER_IP_MAX {
            return None;
        }
        *count += 1;
        let tools = self.clone();
        Some(ToolRoom { tools, ip })
    }
}

/// The right of one tool to a connection; dropping it gives it back.
pub(super) struct ToolRoom {
    tools: Arc<Tools>,
    ip: Ipv4Addr,
}

impl Drop for ToolRoom {
    fn drop(&mut self) {
        let mut open = self.tools.0.lock();
        if let Some(count) = open.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}

/// The open connections, and the IP of each.
#[derive(Default)]
struct Open {
    tasks: JoinSet<Option<CallerRefusal>>,
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
        connection: impl Future<Output = Option<CallerRefusal>> + Send + 'static,
    ) {
        let id = self.tasks.spawn(connection).id();
        self.ips.insert(id, ip);
        *self.counts.entry(ip).or_insert(0) += 1;
    }

    /// Waits until a connection ends.
    async fn ended(&mut self) -> (Ipv4Addr, Option<CallerRefusal>) {
        loop {
            let (id, refusal) = match self.tasks.join_next_with_id().await {
                Some(Ok((id, refusal))) => (id, refusal),
                // The connection's task panicked: its result is lost, the others go on.
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
