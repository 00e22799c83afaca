//! The body that a component of WASI 0.3 writes, on its way to the connection. It ends with the
//! guest's last byte, or is cut: when its instance fails, when nobody reads it, when its time on
//! old code is over.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use wasmtime_wasi_http::{Error, WasiBody};

use super::Running;
use crate::capacity::ClientSide;
use crate::contract::{BodyEnd, promised};
use crate::generation::{CallFailure, Generation, RequestEnd, SharedInstance};
use crate::http::{AbortOnDrop, StreamCut};

/// How much of a body is read before its head is sent, in bytes.
const AHEAD: usize = 64 * 1024;

/// What of a body is there.
pub(super) enum Taken {
    /// There is more to come.
    NotYet,
    /// There may be more to come, and so much is there that the head need not wait for it.
    Enough,
    /// All of it.
    All,
    /// It ended before its end.
    Cut(String),
}

/// Takes all that is there of a body.
pub(super) async fn take(body: &mut WasiBody, frames: &mut VecDeque<Frame<Bytes>>) -> Taken {
    std::future::poll_fn(|cx| {
        Poll::Ready(loop {
            if bytes(frames) >= AHEAD {
                break Taken::Enough;
            }
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => break Taken::NotYet,
                Poll::Ready(None) => break Taken::All,
                Poll::Ready(Some(Ok(frame))) => frames.push_back(frame),
                Poll::Ready(Some(Err(error))) => break Taken::Cut(cause(&error)),
            }
        })
    })
    .await
}

/// How many bytes these frames have.
pub(super) fn bytes(frames: &VecDeque<Frame<Bytes>>) -> usize {
    let data = frames.iter().filter_map(Frame::data_ref);
    data.map(Bytes::len).sum()
}

/// What a body is that ended after so many bytes, if more were promised.
pub(super) fn short(written: usize, promised: Option<u64>) -> Option<BodyEnd> {
    let (written, promised) = (written as u64, promised?);
    (written < promised).then_some(BodyEnd::Short { written, promised })
}

/// Why a body was cut, if its instance did not fail.
fn cause(error: &Error) -> String {
    match error {
        Error::HttpResponseBodySize(written) => format!(
            "wrote {} bytes as the body of its response, which is not its content-length",
            written.unwrap_or(0)
        ),
        _ => format!("ended the body of its response with an error of its own: {error:?}"),
    }
}

/// The body of a response.
pub(super) struct Body03 {
    /// What was there before the head was sent.
    first: VecDeque<Frame<Bytes>>,
    /// What comes; none if the first is all of it, or the body has ended.
    rest: Option<Rest>,
}

/// A body that goes on, as its connection sees it.
struct Rest {
    client: Arc<ClientSide>,
    live: Arc<SharedInstance>,
    source: Arc<Cuttable>,
    /// How many bytes of it have come.
    written: usize,
    /// Its `content-length`.
    promised: Option<u64>,
    _watch: AbortOnDrop,
}

/// A body that can be cut while the connection has it. The connection asks nothing of it while its
/// client does not read, so what the request holds goes with the cut, and does not wait for that.
struct Cuttable(Mutex<State>);

struct State {
    /// None once it has ended, or was cut.
    open: Option<Open>,
    waker: Option<Waker>,
}

/// The source of a body, and its request.
struct Open {
    body: WasiBody,
    running: Running,
}

impl Cuttable {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Option<Error>>>> {
        let mut state = self.0.lock();
        let Some(open) = &mut state.open else {
            return Poll::Ready(Some(Err(None)));
        };
        let polled = Pin::new(&mut open.body).poll_frame(cx);
        if polled.is_pending() {
            state.waker = Some(cx.waker().clone());
        }
        polled.map_err(Some)
    }

    /// It ends here. Returns what it was, unless it was cut.
    fn end(&self) -> Option<Open> {
        self.0.lock().open.take()
    }

