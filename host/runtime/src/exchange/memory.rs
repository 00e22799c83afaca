//! The memory in which requests run until they are answered, kept for the next ones.
//!
//! A callback needs some KiB for a moment. If each request took them from the allocator and gave
//! them back, what a stream keeps would come to lie in the hole, and the next request would need
//! new memory: each idle stream would cost as much as a running callback.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::ReusableBoxFuture;

/// The most pieces of memory that are kept. What is beyond that goes back to the allocator.
const KEPT_MAX: usize = 64;

/// Pieces of memory that no request runs in.
pub(super) struct RequestMemory<T>(Arc<Mutex<Vec<ReusableBoxFuture<'static, T>>>>);

impl<T> Default for RequestMemory<T> {
    fn default() -> RequestMemory<T> {
        RequestMemory(Arc::default())
    }
}

impl<T: 'static> RequestMemory<T> {
    /// Runs this in memory that was used before, if there is some. If what is returned is dropped
    /// before it is done, its memory goes back to the allocator.
    pub(super) fn run<F>(&self, work: F) -> impl Future<Output = T> + Send + use<T, F>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let kept = self.0.clone();
        let last = kept.lock().pop();
        let mut memory = match last {
            Some(mut memory) => {
                memory.set(work);
                memory
            }
            None => ReusableBoxFuture::new(work),
        };
        async move {
            let done = (&mut memory).await;
            let mut kept = kept.lock();
            if kept.len() < KEPT_MAX {
                kept.push(memory);
            }
            done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_leaves_its_memory_to_the_next_and_what_is_dropped_does_not() {
        let memory = RequestMemory::default();
        let large = async |n: u8| {
            let bytes = [n; 1000];
            tokio::task::yield_now().await;
            bytes.iter().map(|n| u32::from(*n)).sum::<u32>()
        };
        assert_eq!(memory.run(large(1)).await, 1000);
        assert_eq!(memory.0.lock().len(), 1);
        assert_eq!(memory.run(large(2)).await, 2000);
        assert_eq!(memory.0.lock().len(), 1);
        drop(memory.run(large(3)));
        assert_eq!(memory.0.lock().len(), 0);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_so_many_pieces() {
        let memory = RequestMemory::default();
        let together = (0..KEPT_MAX + 5).map(|n| memory.run(async move { n }));
        for piece in together.collect::<Vec<_>>() {
            piece.await;
        }
        assert_eq!(memory.0.lock().len(), KEPT_MAX);
    }
}
