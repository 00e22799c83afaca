//! The memory in which requests run until they are answered, kept for the next ones.
//!
//! A callback needs some KiB for a moment. If each request took them from the allocator and gave
//! them back, what a stream keeps would come to lie in the hole, and the next request would need
//! new memory: each idle stream would cost as much as a running callback.
//!
//! A piece of this memory is a task of endless turns: it waits for a request, answers it, and waits
//! again. So the request begins where it runs, and is not moved there.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

/// The most pieces of memory that are kept. What is beyond that goes back to the allocator.
const KEPT_MAX: usize = 64;

/// Pieces of memory that no request runs in.
pub(super) struct RequestMemory<R, A> {
    kept: Arc<Mutex<Vec<Piece<R, A>>>>,
    make: Box<dyn Fn() -> Piece<R, A> + Send + Sync>,
}

/// A piece of memory.
struct Piece<R, A> {
    hatch: Arc<Mutex<Hatch<R, A>>>,
    turns: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Where a request goes in, and its answer comes out.
enum Hatch<R, A> {
    Empty,
    Request(R),
    Answer(A),
}

impl<R: Send + 'static, A: Send + 'static> RequestMemory<R, A> {
    /// Memory in which requests are answered by this function.
    pub(super) fn new<F>(answer: impl Fn(R) -> F + Copy + Send + Sync + 'static) -> Self
    where
        F: Future<Output = A> + Send,
    {
        let make = move || {
            let hatch = Arc::new(Mutex::new(Hatch::Empty));
            let inside = hatch.clone();
            let turns = Box::pin(async move {
                loop {
                    let request = poll_fn(|_| take_request(&inside)).await;
                    let answered = answer(request).await;
                    *inside.lock() = Hatch::Answer(answered);
                }
            });
            Piece { hatch, turns }
        };
        RequestMemory {
            kept: Arc::default(),
            make: Box::new(make),
        }
    }

    /// Answers a request, in memory that was used before if there is some. If what is returned is
    /// dropped before it is done, its memory goes back to the allocator.
    pub(super) fn run(&self, request: R) -> impl Future<Output = A> + Send + use<R, A> {
        let kept = self.kept.clone();
        let last = kept.lock().pop();
        let mut piece = last.unwrap_or_else(&self.make);
        *piece.hatch.lock() = Hatch::Request(request);
        async move {
            let answer = poll_fn(|context| piece.poll_answer(context)).await;
            let mut kept = kept.lock();
            if kept.len() < KEPT_MAX {
                kept.push(piece);
            }
            answer
        }
    }
}

impl<R, A> Piece<R, A> {
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<A> {
        // Its turns have no end.
        let _ = self.turns.as_mut().poll(context);
        let mut hatch = self.hatch.lock();
        match std::mem::replace(&mut *hatch, Hatch::Empty) {
            Hatch::Answer(answer) => Poll::Ready(answer),
            other => {
                *hatch = other;
                Poll::Pending
            }
        }
    }
}

fn take_request<R, A>(hatch: &Mutex<Hatch<R, A>>) -> Poll<R> {
    let mut hatch = hatch.lock();
    match std::mem::replace(&mut *hatch, Hatch::Empty) {
        Hatch::Request(request) => Poll::Ready(request),
        other => {
            *hatch = other;
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums() -> RequestMemory<u8, u32> {
        RequestMemory::new(async |n: u8| {
            let bytes = [n; 1000];
            tokio::task::yield_now().await;
            bytes.iter().map(|n| u32::from(*n)).sum::<u32>()
        })
    }

    #[tokio::test]
    async fn what_is_done_leaves_its_memory_to_the_next_and_what_is_dropped_does_not() {
        let memory = sums();
        assert_eq!(memory.run(1).await, 1000);
        assert_eq!(memory.kept.lock().len(), 1);
        assert_eq!(memory.run(2).await, 2000);
        assert_eq!(memory.kept.lock().len(), 1);
        drop(memory.run(3));
        assert_eq!(memory.kept.lock().len(), 0);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_so_many_pieces() {
        let memory = sums();
        let together: Vec<_> = (0..KEPT_MAX + 5).map(|_| memory.run(1)).collect();
        for answer in together {
            assert_eq!(answer.await, 1000);
        }
        assert_eq!(memory.kept.lock().len(), KEPT_MAX);
    }

    #[tokio::test]
    async fn a_request_that_panics_leaves_nothing_behind() {
        let memory: RequestMemory<bool, ()> = RequestMemory::new(async |panics: bool| {
            assert!(!panics, "on purpose");
        });
        let panicked = tokio::spawn(memory.run(true)).await;
        assert!(panicked.is_err_and(|error| error.is_panic()));
        assert_eq!(memory.kept.lock().len(), 0);
        memory.run(false).await;
    }
}
