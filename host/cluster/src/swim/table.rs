//! A failure detector that detects nothing: it knows what it was told. Unit
//! tests of membership use it to be rid of the traffic of the real one.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use super::{State, Swim, SwimEvent, Unreadable, Update};
use crate::message::KnownRun;
use crate::peer::Peer;
use crate::{Boot, DownReason, Time};

/// What was told, and the events that follow from it.
#[derive(Default)]
pub(crate) struct TableSwim {
    updates: BTreeMap<Ipv4Addr, Update>,
    events: VecDeque<SwimEvent>,
}

impl TableSwim {
    fn learn_one(&mut self, new: Update) {
        let ip = new.peer.ip();
        let is_up = new.state != State::Down;
        let old = self.updates.get(&ip).cloned();
        let was_up = old.as_ref().is_some_and(|old| old.state != State::Down);
        if let Some(old) = old {
            if old.peer.boot > new.peer.boot || old.peer == new.peer && !was_up {
                return;
            }
            if old.peer != new.peer {
                self.events.push_back(SwimEvent::Replaced {
                    old: old.peer,
                    new: new.peer.clone(),
                });
            }
        }
        if is_up && !was_up {
            self.events.push_back(SwimEvent::Up(new.peer.clone()));
        } else if !is_up && was_up {
            let reason = new.down_reason().unwrap_or(DownReason::Failed);
            self.events
                .push_back(SwimEvent::Down(new.peer.clone(), reason));
        }
        self.updates.insert(ip, new);
    }
}

impl Swim for TableSwim {
    fn due(&self) -> Option<Time> {
        None
    }

    fn timer(&mut self, _now: Time, _heard: &dyn Fn(&Peer) -> bool) {}

    /// A datagram is a list of updates.
    fn packet(
        &mut self,
        now: Time,
        _from: (Ipv4Addr, Boot),
        bytes: &[u8],
        vet: &mut dyn FnMut(&Update) -> bool,
    ) -> Result<(), Unreadable> {
        let mut updates: Vec<Update> = postcard::from_bytes(bytes).map_err(|_| Unreadable)?;
        updates.retain(|update| vet(update));
        self.learn(now, updates);
        Ok(())
    }

    fn learn(&mut self, _now: Time, updates: Vec<Update>) {
        updates
            .into_iter()
            .for_each(|update| self.learn_one(update));
    }

    fn rejoin(&mut self, _now: Time, _me: Peer) {}

    fn announce(&mut self, _now: Time, _to: Peer) {}

    fn updates(&self) -> Vec<Update> {
        self.updates.values().cloned().collect()
    }

    fn len(&self) -> usize {
        self.updates.len()
    }

    fn known(&self, ip: Ipv4Addr) -> Option<KnownRun> {
        let update = self.updates.get(&ip)?;
        Some(KnownRun {
            boot: update.peer.boot,
            down: update.state == State::Down,
        })
    }

    fn poll(&mut self) -> Option<SwimEvent> {
        self.events.pop_front()
    }
}
