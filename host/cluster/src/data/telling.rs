//! What was written lately and is still to be told, for the lines to the members. Each line takes it at
//! its own speed. A line that is too slow loses the oldest: the exchange of state brings it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

/// How many bytes are kept for slow lines.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// The writes that are to be told. All clones are the same.
#[derive(Clone, Default)]
pub(super) struct Telling(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    batches: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the first one.
    first: u64,
    lines: usize,
    wakers: Vec<Waker>,
}

/// One line: what is told to one member from now on.
pub struct DataLine {
    telling: Telling,
    next: u64,
}

impl Telling {
    /// A batch was written. Nobody keeps it if there is no line.
    pub(super) fn push(&self, batch: Bytes) {
        let mut told = self.0.lock();
        if told.lines == 0 || batch.is_empty() {
            return;
        }
        told.bytes += batch.len();
        told.batches.push_back(batch);
        while told.bytes > KEPT_BYTES
            && told.batches.len() > 1
            && let Some(oldest) = told.batches.pop_front()
        {
            told.bytes -= oldest.len();
            told.first += 1;
        }
        let wakers = std::mem::take(&mut told.wakers);
        drop(told);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A new line.
    pub(super) fn line(&self) -> DataLine {
        let mut told = self.0.lock();
        told.lines += 1;
        let next = told.first + told.batches.len() as u64;
        let telling = self.clone();
        DataLine { telling, next }
    }
}

impl DataLine {
    /// Waits for what is to be told: as many batches as have room in `most` bytes, at least one.
    /// Also returns how many were lost before them.
    pub fn poll_next(&mut self, context: &mut Context<'_>, most: usize) -> Poll<(Bytes, u64)> {
        let mut told = self.telling.0.lock();
        let lost = told.first.saturating_sub(self.next);
        self.next = self.next.max(told.first);
        let at = (self.next - told.first) as usize;
        let mut bytes = BytesMut::new();
        let mut taken = 0;
        for batch in told.batches.iter().skip(at) {
            if taken > 0 && bytes.len() + batch.len() > most {
                break;
            }
            bytes.extend_from_slice(batch);
            taken += 1;
        }
        if taken == 0 {
            told.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        self.next += taken;
        Poll::Ready((bytes.freeze(), lost))
    }
}

impl Drop for DataLine {
    fn drop(&mut self) {
        let mut told = self.telling.0.lock();
        told.lines -= 1;
        if told.lines == 0 {
            told.first += told.batches.len() as u64;
            told.batches.clear();
            told.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(line: &mut DataLine, most: usize) -> Option<(usize, u64)> {
        let mut context = Context::from_waker(Waker::noop());
        match line.poll_next(&mut context, most) {
            Poll::Ready((bytes, lost)) => Some((bytes.len(), lost)),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_line_gets_what_was_written_since_and_a_slow_one_loses_the_oldest() {
        let telling = Telling::default();
        telling.push(Bytes::from_static(b"nobody hears"));
        let mut line = telling.line();
        assert_eq!(next(&mut line, 100), None);
        (0..3).for_each(|_| telling.push(Bytes::from(vec![0; 40])));
        assert_eq!(next(&mut line, 100), Some((80, 0)));
        assert_eq!(next(&mut line, 10), Some((40, 0)), "at least one");
        (0..11).for_each(|_| telling.push(Bytes::from(vec![0; 1024 * 1024])));
        assert_eq!(next(&mut line, 1), Some((1024 * 1024, 3)));
        drop(line);
        assert_eq!(telling.0.lock().bytes, 0);
    }
}
