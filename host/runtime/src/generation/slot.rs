//! The place that holds the generation that serves new exchanges, and also the generation
//! before it until the last exchange has left.
//!
//! There are at most two generations. A caller that wants to load another one first asks
//! for [`Slot::permit`]. The permit comes once the generation that drains is gone; at the
//! end of the drain, the slot ends what is left there. To go back to the generation that
//! drains, a caller need not wait: [`Slot::permit_or_back`] returns it as it is. A caller
//! that waits for the end of the drain lets a caller that goes back pass, and waits again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cluster::Digest;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::generation::Generation;
use crate::generation::{DrainSignals, GenerationStats, Lease};

/// How long exchanges may take to notice that they must end. A guest that runs is
/// interrupted every few milliseconds, so they need far less.
const END: Duration = Duration::from_secs(5);

/// Holds the current generation, and knows the one that drains.
pub struct Slot {
    /// Read once per request, so that the next request on an open connection
    /// sees what was put in last.
    current: ArcSwapOption<Generation>,
    draining: Mutex<Option<DrainingGeneration>>,
    /// Held by the one caller that loads a generation and puts it in.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// How many callers wait for their turn to put the draining generation in again.
    going_back: watch::Sender<usize>,
    drain: Duration,
}

/// A generation that new exchanges do not go to any more.
#[derive(Clone, Debug)]
pub struct DrainingGeneration {
    /// The digest of its component.
    pub digest: Digest,
    /// Since when it drains.
    pub since: Instant,
    /// How many exchanges are still on it, and what became of the others.
    pub stats: Arc<GenerationStats>,
    /// Its signals: what its exchanges are told, and when it is freed.
    pub signals: Arc<DrainSignals>,
    /// The generation itself, as long as any exchange is on it.
    generation: Weak<Generation>,
}

/// The right to load the next generation. There is one permit, and nobody else has it
/// meanwhile. If it is dropped unused, somebody else can get it.
pub struct LoadPermit {
    slot: Arc<Slot>,
    _turn: OwnedMutexGuard<()>,
}

impl Slot {
    /// An empty slot. `drain` is how long exchanges may stay on old code once a third
    /// generation waits for its room.
    pub fn new(drain: Duration) -> Arc<Slot> {
        Arc::new(Slot {
            current: ArcSwapOption::empty(),
            draining: Mutex::new(None),
            turn: Arc::default(),
            going_back: watch::Sender::new(0),
            drain,
        })
    }

    /// The generation that serves now; none before the first one was put in.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// The generation that drains, if there is one.
    pub fn draining(&self) -> Option<DrainingGeneration> {
        let draining = self.draining.lock();
        draining.clone()
    }

    /// How long exchanges that cannot be migrated have to finish.
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// The node stops: no instance waits for a next call any more. Must be called within a tokio
    /// runtime.
    pub fn stop(&self) {
        if let Some(current) = self.current() {
            current.instances.close();
        }
    }

    /// Whether the code of this lease is the newest.
    pub(crate) fn is_current(&self, lease: &Lease) -> bool {
        let current = self.current.load();
        current.as_ref().is_none_or(|current| lease.is_on(current))
    }

    /// Waits for the permit to load a next generation.
    pub async fn permit(self: &Arc<Self>) -> LoadPermit {
        self.claim(None).await.0
    }

    /// Like [`Slot::permit`], for a generation of this component. If that generation drains
    /// and is still used, it is returned as it is, once nobody else loads one. The caller
    /// can put it in again.
    pub(crate) async fn permit_or_back(
        self: &Arc<Self>,
        app: Digest,
    ) -> (LoadPermit, Option<Arc<Generation>>) {
        self.claim(Some(app)).await
    }

    /// The generation of this component, if it drains and is still used.
    pub(crate) async fn back(
        self: &Arc<Self>,
        app: Digest,
    ) -> Option<(LoadPermit, Arc<Generation>)> {
        if !self.is_back(app) {
            return None;
        }
        let turn = self.turn_of(app).await;
        let back = self.draining()?.back(app)?;
        Some((LoadPermit::new(self, turn), back))
    }

