//! The messages of the control channel: how they are made, read and refused.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use cluster::NodeName;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

/// What a tool says instead of a name. Every name of a node has an `@`.
pub(super) const TOOL: &str = "tool";

/// The body of a request or an answer. A streamed one comes from [`http_body_util::channel`].
pub type Body = BoxBody<Bytes, io::Error>;

/// A body that is complete from the start.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A request with this path to the member at this address.
pub(super) fn request(host: &str, path: &str, message: Bytes) -> Request<Body> {
    let mut request = Request::new(whole(message));
    *request.method_mut() = Method::POST;
    // A checked host and a path make a valid URI; if not, the other side answers 404.
    *request.uri_mut() = format!("https://{host}{path}").parse().unwrap_or_default();
    request
}

/// An answer with a message.
pub fn answer(message: impl Into<Bytes>) -> Response<Body> {
    Response::new(whole(message))
}

/// How many bytes of a refusal are read, however short the expected answer is: the reason of a
/// refusal has nothing to do with that length. If the refusal is longer, at least its status is
/// known.
pub(super) const REFUSAL_MAX: usize = 256;

/// An answer that says what was wrong, in [`REFUSAL_MAX`] bytes if possible.
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
    /// The message is over the size limit.
    #[error("the message is longer than it may be")]
    TooLong,
    /// The time limit is over.
    #[error("the message did not come in time")]
    TooSlow,
    /// The message was cut off.
    #[error("the message was cut off")]
    Cut,
}

impl ReadError {
    /// The answer to the sender.
    pub fn refusal(self) -> Response<Body> {
        match self {
            ReadError::TooLong => refusal(StatusCode::PAYLOAD_TOO_LARGE, "too long"),
            ReadError::TooSlow => refusal(StatusCode::REQUEST_TIMEOUT, "too slow"),
            ReadError::Cut => refusal(StatusCode::BAD_REQUEST, "cut off"),
        }
    }
}

/// Reads a whole message of at most `max` bytes, within this time.
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

/// The sender's name in a hello's message.
pub(super) fn introduced(message: &[u8]) -> Option<NodeName> {
    std::str::from_utf8(message).ok()?.parse().ok()
}
