//! The output of an exchange on its way to the connection: a bounded queue. The
//! exchange's task fills it, and the connection takes from it as the client
//! reads.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// While so many bytes wait, no callback runs for the exchange: 256 KiB.
/// `server.wit` names this limit.
pub(crate) const HIGH_WATER: usize = 256 * 1024;

/// The stream ended before its proper end. The client sees a cut connection, or
/// a reset HTTP/2 stream.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut")]
pub struct StreamCut;

#[derive(Debug, Default)]
struct Queue {
    /// Without memory while it is empty: most streams wait most of the time.
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// They follow the last piece.
    trailers: Option<Box<HeaderMap>>,
    end: Option<Result<(), StreamCut>>,
    /// Whether the connection has dropped its end.
    gone: bool,
    reader: Option<Waker>,
}

/// The exchange's end of the queue.
#[derive(Debug)]
pub(crate) struct OutputQueue(Arc<Shared>);

/// The connection's end of the queue: the body of the response.
#[derive(Debug)]
pub struct OutputBody(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the exchange when the queue is empty, or the client has gone.
    writer: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

/// Makes the two ends of a queue.
pub(crate) fn output_queue() -> (OutputQueue, OutputBody) {
    let shared = Arc::new(Shared::default());
    (OutputQueue(shared.clone()), OutputBody(shared))
}

impl OutputQueue {
    /// Queues data. Empty data does nothing.
    pub(crate) fn data(&self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let bytes = data.len();
        self.push(|queue| {
            queue.bytes += bytes;
            queue.pieces.push_back(data);
        });
    }

    /// Queues the trailers, if there are any, and the end.
    pub(crate) fn finish(&self, trailers: HeaderMap) {
        self.push(|queue| {
            if !trailers.is_empty() {
                queue.trailers = Some(Box::new(trailers));
            }
            queue.end = Some(Ok(()));
        });
    }

    fn push(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.0.lock();
        if queue.gone || queue.end.is_some() {
            return;
        }
        change(&mut queue);
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// How many bytes wait in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().bytes
    }

    /// Waits until the queue is empty or the client has gone. Returns whether
    /// the client is still there.
    pub(crate) async fn drained(&self) -> bool {
        self.until(|queue| queue.bytes == 0 || queue.gone).await;
        !self.0.lock().gone
    }

    /// Whether the client has gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.lock().gone
    }

    /// Waits until the client has gone.
    pub(crate) async fn gone(&self) {
        self.until(|queue| queue.gone).await;
    }

    async fn until(&self, mut reached: impl FnMut(&Queue) -> bool) {
        loop {
            // There is one waiter, and `notify_one` remembers a wake-up that
            // comes between the check and the wait.
            if reached(&self.0.lock()) {
                return;
            }
            self.0.writer.notified().await;
        }
    }
}

impl Drop for OutputQueue {
    /// An exchange that ends without its tail cuts the stream.
    fn drop(&mut self) {
        self.push(|queue| {
            queue.pieces.clear();
            queue.end = Some(Err(StreamCut));
        });
    }
}

impl http_body::Body for OutputBody {
    type Data = Bytes;
    type Error = StreamCut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamCut>>> {
        let mut queue = self.0.lock();
        if let Some(data) = queue.pieces.pop_front() {
            queue.bytes -= data.len();
            let empty = queue.bytes == 0;
            if empty {
                queue.pieces = VecDeque::new();
            }
            drop(queue);
            if empty {
                self.0.writer.notify_one();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = queue.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        match queue.end.take() {
            Some(Ok(())) => {
                queue.end = Some(Ok(()));
                Poll::Ready(None)
            }
            Some(Err(StreamCut)) => Poll::Ready(Some(Err(StreamCut))),
            None => {
                if !queue
                    .reader
                    .as_ref()
                    .is_some_and(|reader| reader.will_wake(cx.waker()))
                {
                    queue.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let queue = self.0.lock();
        queue.pieces.is_empty() && queue.trailers.is_none() && matches!(queue.end, Some(Ok(())))
    }
}

impl Drop for OutputBody {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.gone = true;
        queue.pieces = VecDeque::new();
        queue.bytes = 0;
        drop(queue);
        self.0.writer.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn what_is_queued_comes_out_in_order_and_ends() {
        let (output, body) = output_queue();
        output.data(Bytes::from_static(b"a"));
        output.data(Bytes::new());
        output.data(Bytes::from_static(b"b"));
        let mut trailers = HeaderMap::new();
        trailers.insert("sum", http::HeaderValue::from_static("2"));
        output.finish(trailers);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["sum"], "2");
        assert_eq!(collected.to_bytes(), "ab");
    }

    #[tokio::test]
    async fn a_queue_dropped_before_its_end_cuts_the_stream() {
        let (output, body) = output_queue();
        output.data(Bytes::from_static(b"a"));
        drop(output);
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_full_queue_is_drained_when_the_client_has_read_all() {
        let (output, mut body) = output_queue();
        output.data(vec![0; HIGH_WATER].into());
        assert_eq!(output.waiting(), HIGH_WATER);
        let (_, frame) = tokio::join!(output.drained(), body.frame());
        assert_eq!(
            frame.unwrap().unwrap().into_data().unwrap().len(),
            HIGH_WATER
        );
        assert_eq!(output.waiting(), 0);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_noticed_and_nothing_is_kept_for_it() {
        let (output, body) = output_queue();
        output.data(vec![0; HIGH_WATER].into());
        drop(body);
        output.gone().await;
        assert!(!output.drained().await);
        output.data(vec![0; HIGH_WATER].into());
        assert_eq!(output.waiting(), 0);
    }
}
