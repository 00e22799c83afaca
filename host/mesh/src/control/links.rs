//! Membership's use of the control channel: it exchanges states with members, and keeps
//! connections to a few, which show at once when a process ends.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use cluster::{NodeName, View};
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::choice::choose;
use super::routes::SYNC;
use super::{Client, Dialler, Event};

/// How many states may wait for one member. If the states still differ, membership sends the
/// newest again, so one under way and one waiting are enough.
const STATES: usize = 1;

/// The most members to which states are sent at a time. A state for one more is dropped;
/// membership makes up for that as for a lost datagram.
const SYNCS_MAX: usize = 64;

/// How long a member's queue waits for another state.
const IDLE: Duration = Duration::from_secs(30);

/// The pause before a lost connection is dialled again; doubled each time, up to
/// [`REDIAL_MAX`].
const REDIAL: Duration = Duration::from_millis(100);
const REDIAL_MAX: Duration = Duration::from_secs(5);

/// Membership's side of the client. Dropping it drops the connections.
pub(crate) struct Links {
    me: NodeName,
    client: Client,
    events: mpsc::Sender<Event>,
    /// The members to which connections are kept.
    kept: HashMap<NodeName, JoinSet<()>>,
    /// The members to which states are sent.
    states: HashMap<NodeName, mpsc::Sender<Bytes>>,
}

impl Links {
    /// Starts without connections. Their events go to `events`. The port of the control channel
    /// is the same on every node, since broadcast needs that.
    pub(crate) fn new(dialler: Dialler, port: u16, events: mpsc::Sender<Event>) -> Self {
        Self {
            me: dialler.me.clone(),
            client: Client::for_membership(dialler, port, events.clone()),
            events,
            kept: HashMap::new(),
            states: HashMap::new(),
        }
    }

    /// Keeps connections to the chosen members of the view, and drops the others.
    pub(crate) fn keep(&mut self, view: &View) {
        let chosen = choose(&self.me, view);
        self.kept.retain(|name, _| chosen.contains(name));
        for name in chosen {
            let client = &self.client;
            self.kept.entry(name).or_insert_with_key(|name| {
                let mut task = JoinSet::new();
                task.spawn(hold(client.clone(), name.clone()));
                task
            });
        }
    }

    /// Sends a state to a member. If an answer comes, it is an [`Event::Reply`]. Returns
    /// whether there was room for the state.
    pub(crate) fn sync(&mut self, with: SocketAddrV4, name: NodeName, state: Bytes) -> bool {
        self.states.retain(|_, states| !states.is_closed());
        if !self.states.contains_key(&name) && self.states.len() >= SYNCS_MAX {
            return false;
        }
        let (client, events) = (&self.client, &self.events);
        let states = self.states.entry(name).or_insert_with_key(|name| {
            let (states, incoming) = mpsc::channel(STATES);
            let (client, events) = (client.clone(), events.clone());
            tokio::spawn(sync(client, name.clone(), with, incoming, events));
            states
        });
        states.try_send(state).is_ok()
    }
}

/// Keeps a connection to a member, and dials again when it is lost.
async fn hold(client: Client, peer: NodeName) {
    let at = client.at(&peer);
    let mut wait = REDIAL;
    loop {
        match client.hold(&peer, at).await {
            Ok(()) => wait = REDIAL,
            Err(error) => {
                tracing::debug!(member = %peer, %error, "control connection not made");
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(REDIAL_MAX);
    }
}

/// Sends states to a member one after the other, until none has come for [`IDLE`].
async fn sync(
    client: Client,
    peer: NodeName,
    at: SocketAddrV4,
    mut states: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<Event>,
) {
    let mut wait = REDIAL;
    while let Ok(Some(state)) = timeout(IDLE, states.recv()).await {
        let (max, within) = (SYNC.answer_max, SYNC.within);
        let asked = client.request(&peer, at, SYNC.path, state, max, within);
        match asked.await {
            Ok((StatusCode::OK, bytes)) => {
                wait = REDIAL;
                let peer = peer.clone();
                if events.send(Event::Reply { peer, bytes }).await.is_err() {
                    return;
                }
                continue;
            }
            Ok((status, _)) => tracing::debug!(member = %peer, %status, "state not exchanged"),
            Err(error) => tracing::debug!(member = %peer, %error, "state not exchanged"),
        }
        client.forget(&peer);
        sleep(wait).await;
        wait = (wait * 2).min(REDIAL_MAX);
    }
}
