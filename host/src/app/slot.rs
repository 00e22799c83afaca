//! The place that holds the generation that serves new exchanges.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Generation;

/// Holds the current generation. Read once per request, so that the next
/// request on an open connection sees what was put in last.
#[derive(Default)]
pub struct Slot(ArcSwapOption<Generation>);

impl Slot {
    /// An empty slot.
    pub fn new() -> Slot {
        Slot::default()
    }

    /// What serves now; none until the first generation is in.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.0.load_full()
    }

    /// Puts a generation in, in one atomic store.
    pub fn put(&self, generation: Arc<Generation>) {
        self.0.store(Some(generation));
    }
}
