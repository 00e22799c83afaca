//! The body of a response, from any source.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

use super::{OutputBody, StreamCut, WasiHttpBody};

/// The body of a response.
#[derive(Debug)]
pub struct OutgoingBody(Source);

#[derive(Debug)]
enum Source {
    /// The whole body; none once it was taken.
    Whole(Option<Bytes>),
    /// The parts of an exchange.
    Stream(OutputBody),
    /// What a `wasi:http` component writes.
    WasiHttp(WasiHttpBody),
    /// What another body makes.
    Boxed(UnsyncBoxBody<Bytes, StreamCut>),
}

impl OutgoingBody {
    /// A body that is complete already.
    pub fn whole(bytes: Bytes) -> OutgoingBody {
        OutgoingBody(Source::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    pub(crate) fn stream(body: OutputBody) -> OutgoingBody {
        OutgoingBody(Source::Stream(body))
    }

    pub(crate) fn wasi_http(body: WasiHttpBody) -> OutgoingBody {
        OutgoingBody(Source::WasiHttp(body))
    }

    pub(crate) fn boxed(
        body: impl http_body::Body<Data = Bytes, Error = StreamCut> + Send + 'static,
    ) -> OutgoingBody {
        OutgoingBody(Source::Boxed(body.boxed_unsync()))
    }
}

/// No body.
pub fn empty() -> OutgoingBody {
    OutgoingBody(Source::Whole(None))
}

/// A response of the host itself, in plain text.
pub fn text(status: StatusCode, text: &'static str) -> http::Response<OutgoingBody> {
    let mut response =
        http::Response::new(OutgoingBody::whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

impl http_body::Body for OutgoingBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.get_mut().0 {
            Source::Whole(whole) => Poll::Ready(whole.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Stream(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::WasiHttp(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Boxed(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(whole) => whole.is_none(),
            Source::Stream(body) => body.is_end_stream(),
            Source::WasiHttp(body) => body.is_end_stream(),
            Source::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(whole) => {
                SizeHint::with_exact(whole.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Stream(body) => body.size_hint(),
            Source::WasiHttp(body) => body.size_hint(),
            Source::Boxed(body) => body.size_hint(),
        }
    }
}
