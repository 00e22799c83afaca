//! Sends publications to the members. Each member has a line of its own, which
//! takes publications from the queue of the node as fast as the member accepts
//! them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Boot, Counted, NodeName, View};
use http::StatusCode;
use tokio::sync::broadcast::{Receiver, error};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::batch::{self, BATCH_BYTES, weight};
use crate::app::retry::Retry;
use mesh::control::routes::PUBLISH;
use mesh::control::{CallError, Client};
use mesh::counts::Publications;
use runtime::exchange::{OUTGOING, Published, Topics};

/// How long the line waits before it tries an unreachable member again. The
/// time doubles each time, up to `AGAIN_MAX`. Publications wait in the queue
/// meanwhile.
const AGAIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// How long a batch is kept for a member that cannot be reached.
const KEPT: Duration = Duration::from_secs(5);

/// How often the log says that publications for one member were dropped.
const QUIET: Duration = Duration::from_secs(60);

/// Sends what is published on this node to the members, until there are no more
/// views.
pub async fn run(
    topics: Arc<Topics>,
    mut members: watch::Receiver<Arc<View>>,
    client: Client,
    counters: Arc<Counted<Publications>>,
) {
    let mut tasks = JoinSet::new();
    let mut lines: HashMap<NodeName, (Boot, AbortHandle)> = HashMap::new();
    loop {
        let view = members.borrow_and_update().clone();
        lines.retain(|name, (boot, line)| {
            let mut all = view.members.iter();
            let stays = all.any(|member| member.name == *name && member.boot == *boot);
            if !stays {
                // Publications that wait are of no use to the next run of the
                // member.
                line.abort();
            }
            stays
        });
        for member in view.members.iter().filter(|it| it.name != *client.me()) {
            if !lines.contains_key(&member.name) {
                let line = Line {
                    member: member.name.clone(),
                    queue: topics.outgoing(),
                    held: None,
                    members: members.clone(),
                    client: client.clone(),
                    counters: counters.clone(),
                    dropped: 0,
                    told: None,
                };
                let task = tasks.spawn(line.run());
                lines.insert(member.name.clone(), (member.boot, task));
            }
        }
        // Tasks that have ended are removed.
        while tasks.try_join_next().is_some() {}
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// The line to one member.
struct Line {
    member: NodeName,
    queue: Receiver<Arc<Published>>,
    /// A publication that was taken from the queue and did not fit the batch.
    held: Option<Arc<Published>>,
    members: watch::Receiver<Arc<View>>,
    client: Client,
    counters: Arc<Counted<Publications>>,
    /// How many were dropped since the last log line about it.
    dropped: u64,
    told: Option<Instant>,
}

impl Line {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let batch = self.fill(first);
            self.send(&batch).await;
        }
    }

    /// Waits for the next publication; none if no other will come.
    async fn next(&mut self) -> Option<Arc<Published>> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        loop {
            match self.queue.recv().await {
                Ok(published) => return Some(published),
                Err(error::RecvError::Lagged(many)) => self.dropped(many),
                Err(error::RecvError::Closed) => return None,
            }
        }
    }

    /// Adds publications that wait already, as far as there is room.
    fn fill(&mut self, first: Arc<Published>) -> Vec<Arc<Published>> {
        let mut bytes = weight(&first);
        let mut batch = vec![first];
        while batch.len() < OUTGOING {
            match self.queue.try_recv() {
                Ok(published) => {
                    bytes += weight(&published);
                    if bytes > BATCH_BYTES {
                        self.held = Some(published);
                        return batch;
                    }
                    batch.push(published);
                }
                Err(error::TryRecvError::Lagged(many)) => self.dropped(many),
                Err(_) => return batch,
            }
        }
        batch
    }

    /// Sends a batch once. It is sent again only while nothing of it can have
    /// arrived.
    async fn send(&mut self, batch: &[Arc<Published>]) {
        let many = batch.len() as u64;
        let began = Instant::now();
        let mut retry = Retry::between(AGAIN, AGAIN_MAX);
        let Ok(message) = batch::write(self.boot(), batch) else {
            return self.dropped(many);
        };
        loop {
            let sent = self.client.call(&self.member, &PUBLISH, message.clone());
            match sent.await {
                Ok((StatusCode::OK, _)) => {
                    return self.counters.count(|counts| counts.sent += many);
                }
                Ok((status, _)) => {
                    tracing::debug!(member = %self.member, %status, "it takes no publications");
                    self.dropped(many);
                    return sleep(retry.wait()).await;
                }
                Err(error) if error.is_unsent() && began.elapsed() < KEPT => {
                    sleep(retry.wait()).await;
                }
                Err(error) => {
                    self.failed(many, &error);
                    return sleep(retry.wait()).await;
                }
            }
        }
    }

    /// The boot number of this run. It may have been raised since the start.
    fn boot(&self) -> u64 {
        let view = self.members.borrow();
        let mut members = view.members.iter();
        let me = members.find(|member| member.name == *self.client.me());
        me.map_or(0, |me| me.boot.number())
    }

    fn failed(&mut self, many: u64, error: &CallError) {
        tracing::debug!(member = %self.member, %error, "publications not sent");
        if error.is_unsent() {
            self.dropped(many);
        } else {
            self.counters.count(|counts| counts.uncertain += many);
        }
    }

    fn dropped(&mut self, many: u64) {
        self.counters.count(|counts| counts.dropped += many);
        self.dropped += many;
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            tracing::warn!(
                member = %self.member, dropped = self.dropped,
                "publications for a member were dropped: it takes them too slowly, or is not reached",
            );
            self.dropped = 0;
            self.told = Some(Instant::now());
        }
    }
}