    async fn claim(self: &Arc<Self>, app: Option<Digest>) -> (LoadPermit, Option<Arc<Generation>>) {
        loop {
            let turn = match app {
                Some(app) => self.turn_of(app).await,
                None => self.turn.clone().lock_owned().await,
            };
            let Some(draining) = self.draining() else {
                return (LoadPermit::new(self, turn), None);
            };
            if let Some(back) = app.and_then(|app| draining.back(app)) {
                return (LoadPermit::new(self, turn), Some(back));
            }
            tokio::select! {
                biased;
                () = draining.signals.freed() => {}
                () = self.goes_back(true) => {
                    // Nothing is loaded yet, so waiting loses nothing. Going on would end
                    // the generation that another caller wants back.
                    drop(turn);
                    self.goes_back(false).await;
                    continue;
                }
                () = sleep_until(draining.since + self.drain) => self.end(&draining).await,
            }
            *self.draining.lock() = None;
            return (LoadPermit::new(self, turn), None);
        }
    }

    /// Waits for the turn to load this component. If its generation is the one that drains,
    /// callers that wait for the end of the drain let this caller go first.
    async fn turn_of(&self, app: Digest) -> OwnedMutexGuard<()> {
        let _first = self.is_back(app).then(|| First::new(&self.going_back));
        self.turn.clone().lock_owned().await
    }

    /// Whether the generation that drains is of this component and can come back.
    fn is_back(&self, app: Digest) -> bool {
        self.draining()
            .is_some_and(|draining| draining.is_back(app))
    }

    /// Waits until some caller waits to go back (`true`), or until none does (`false`).
    async fn goes_back(&self, whether: bool) {
        let mut going_back = self.going_back.subscribe();
        // The sender is in `self`, so it is not dropped meanwhile.
        let _ = going_back.wait_for(|them| (*them > 0) == whether).await;
    }

    async fn end(&self, draining: &DrainingGeneration) {
        tracing::warn!(
            digest = cluster::short(&draining.digest.to_string()),
            left = draining.stats.live(),
            "a next app waits, and the drain of {} s is over: what is left on the old one is ended",
            self.drain.as_secs_f32(),
        );
        draining.signals.end();
        if timeout(END, draining.signals.freed()).await.is_err() {
            tracing::error!(
                left = draining.stats.live(),
                "an old app is still in use; going on with three for now"
            );
        }
    }
}

impl DrainingGeneration {
    /// Whether this generation is of this component and is still used. A generation that
    /// was told to end does not come back: it would refuse all its requests.
    fn is_back(&self, app: Digest) -> bool {
        self.digest == app && !self.signals.is_over() && self.generation.strong_count() > 0
    }

    fn back(&self, app: Digest) -> Option<Arc<Generation>> {
        self.generation.upgrade().filter(|_| self.is_back(app))
    }
}

/// Held by a caller that waits for its turn to go back.
struct First<'slot>(&'slot watch::Sender<usize>);

impl First<'_> {
    fn new(going_back: &watch::Sender<usize>) -> First<'_> {
        going_back.send_modify(|them| *them += 1);
        First(going_back)
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|them| *them -= 1);
    }
}

impl LoadPermit {
    fn new(slot: &Arc<Slot>, turn: OwnedMutexGuard<()>) -> LoadPermit {
        LoadPermit {
            slot: slot.clone(),
            _turn: turn,
        }
    }

    /// Puts a generation in, in one atomic store, and returns the generation that drains
    /// now. The exchanges there are woken, and migrate. Must be called within a tokio
    /// runtime.
    pub fn put(self, generation: Arc<Generation>) -> Option<DrainingGeneration> {
        let slot = &self.slot;
        let signals = generation.signals.share();
        generation.stats.begin();
        let old = slot.current.swap(Some(generation.clone()));
        let draining = old.map(|old| {
            old.signals.begin_drain();
            old.instances.close();
            let draining = DrainingGeneration {
                digest: old.digest,
                since: Instant::now(),
                stats: old.stats.clone(),
                signals: old.signals.share(),
                generation: Arc::downgrade(&old),
            };
            // If no exchange is on it, this frees its code, which takes some time.
            drop(tokio::task::spawn_blocking(move || drop(old)));
            draining
        });
        generation.open_instances();
        let mut drains = slot.draining.lock();
        let drained = std::mem::replace(&mut *drains, draining.clone());
        drop(drains);
        if drained.is_some_and(|drained| Arc::ptr_eq(&drained.signals, &signals)) {
            signals.come_back();
        }
        if let Some(draining) = &draining {
            let (signals, live) = (draining.signals.clone(), draining.stats.live());
            tokio::spawn(async move { signals.wake(live).await });
        }
        draining
    }
}
