//! The messages of the control channel: how they are made, read and refused.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use cluster::NodeName;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

/// What a tool says in place of a name. No name of a node is without an `@`.
pub(super) const TOOL: &str = "tool";

/// The body of a request or an answer. One that is made bit by bit comes from
/// [`http_body_util::channel`].
pub type Body = BoxBody<Bytes, io::Error>;

/// A body that is there as a whole.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A request of this kind to the member at this address.
pub(super) fn request(host: &str, path: &str, message: Bytes) -> Request<Body> {
    let mut request = Request::new(whole(message));
    *request.method_mut() = Method::POST;
    // A host and a path that were checked make an address; and if not, the
    // other side answers 404.
    *request.uri_mut() = format!("https://{host}{path}").parse().unwrap_or_default();
    request
}

/// An answer with a message.
pub fn answer(message: impl Into<Bytes>) -> Response<Body> {
    Response::new(whole(message))
}

/// How long a refusal may be to be read, in bytes, however short the answer is that was
/// asked for: why something is refused has nothing to do with its length. Of a longer
/// one the status is known.
pub(super) const REFUSAL_MAX: usize = 256;

/// An answer that says what was wrong: at best in [`REFUSAL_MAX`] bytes.
pub fn refusal(status: StatusCode, why: impl Into<Bytes>) -> Response<Body> {
    let mut response = answer(why);
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is over the limit.
    #[error("the message is longer than it may be")]
    TooLong,
    /// The limit of time is over.
    #[error("the message did not come in time")]
    TooSlow,
    /// It ended before its end.
    #[error("the message was cut off")]
    Cut,
}

impl ReadError {
    /// What its sender is told.
    pub fn refusal(self) -> Response<Body> {
        match self {
            ReadError::TooLong => refusal(StatusCode::PAYLOAD_TOO_LARGE, "too long"),
            ReadError::TooSlow => refusal(StatusCode::REQUEST_TIMEOUT, "too slow"),
            ReadError::Cut => refusal(StatusCode::BAD_REQUEST, "cut off"),
        }
    }
}

/// Reads a whole message of at most so many bytes, within this time.
///
/// # Errors
/// [`ReadError`].
pub async fn read(body: Incoming, max: usize, within: Duration) -> Result<Bytes, ReadError> {
    let whole = Limited::new(body, max).collect();
    match tokio::time::timeout(within, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ReadError::TooLong),
        Ok(Err(_)) => Err(ReadError::Cut),
        Err(_) => Err(ReadError::TooSlow),
    }
}

/// The message of a hello.
pub(super) fn introduce(name: &NodeName) -> Bytes {
    Bytes::from(name.to_string())
}

/// Who a hello's message says its sender is.
pub(super) fn introduced(message: &[u8]) -> Option<NodeName> {
    std::str::from_utf8(message).ok()?.parse().ok()
}
