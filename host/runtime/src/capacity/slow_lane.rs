//! The queue of the guests that run long.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where guests that run long take turns, in the order in which they come. There is one place less
/// than there are workers.
#[derive(Clone, Debug)]
pub struct SlowLane(Arc<Semaphore>);

impl SlowLane {
    /// A lane that leaves one of so many workers to other requests. If there is only
    /// one worker, guests that run long take turns with the rest.
    pub fn beside(workers: usize) -> SlowLane {
        SlowLane(Arc::new(Semaphore::new(workers.saturating_sub(1).max(1))))
    }

    /// Waits for a place. The lane is never closed; if it were, there would be none.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }

    /// Whether somebody may wait for a place.
    pub(super) fn is_full(&self) -> bool {
        self.0.available_permits() == 0
    }
}