    /// The guest sees that nobody reads, and the connection that nothing more comes. The request is
    /// over.
    fn cut(&self, why: &CallFailure) {
        let (open, waker) = {
            let mut state = self.0.lock();
            (state.open.take(), state.waker.take())
        };
        if let (Some(open), CallFailure::Drained) = (&open, why) {
            let stats = &open.running.lease.stats;
            stats.count_left(|left| left.cut += 1);
        }
        drop(open);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Cuts a body when nobody reads it for too long, or its time on old code is over.
async fn watch(
    source: Arc<Cuttable>,
    generation: Arc<Generation>,
    client: Arc<ClientSide>,
    stall: Duration,
) {
    let unread = async {
        loop {
            let now = tokio::time::Instant::now();
            match client.reads_by(stall) {
                Some(due) if due <= now => return,
                Some(due) => tokio::time::sleep_until(due).await,
                None => tokio::time::sleep(stall).await,
            }
        }
    };
    let why = tokio::select! {
        () = unread => CallFailure::Unread(stall),
        () = generation.signals.over() => CallFailure::Drained,
    };
    // Whoever waits for the end of the generation must not wait for this.
    drop(generation);
    source.cut(&why);
}

impl Body03 {
    /// A body of which all is there.
    pub(super) fn whole(first: VecDeque<Frame<Bytes>>) -> Body03 {
        Body03 { first, rest: None }
    }

    /// A body that goes on after what was there.
    pub(super) fn stream(
        running: Running,
        live: Arc<SharedInstance>,
        first: VecDeque<Frame<Bytes>>,
        body: WasiBody,
        fields: &http::HeaderMap,
    ) -> Body03 {
        let (generation, stall) = (
            running.lease.generation().clone(),
            running.shared.limits.stall,
        );
        let client = running.terms.client().clone();
        let source = Arc::new(Cuttable(Mutex::new(State {
            open: Some(Open { body, running }),
            waker: None,
        })));
        let watch = tokio::spawn(watch(source.clone(), generation, client.clone(), stall));
        Body03 {
            rest: Some(Rest {
                written: bytes(&first),
                client,
                live,
                source,
                promised: promised(fields),
                _watch: AbortOnDrop(watch.abort_handle()),
            }),
            first,
        }
    }
}

impl Rest {
    /// It has ended. Returns whether all of it is there. If not, this says why, and counts it.
    fn is_whole(&self, error: Option<Error>) -> bool {
        let Some(Open { running, .. }) = self.source.end() else {
            return false;
        };
        match (running.terms.why().or_else(|| self.live.failure()), error) {
            (None, None) => match short(self.written, self.promised) {
                None => return true,
                Some(short) => running.broke(&short),
            },
            (Some(CallFailure::Drained), _) => {
                running.lease.stats.count_left(|left| left.cut += 1);
            }
            (Some(why), _) if why.is_client() || why.is_busy() => {}
            (Some(why), _) => running.fail(&why),
            (None, Some(error)) => running.broke(&cause(&error)),
        }
        false
    }
}

impl Drop for Rest {
    /// The watch may hold the source for a moment longer.
    fn drop(&mut self) {
        drop(self.source.end());
    }
}

impl Running {
    /// The app has broken off the body of its response.
    fn broke(&self, cause: &dyn std::fmt::Display) {
        // What a client that breaks off has caused is none of the app's.
        if self.progress.is_half() {
            return;
        }
        self.complain(cause);
        self.count(RequestEnd::Broken, None);
    }
}

impl Body for Body03 {
    type Data = Bytes;
    type Error = StreamCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamCut>>> {
        let first = self.first.pop_front();
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(first.map(Ok));
        };
        let polled = match first {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => rest.source.poll(cx).map_ok(|frame| {
                rest.written += frame.data_ref().map_or(0, Bytes::len);
                frame
            }),
        };
        match &polled {
            Poll::Ready(Some(Ok(_))) => rest.client.took(),
            Poll::Ready(_) | Poll::Pending => rest.client.waits(),
        }
        let error = match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => error,
            // A body of an instance that fails ends as if it were finished.
            Poll::Ready(None) => None,
        };
        let is_whole = rest.is_whole(error);
        self.rest = None;
        Poll::Ready((!is_whole).then_some(Err(StreamCut)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_none()
    }

    /// The length of a body of which all is there, or that is promised. With trailers it is not
    /// told: they go out only behind a body in chunks.
    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Some(Rest {
                source,
                promised: Some(_),
                ..
            }) if self.first.is_empty() => {
                let state = source.0.lock();
                let hint = state.open.as_ref().map(|open| open.body.size_hint());
                hint.unwrap_or_default()
            }
            Some(_) => SizeHint::default(),
            None => {
                let data = self.first.iter().map(|frame| frame.data_ref());
                let length = data.map(|data| data.map(Bytes::len)).sum::<Option<usize>>();
                length.map_or_else(SizeHint::default, |length| {
                    SizeHint::with_exact(length as u64)
                })
            }
        }
    }
}
