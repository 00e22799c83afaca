//! The hold of an exchange on a generation.

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Generation;
use super::source::Source;
use super::stats::Once;
use super::tally::RequestEnd;

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

    /// The generation.
    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The generation, without a hold of it.
    pub(crate) fn weak(&self) -> Weak<Generation> {
        Arc::downgrade(&self.generation)
    }

    /// Whether this lease is on the generation that this is of.
    pub(crate) fn is_of(&self, generation: &Weak<Generation>) -> bool {
        generation.as_ptr() == Arc::as_ptr(&self.generation)
    }

    /// Counts how the request of the exchange ended, as its client saw it. `time`: how
    /// long the answer took.
    pub(crate) fn count(
        &self,
        path: &str,
        source: Source,
        end: RequestEnd,
        time: Option<Duration>,
    ) {
        let stats = &self.generation.stats;
        stats.count_request(&self.counted, path, source, end, time);
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
