//! Bodies of answers: one JSON value, or a stream of lines that are made while
//! they are sent.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Channel, Full, channel::Sender};
use serde::Serialize;
use tokio::time::timeout;

pub use mesh::control::Body;

use super::Refused;
use super::types::{API, Code, Problem};

/// How many lines may wait for a caller that reads slowly.
const LINES_WAITING: usize = 64;

/// How long a caller may take to read on. After that the answer ends.
const SLOW: Duration = Duration::from_secs(30);

/// A body that is complete already.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed()
}

/// An answer of one JSON value.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => answer(status, "application/json", whole(bytes)),
        // All types of the API can be written as JSON.
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", whole("")),
    }
}

/// An answer with one JSON value in each line.
pub(super) fn lines() -> (LineWriter, Response<Body>) {
    let (sender, body) = Channel::new(LINES_WAITING);
    let body = body.boxed();
    (
        LineWriter(sender),
        answer(StatusCode::OK, "application/x-ndjson", body),
    )
}

fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An answer that says why something was refused.
pub(super) fn problem(refused: Refused, release: Option<String>) -> Response<Body> {
    let Refused { code, reason } = refused;
    let problem = Problem {
        api: API,
        code,
        reason,
        release,
    };
    json(status_of(code), &problem)
}

fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadRequest | Code::WrongDigest => StatusCode::BAD_REQUEST,
        Code::NotFound | Code::NoComponent | Code::UnknownRelease | Code::NotSet => {
            StatusCode::NOT_FOUND
        }
        Code::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::BadComponent | Code::BadRelease | Code::BadSetting => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::Unsigned => StatusCode::FORBIDDEN,
        Code::Same
        | Code::VotedDown
        | Code::OpenStreams
        | Code::OtherPlan
        | Code::Unexpected
        | Code::ClockAhead
        | Code::Ambiguous
        | Code::NothingBefore
        | Code::TooFewNodes => StatusCode::CONFLICT,
        Code::Storage => StatusCode::INSUFFICIENT_STORAGE,
        Code::Busy | Code::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Code::Other => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The caller reads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hung;

/// Where the lines of an answer are written.
pub(super) struct LineWriter(Sender<Bytes, io::Error>);

impl LineWriter {
    /// Writes a line. Waits while the caller is slow, but only for a limited
    /// time.
    pub(super) async fn write(&mut self, value: &impl Serialize) -> Result<(), Hung> {
        let mut line = serde_json::to_vec(value).map_err(|_| Hung)?;
        line.push(b'\n');
        match timeout(SLOW, self.0.send_data(line.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Hung),
        }
    }
}
