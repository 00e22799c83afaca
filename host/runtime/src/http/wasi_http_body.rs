//! The body that a `wasi:http` component writes, with the task in which the
//! component runs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::StreamCut;
use crate::capacity::ClientSide;
use crate::contract::{BodyMark, promised};
use crate::generation::CallFailure;

/// How long a component may go on after its response was sent.
const AFTER_RESPONSE: Duration = Duration::from_secs(30);

/// What may be read ahead of a response for which there is no place as a stream, and how long
/// that may take.
const SHORT: usize = 64 * 1024;
const SOON: Duration = Duration::from_millis(400);
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
    /// The frames that were taken out of the body before its head was sent, and what is left of
    /// a large one.
    first: VecDeque<Frame<Bytes>>,
    /// Whether they are all of it.
    has_ended: bool,
    /// How many of the promised bytes have not come yet; none if none were promised.
    left: Option<u64>,
    /// Whether the component has finished the body. If it has not, wasi:http ends it as
    /// if it were finished.
    mark: BodyMark,
    /// Whether the client reads.
    client: Arc<ClientSide>,
    task: Option<Task>,
}

/// The task of a component, and what ends it.
pub(crate) type Task = (JoinHandle<Result<(), CallFailure>>, AbortOnDrop);

impl http_body::Body for WasiHttpBody {
    type Data = Bytes;
    type Error = StreamCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamCut>>> {
        let polled = match self.first.pop_front() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None if self.has_ended => Poll::Ready(None),
            None => Pin::new(&mut self.body)
                .poll_frame(cx)
                .map_err(|_| StreamCut),
        };
        let polled = polled.map(|polled| Some(polled?.map(|frame| self.at_most_a_piece(frame))));
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.client.took(),
            Poll::Ready(_) | Poll::Pending => self.client.waits(),
        }
        match &polled {
            Poll::Ready(None) if !self.has_ended && !self.mark.is_finished() => {
                self.let_finish();
                return Poll::Ready(Some(Err(StreamCut)));
            }
            // How it went on is the component's to say, and the log's to tell.
            Poll::Ready(None | Some(Err(_))) => self.let_finish(),
            Poll::Ready(Some(Ok(frame))) => {
                let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(sent));
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && (self.has_ended || self.body.is_end_stream())
    }

    /// The length of a body of which all is there. With trailers it is not told: they go out
    /// only behind a body in chunks.
    fn size_hint(&self) -> SizeHint {
        let data = self.first.iter().map(|frame| frame.data_ref());
        let length = data.map(|data| data.map(Bytes::len)).sum::<Option<usize>>();
        match (length, self.has_ended) {
            (Some(length), true) => SizeHint::with_exact(length as u64),
            _ if self.first.is_empty() => self.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl WasiHttpBody {
    /// The response of a component, with the frames that were taken out of its body, and whether
    /// they are all of it; and the task that it runs in, if it still does.
    pub(crate) fn of(
        response: http::Response<HyperOutgoingBody>,
        first: VecDeque<Frame<Bytes>>,
        has_ended: bool,
        mark: BodyMark,
        task: Option<Task>,
        client: Arc<ClientSide>,
    ) -> http::Response<WasiHttpBody> {
        let left = promised(response.headers())
            .or_else(|| http_body::Body::size_hint(response.body()).exact());
        response.map(|body| {
            let mut body = WasiHttpBody {
                body,
                first,
                has_ended,
                left,
                mark,
                client,
                task,
            };
            if has_ended {
                body.let_finish();
            }
            body
        })
    }

    /// The first piece of a frame. The rest comes next.
    fn at_most_a_piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > PIECE => {
                let rest = data.split_off(PIECE);
                self.first.push_front(Frame::data(rest));
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        }
    }

    /// Reads all of the body ahead. None if it is long, or is not complete in a moment: then it
    /// is a stream.
    pub(crate) async fn complete(mut self) -> Option<WasiHttpBody> {
        let all = async {
            let mut read = 0;
            while read <= SHORT {
                let next = std::future::poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx));
                match next.await {
                    Some(Ok(frame)) => {
                        read += frame.data_ref().map_or(0, Bytes::len);
                        self.first.push_back(frame);
                    }
                    // How it has ended is seen again when it is polled.
                    Some(Err(_)) | None => return true,
                }
            }
            false
        };
        if tokio::time::timeout(SOON, all).await != Ok(true) {
            return None;
        }
        if self.mark.is_finished() {
            self.has_ended = true;
            self.let_finish();
        }
        Some(self)
    }

    /// All of the response was sent, or can be.
    fn let_finish(&mut self) {
        leave(self.task.take());
    }
}

/// Leaves a component to itself, if it still runs. It may go on for [`AFTER_RESPONSE`] after its
/// response, within its limit of processor time.
pub(crate) fn leave(task: Option<Task>) {
    // Without a runtime no task is left that could finish.
    if let (Some((task, guard)), Ok(runtime)) = (task, Handle::try_current())
        && !task.is_finished()
    {
        runtime.spawn(async move {
            let _ = tokio::time::timeout(AFTER_RESPONSE, task).await;
            drop(guard);
        });
    }
}

impl Drop for WasiHttpBody {
    /// A connection reads no more than the promised bytes, and nothing after trailers. So
    /// it never sees the end of such a body.
    fn drop(&mut self) {
        if self.left == Some(0) || self.mark.is_finished() {
            self.let_finish();
        } else if let Some((task, _)) = &self.task {
            // The task is told and aborted before its stream is closed, because the
            // component may trap when the stream closes. If a client goes away, that is no
            // fault of the app.
            self.mark.leave();
            task.abort();
        }
    }
}
