//! A component that is loaded and checked, and waits until it is the target.

use std::sync::Arc;
use std::time::Duration;

use cluster::Digest;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use runtime::generation::Generation;
use runtime::loader::Prepared;

/// Holds one component at most. While it holds one, no other can be loaded.
#[derive(Default)]
pub(crate) struct Candidate {
    held: Mutex<Option<Prepared>>,
    /// Notified whenever a component is offered.
    offered: Notify,
}

impl Candidate {
    /// Offers a component, in place of the one before.
    pub(crate) fn offer(&self, ready: Prepared) {
        self.with(|held| *held = Some(ready));
        self.offered.notify_waiters();
    }

    /// Offers a component for this time.
    pub(crate) fn offer_for(self: &Arc<Self>, ready: Prepared, time: Duration) {
        let generation = Arc::downgrade(ready.generation());
        self.offer(ready);
        let held = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(time).await;
            if let (Some(held), Some(generation)) = (held.upgrade(), generation.upgrade()) {
                held.with(|held| {
                    drop(held.take_if(|ready| Arc::ptr_eq(ready.generation(), &generation)));
                });
            }
        });
    }

    /// Drops what is held, to make room for another component.
    pub(crate) fn clear(&self) {
        self.with(|held| *held = None);
    }

    /// The generation of this component, if it is held. It stays.
    pub(crate) fn held(&self, digest: Digest) -> Option<Arc<Generation>> {
        self.with(|held| {
            let generation = held.as_ref()?.generation();
            (generation.digest == digest).then(|| generation.clone())
        })
    }

    /// Takes the component, if it is this one.
    pub(crate) fn take(&self, digest: Digest) -> Option<Prepared> {
        self.with(|held| held.take_if(|ready| ready.generation().digest == digest))
    }

    /// Waits until this component is offered, and takes it.
    pub(crate) async fn wait_for(&self, digest: Digest) -> Prepared {
        loop {
            let offered = self.offered.notified();
            if let Some(ready) = self.take(digest) {
                return ready;
            }
            offered.await;
        }
    }

    /// Drops any other component.
    pub(crate) fn keep_only(&self, digest: Digest) {
        self.with(|held| drop(held.take_if(|ready| ready.generation().digest != digest)));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<Prepared>) -> T) -> T {
        act(&mut self.held.lock())
    }
}
