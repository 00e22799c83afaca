//! All connections that this node opened: the few it keeps, and those it
//! needed lately.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use bytes::Bytes;
use cluster::{NodeName, View};
use tokio::sync::{mpsc, watch};

use super::choice::choose;
use super::link::Link;
use super::{Dialler, Event};

/// How many states may wait for one member. Membership sends the newest again
/// when it still differs, so one in work and one waiting are enough.
const STATES: usize = 1;

/// The most members that are dialled at a time. A state for one more is
/// dropped, which membership makes up for as it does for a lost datagram.
const LINKS_MAX: usize = 64;

/// The connections to members. Dropping it drops them all.
pub(crate) struct Links {
    dialler: Dialler,
    /// The port of the control channel: the same on every node, as the
    /// broadcast demands.
    port: u16,
    events: mpsc::Sender<Event>,
    links: HashMap<NodeName, Handle>,
}

struct Handle {
    states: mpsc::Sender<Bytes>,
    kept: watch::Sender<bool>,
}

impl Links {
    /// No connections yet. What happens on them goes to `events`.
    pub(crate) fn new(dialler: Dialler, port: u16, events: mpsc::Sender<Event>) -> Self {
        Self {
            dialler,
            port,
            events,
            links: HashMap::new(),
        }
    }

    /// Keeps connections to those members of the view that are chosen, and
    /// lets go of the others.
    pub(crate) fn keep(&mut self, view: &View) {
        let chosen = choose(&self.dialler.me, view);
        self.links.retain(|name, link| {
            let keep = chosen.contains(name);
            link.kept
                .send_if_modified(|kept| std::mem::replace(kept, keep) != keep);
            // One that fell idle has ended by itself.
            !link.states.is_closed()
        });
        for name in chosen {
            if !self.links.contains_key(&name) {
                let at = SocketAddrV4::new(name.ip(), self.port);
                self.open(name, at, true);
            }
        }
    }

    /// Sends a state to a member. The answer comes as [`Event::Reply`], if it
    /// comes. Returns whether there was room for it.
    pub(crate) fn sync(&mut self, with: SocketAddrV4, name: NodeName, state: Bytes) -> bool {
        self.links.retain(|_, link| !link.states.is_closed());
        if let Some(link) = self.links.get(&name) {
            return link.states.try_send(state).is_ok();
        }
        if self.links.len() >= LINKS_MAX {
            return false;
        }
        self.open(name, with, false).try_send(state).is_ok()
    }

    fn open(&mut self, name: NodeName, at: SocketAddrV4, keep: bool) -> mpsc::Sender<Bytes> {
        let (states, incoming) = mpsc::channel(STATES);
        let (kept, keeping) = watch::channel(keep);
        let link = Link {
            dialler: self.dialler.clone(),
            peer: name.clone(),
            at,
            states: incoming,
            kept: keeping,
            events: self.events.clone(),
        };
        tokio::spawn(link.run());
        let handle = Handle {
            states: states.clone(),
            kept,
        };
        self.links.insert(name, handle);
        states
    }
}
