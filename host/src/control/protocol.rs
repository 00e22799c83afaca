//! The messages of the control channel. A path names the version and the kind
//! of message; a node answers 404 to a version it does not speak.
//!
//! ```text
//! POST /v1/hello   name of the caller     -> name of the called
//! POST /v1/sync    state of the caller    -> state of the called
//! ```

use bytes::Bytes;
use cluster::NodeName;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::{EXCHANGE, MESSAGE_MAX};

/// Where a caller says who it is. The first request of a connection.
pub(super) const HELLO: &str = "/v1/hello";

/// Push-pull of membership's state.
pub(super) const SYNC: &str = "/v1/sync";

/// The longest text of a name, in bytes: 63, `@`, and `255.255.255.255`.
pub(super) const NAME_MAX: usize = cluster::NAME_MAX + 1 + 15;

/// A request of this kind to the member at this address.
pub(super) fn request(host: &str, path: &str, message: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(message));
    *request.method_mut() = Method::POST;
    // A host and a path that were checked make an address; and if not, the
    // other side answers 404.
    *request.uri_mut() = format!("https://{host}{path}").parse().unwrap_or_default();
    request
}

/// An answer with a message.
pub(super) fn answer(message: Bytes) -> Response<Full<Bytes>> {
    Response::new(Full::new(message))
}

/// An answer that says what was wrong.
pub(super) fn refusal(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    let mut response = answer(Bytes::from_static(why.as_bytes()));
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the message is longer than it may be")]
    TooLong,
    #[error("the message did not come in time")]
    TooSlow,
    #[error("the message was cut off")]
    Cut,
}

/// Reads a whole message of at most so many bytes, within [`EXCHANGE`].
pub(super) async fn read(body: Incoming, max: usize) -> Result<Bytes, ReadError> {
    let whole = Limited::new(body, max.min(MESSAGE_MAX)).collect();
    match tokio::time::timeout(EXCHANGE, whole).await {
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
