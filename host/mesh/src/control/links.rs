//! What membership asks of members: it exchanges states with them, and keeps
//! connections to a few, which tell at once when their process ends.

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

/// How many states may wait for one member. Membership sends the newest again
/// when it still differs, so one in work and one waiting are enough.
const STATES: usize = 1;

/// The most members that states are sent to at a time. A state for one more is
/// dropped, which membership makes up for as it does for a lost datagram.
const SYNCS_MAX: usize = 64;

/// How long a member's queue of states waits for another one.
const IDLE: Duration = Duration::from_secs(30);

/// How long after a lost connection it is dialled again; doubled each time,
/// up to [`REDIAL_MAX`].
const REDIAL: Duration = Duration::from_millis(100);
const REDIAL_MAX: Duration = Duration::from_secs(5);

/// Membership's side of the client. Dropping it drops the connections.
pub(crate) struct Links {
    me: NodeName,
    client: Client,
    events: mpsc::Sender<Event>,
    /// The members that connections are kept to.
    kept: HashMap<NodeName, JoinSet<()>>,
    /// The members that states are sent to.
    states: HashMap<NodeName, mpsc::Sender<Bytes>>,
}

impl Links {
    /// No connections yet. What happens on them goes to `events`. The port of
    /// the control channel is the same on every node, as the broadcast demands.
    pub(crate) fn new(dialler: Dialler, port: u16, events: mpsc::Sender<Event>) -> Self {
        Self {
            me: dialler.me.clone(),
            client: Client::for_membership(dialler, port, events.clone()),
            events,
            kept: HashMap::new(),
            states: HashMap::new(),
        }
    }

    /// Keeps connections to those members of the view that are chosen, and
    /// lets go of the others.
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

    /// Sends a state to a member. The answer comes as [`Event::Reply`], if it
    /// comes. Returns whether there was room for it.
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

/// Sends states to a member one after the other, until none has come for long.
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
