//! The body of a response, wherever it comes from.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};

use crate::exchange::{OutletBody, PlainBody};

/// The body of a response.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    /// All of it; none once it was taken.
    Whole(Option<Bytes>),
    /// The parts of an exchange.
    Stream(OutletBody),
    /// What a `wasi:http` component writes.
    Plain(PlainBody),
}

impl Body {
    /// A body that is there already.
    pub fn whole(bytes: Bytes) -> Body {
        Body(Source::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    pub(crate) fn stream(body: OutletBody) -> Body {
        Body(Source::Stream(body))
    }

    pub(crate) fn plain(body: PlainBody) -> Body {
        Body(Source::Plain(body))
    }
}

/// No body.
pub fn empty() -> Body {
    Body(Source::Whole(None))
}

/// A response of the host's own, in plain text.
pub fn text(status: StatusCode, text: &'static str) -> http::Response<Body> {
    let mut response = http::Response::new(Body::whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.get_mut().0 {
            Source::Whole(whole) => Poll::Ready(whole.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Stream(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Plain(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(whole) => whole.is_none(),
            Source::Stream(body) => body.is_end_stream(),
            Source::Plain(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(whole) => {
                SizeHint::with_exact(whole.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Stream(body) => body.size_hint(),
            Source::Plain(body) => body.size_hint(),
        }
    }
}
