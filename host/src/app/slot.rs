//! The place that holds the generation that serves new exchanges, and the one
//! before it until the last exchange has left it.
//!
//! There are at most two generations. Who wants to put in a next one asks for
//! [`Slot::room`] before it loads it: that waits until the one that drains is
//! gone, and at the end of the drain ends what is left on it. Who wants the one
//! that drains itself need not wait: [`Slot::room_or_back`] gives it as it is.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cluster::Digest;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout, timeout_at};

use super::Generation;
use super::life::{Life, Seat};

/// How long what is ended may take to notice. A guest that runs is interrupted
/// every few milliseconds, so far less is needed.
const END: Duration = Duration::from_secs(5);

/// Holds the current generation, and knows the one that drains.
pub struct Slot {
    /// Read once per request, so that the next request on an open connection
    /// sees what was put in last.
    current: ArcSwapOption<Generation>,
    draining: Mutex<Option<Draining>>,
    /// One at a time loads and puts in.
    turn: Arc<tokio::sync::Mutex<()>>,
    drain: Duration,
}

/// A generation that new exchanges do not go to any more.
#[derive(Clone, Debug)]
pub struct Draining {
    /// What it was.
    pub digest: Digest,
    /// Since when.
    pub since: Instant,
    /// What is on it still, and what became of the rest.
    pub life: Arc<Life>,
    /// The generation itself, as long as anything is on it.
    generation: Weak<Generation>,
}

/// The right to load a next generation, and room for it. Nobody else has it
/// meanwhile; dropped unused, it is given back.
pub struct Room {
    slot: Arc<Slot>,
    _turn: OwnedMutexGuard<()>,
}

impl Slot {
    /// An empty slot. `drain` is how long a generation may still have
    /// exchanges once a third one waits for its room.
    pub fn new(drain: Duration) -> Arc<Slot> {
        Arc::new(Slot {
            current: ArcSwapOption::empty(),
            draining: Mutex::new(None),
            turn: Arc::default(),
            drain,
        })
    }

    /// What serves now; none until the first generation is in.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// What drains, if anything does.
    pub fn draining(&self) -> Option<Draining> {
        let draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        draining.clone()
    }

    /// How long exchanges that cannot be carried over have to finish.
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// Whether nothing newer than the code of this place is there.
    pub(crate) fn is_current(&self, seat: &Seat) -> bool {
        let current = self.current.load();
        current.as_ref().is_none_or(|current| seat.is_on(current))
    }

    /// Waits for room for a next generation.
    pub async fn room(self: &Arc<Self>) -> Room {
        let turn = self.turn.clone().lock_owned().await;
        self.room_in(turn).await
    }

    /// The same for a generation of this app; or, if that is the one which drains
    /// and is still used, gives it at once, to be put in again as it is.
    pub(super) async fn room_or_back(
        self: &Arc<Self>,
        app: Digest,
    ) -> (Room, Option<Arc<Generation>>) {
        let turn = self.turn.clone().lock_owned().await;
        let draining = self.draining().filter(|draining| draining.digest == app);
        match draining.and_then(|draining| draining.generation.upgrade()) {
            Some(back) => (Room::new(self, turn), Some(back)),
            None => (self.room_in(turn).await, None),
        }
    }

    async fn room_in(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> Room {
        if let Some(draining) = self.draining() {
            let due = draining.since + self.drain;
            if timeout_at(due, draining.life.freed()).await.is_err() {
                self.end(&draining).await;
            }
            *self.draining.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Room::new(self, turn)
    }

    async fn end(&self, draining: &Draining) {
        tracing::warn!(
            digest = crate::cluster_view::short(&draining.digest.to_string()),
            left = draining.life.live(),
            "a next app waits, and the drain of {} s is over: what is left on the old one is ended",
            self.drain.as_secs_f32(),
        );
        draining.life.end();
        if timeout(END, draining.life.freed()).await.is_err() {
            tracing::error!(
                left = draining.life.live(),
                "an old app is still in use; going on with three for now"
            );
        }
    }
}

impl Room {
    fn new(slot: &Arc<Slot>, turn: OwnedMutexGuard<()>) -> Room {
        Room {
            slot: slot.clone(),
            _turn: turn,
        }
    }

    /// Puts a generation in, in one atomic store, and says what drains now: its
    /// exchanges are woken, and go over. Must be called within a tokio runtime.
    pub fn put(self, generation: Arc<Generation>) -> Option<Draining> {
        let slot = &self.slot;
        let life = generation.life.life();
        life.begin();
        let old = slot.current.swap(Some(generation));
        let draining = old.map(|old| {
            let draining = Draining {
                digest: old.digest,
                since: Instant::now(),
                life: old.life.life(),
                generation: Arc::downgrade(&old),
            };
            // If nothing is on it, this frees it, which takes its time.
            drop(tokio::task::spawn_blocking(move || drop(old)));
            draining
        });
        let mut drains = slot.draining.lock().unwrap_or_else(PoisonError::into_inner);
        let drained = std::mem::replace(&mut *drains, draining.clone());
        drop(drains);
        if drained.is_some_and(|drained| Arc::ptr_eq(&drained.life, &life)) {
            life.come_back();
        }
        if let Some(draining) = &draining {
            let life = draining.life.clone();
            tokio::spawn(async move { life.wake().await });
        }
        draining
    }
}
