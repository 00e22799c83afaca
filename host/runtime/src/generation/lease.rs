//! The hold of an exchange on a generation.

use std::ops::Deref;
use std::sync::Arc;

use super::Generation;
use super::tally::{CallEnd, Once};

/// The hold of one exchange on a generation. It is counted until it is dropped.
#[derive(Debug)]
pub struct Lease {
    generation: Arc<Generation>,
    counted: Once,
}

impl Lease {
    /// Takes hold of a generation.
    pub fn take(generation: Arc<Generation>) -> Lease {
        generation.stats.enter();
        Lease {
            generation,
            counted: Once::default(),
        }
    }

    /// Whether this lease is on this generation.
    pub fn is_on(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.generation, generation)
    }

    /// Counts how a callback of the exchange ended.
    pub(crate) fn count(&self, end: CallEnd) {
        self.generation.stats.count_request(&self.counted, end);
    }
}

impl Deref for Lease {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.generation
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.generation.stats.leave();
    }
}
