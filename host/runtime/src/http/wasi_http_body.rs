//! The body that a `wasi:http` component writes, with the task in which the
//! component runs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http_body::{Body as _, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::StreamCut;
use crate::capacity::ClientSide;
use crate::generation::CallFailure;

/// How long a component may go on after its response was sent.
const AFTER_RESPONSE: Duration = Duration::from_secs(30);

/// What may be read ahead of a response for which there is no place as a stream, and how long
/// that may take.
const SHORT: usize = 64 * 1024;
const SOON: Duration = Duration::from_millis(500);
/// The connection gets no more than this at a time. A client that reads so much within the stall
/// limit reads.
const PIECE: usize = 64 * 1024;

/// Ends a task when nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(pub(crate) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body that a `wasi:http` component writes. If the client goes away before its
/// end, the component is ended too.
#[derive(Debug)]
pub struct WasiHttpBody {
    body: HyperOutgoingBody,
    /// What was read ahead, and what is left of a large piece.
    ahead: VecDeque<Frame<Bytes>>,
    /// How it ended, if that was read ahead.
    ended: Option<Result<(), StreamCut>>,
    /// Whether the client reads.
    client: Arc<ClientSide>,
    /// How many of the promised bytes have not come yet; none if none were promised.
    left: Option<u64>,
    /// Whether the component failed. In that case too, wasi:http ends the body as if
    /// it were finished.
    failed: Arc<AtomicBool>,
    task: Option<(JoinHandle<Result<(), CallFailure>>, AbortOnDrop)>,
}

impl http_body::Body for WasiHttpBody {
    type Data = Bytes;
    type Error = StreamCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamCut>>> {
        let polled = match (self.ahead.pop_front(), self.ended.take()) {
            (Some(frame), ended) => {
                self.ended = ended;
                Poll::Ready(Some(Ok(frame)))
            }
            (None, Some(Ok(()))) => Poll::Ready(None),
            (None, Some(Err(StreamCut))) => Poll::Ready(Some(Err(StreamCut))),
            (None, None) => self.poll_body(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.client.took(),
            Poll::Ready(_) | Poll::Pending => self.client.waits(),
        }
        polled.map(|frame| frame.map(|frame| frame.map(|frame| self.at_most_a_piece(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl WasiHttpBody {
    /// The response of a component that runs in this task. If the component fails,
    /// `failed` becomes true before the other end of the body is dropped.
    pub(crate) fn of(
        response: http::Response<HyperOutgoingBody>,
        task: JoinHandle<Result<(), CallFailure>>,
        guard: AbortOnDrop,
        failed: Arc<AtomicBool>,
        client: Arc<ClientSide>,
    ) -> http::Response<WasiHttpBody> {
        let left = promised(&response);
        response.map(|body| WasiHttpBody {
            body,
            ahead: VecDeque::new(),
            ended: None,
            client,
            left,
            failed,
            task: Some((task, guard)),
        })
    }

    /// Polls what the component writes.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamCut>>> {
        let polled = Pin::new(&mut self.body)
            .poll_frame(cx)
            .map_err(|_| StreamCut);
        if let Poll::Ready(None) = polled {
            if self.failed.load(Ordering::Acquire) {
                return Poll::Ready(Some(Err(StreamCut)));
            }
            self.let_finish();
        }
        if let (Poll::Ready(Some(Ok(frame))), Some(left)) = (&polled, self.left) {
            let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.left = Some(left.saturating_sub(sent));
        }
        polled
    }

    /// The first piece of a frame. The rest comes next.
    fn at_most_a_piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > PIECE => {
                let rest = data.split_off(PIECE);
                self.ahead.push_front(Frame::data(rest));
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        }
    }

    /// Reads all of the body ahead. None if it is long, or is not complete in a moment: then it
    /// is a stream.
    pub(crate) async fn complete(mut self) -> Option<WasiHttpBody> {
        let mut read = 0;
        let all = async {
            while read <= SHORT && self.left != Some(0) {
                match std::future::poll_fn(|cx| self.poll_body(cx)).await {
                    Some(Ok(frame)) => {
                        read += frame.data_ref().map_or(0, Bytes::len);
                        self.ahead.push_back(frame);
                    }
                    Some(Err(cut)) => return self.ended = Some(Err(cut)),
                    None => return self.ended = Some(Ok(())),
                }
            }
        };
        let in_time = tokio::time::timeout(SOON, all).await.is_ok();
        (in_time && read <= SHORT).then_some(self)
    }

    /// All of the response was sent. The component may go on for [`AFTER_RESPONSE`],
    /// within its limit of processor time.
    pub(crate) fn let_finish(&mut self) {
        // Without a runtime no task is left that could finish.
        if let (Some((task, guard)), Ok(runtime)) = (self.task.take(), Handle::try_current()) {
            runtime.spawn(async move {
                let _guard = guard;
                let _ = tokio::time::timeout(AFTER_RESPONSE, task).await;
            });
        }
    }
}

impl Drop for WasiHttpBody {
    /// A connection reads no more than the promised bytes. So it never sees the end
    /// of such a body.
    fn drop(&mut self) {
        if self.left == Some(0) {
            self.let_finish();
        } else if let Some((task, _)) = &self.task {
            // The task is aborted before its stream is closed, because the component
            // may trap when the stream closes. If a client goes away, that is no
            // fault of the app.
            task.abort();
        }
    }
}

/// How many bytes a response promises, if it promises a length.
fn promised(response: &http::Response<HyperOutgoingBody>) -> Option<u64> {
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.or_else(|| http_body::Body::size_hint(response.body()).exact())
}
