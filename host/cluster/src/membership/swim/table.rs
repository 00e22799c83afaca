//! A failure detector that detects nothing and knows only what it was told. Unit tests of
//! membership use it to avoid the traffic of the real one.

use std::collections::{BTreeMap, VecDeque};

use super::{Swim, SwimEvent, SwimState, Unreadable, Update};
use crate::message::KnownRun;
use crate::run::Run;
use crate::{Boot, DownReason, NodeId, Time};

/// What the detector was told, and the events that follow.
#[derive(Default)]
pub(crate) struct TableSwim {
    updates: BTreeMap<NodeId, Update>,
    events: VecDeque<SwimEvent>,
}

impl TableSwim {
    fn learn_one(&mut self, new: Update) {
        let id = new.run.id();
        let is_up = new.state != SwimState::Down;
        let old = self.updates.get(&id).cloned();
        let was_up = old.as_ref().is_some_and(|old| old.state != SwimState::Down);
        if let Some(old) = old {
            if old.run.boot > new.run.boot || old.run == new.run && !was_up {
                return;
            }
            if old.run != new.run {
                self.events.push_back(SwimEvent::Replaced {
                    old: old.run,
                    new: new.run.clone(),
                });
            }
        }
        if is_up && !was_up {
            self.events.push_back(SwimEvent::Up(new.run.clone()));
        } else if !is_up && was_up {
            let reason = new.down_reason().unwrap_or(DownReason::Failed);
            self.events
                .push_back(SwimEvent::Down(new.run.clone(), reason));
        }
        self.updates.insert(id, new);
    }
}

impl Swim for TableSwim {
    fn due(&self) -> Option<Time> {
        None
    }

    fn timer(&mut self, _now: Time, _heard: &dyn Fn(&Run) -> bool) {}

    /// A datagram is a list of updates.
    fn packet(
        &mut self,
        now: Time,
        _from: (NodeId, Boot),
        bytes: &[u8],
        believes: &mut dyn FnMut(&Update) -> bool,
    ) -> Result<(), Unreadable> {
        let mut updates: Vec<Update> = postcard::from_bytes(bytes).map_err(|_| Unreadable)?;
        updates.retain(|update| believes(update));
        self.learn(now, updates);
        Ok(())
    }

    fn learn(&mut self, _now: Time, updates: Vec<Update>) {
        updates
            .into_iter()
            .for_each(|update| self.learn_one(update));
    }

    fn rejoin(&mut self, _now: Time, _me: Run) {}

    fn announce(&mut self, _now: Time, _to: Run) {}

    fn updates(&self) -> Vec<Update> {
        self.updates.values().cloned().collect()
    }

    fn len(&self) -> usize {
        self.updates.len()
    }

    fn known(&self, id: NodeId) -> Option<KnownRun> {
        let update = self.updates.get(&id)?;
        Some(KnownRun {
            boot: update.run.boot,
            down: update.state == SwimState::Down,
        })
    }

    fn poll(&mut self) -> Option<SwimEvent> {
        self.events.pop_front()
    }
}
