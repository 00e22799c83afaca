//! Requests to other servers. An exchange asks with the effect `fetch`, and the
//! answer comes to `handle_info` as `Message::Fetched`. Meanwhile no instance waits.
//!
//! ```
//! use raxx::mailbox::Message;
//! use raxx::{Step, continue_with, fetch, response};
//!
//! let ask: Step<()> = continue_with(())
//!     .fetch(fetch::get("https://api.example.com/items").header("accept", "text/plain"))
//!     .into();
//!
//! fn answer(message: Message) -> Step<()> {
//!     let Message::Fetched(fetched) = message else {
//!         return continue_with(()).into();
//!     };
//!     match fetched.outcome {
//!         Ok(answer) => response(200).body(answer.body).into(),
//!         Err(error) => response(502).body(error.to_string()).into(),
//!     }
//! }
//! # drop(ask);
//! ```

use std::fmt;

use crate::bindings::streaming::ace::raxx::fetch as wire;
use crate::{GET, Headers, Method, POST};

pub use wire::FetchError;

/// The longest URL, in bytes.
pub const MAX_URL: usize = 8 * 1024;
/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most header fields of a request.
pub const MAX_FIELDS: usize = 512;
/// The longest time that a fetch may take, in milliseconds.
pub const MAX_TIMEOUT_MS: u32 = 300_000;
/// The largest body of an answer that may be asked for, in bytes.
pub const MAX_ANSWER: u32 = 8 * 1024 * 1024;

/// A request to another server. Begin with [`get`], [`post`] or [`request`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a request does nothing until it is the effect of a step"]
pub struct FetchRequest {
    /// Comes back with the answer, so that the app can tell several apart.
    pub token: u64,
    /// The method.
    pub method: Method,
    /// With scheme and host.
    pub url: String,
    /// The header fields.
    pub headers: Headers,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long all of it may take, in milliseconds; 30 s if none.
    pub timeout: Option<u32>,
    /// How many bytes the body of the answer may have; 1 MiB if none.
    pub max_body: Option<u32>,
}

/// A request with this method. The URL has a scheme and a host.
pub fn request(method: &Method, url: impl Into<String>) -> FetchRequest {
    FetchRequest {
        token: 0,
        method: method.clone(),
        url: url.into(),
        headers: Headers::new(),
        body: Vec::new(),
        timeout: None,
        max_body: None,
    }
}

/// A `GET` of this URL.
pub fn get(url: impl Into<String>) -> FetchRequest {
    request(GET, url)
}

/// A `POST` of these bytes to this URL.
pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> FetchRequest {
    request(POST, url).body(body)
}

impl FetchRequest {
    /// Set the number that comes back with the answer. It is 0 otherwise.
    pub fn token(mut self, token: u64) -> Self {
        self.token = token;
        self
    }

    /// Set a header field.
    ///
    /// # Panics
    ///
    /// If the field is not allowed on the wire. For a value that comes from outside, use
    /// [`Headers::set`] on the field `headers`.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        match self.headers.set(name, value) {
            Ok(()) => self,
            Err(error) => panic!("{error}"),
        }
    }

    /// Set the body, at most 1 MiB.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Set how long all of it may take, in milliseconds: at most 300 s.
    pub fn timeout(mut self, milliseconds: u32) -> Self {
        self.timeout = Some(milliseconds);
        self
    }

    /// Set how many bytes the body of the answer may have: at most 8 MiB.
    pub fn max_body(mut self, bytes: u32) -> Self {
        self.max_body = Some(bytes);
        self
    }

    pub(crate) fn into_wire(self) -> wire::FetchRequest {
        wire::FetchRequest {
            token: self.token,
            method: self.method,
            url: self.url,
            headers: self.headers.into_wire(),
            body: self.body,
            timeout: self.timeout,
            max_body: self.max_body,
        }
    }
}

/// What came of a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The token of the request.
    pub token: u64,
    /// The answer, whatever its status; or why there is none.
    pub outcome: Result<FetchResponse, FetchError>,
}

/// The answer of another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Fetched {
    pub(crate) fn from_wire(fetched: wire::Fetched) -> Self {
        Fetched {
            token: fetched.token,
            outcome: fetched.outcome.map(|answer| FetchResponse {
                status: answer.status,
                headers: Headers::from_wire(answer.headers),
                body: answer.body,
            }),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Unsupported => f.write_str("this host does not fetch"),
            FetchError::Denied => {
                f.write_str("the cluster does not allow this app to reach that server")
            }
            FetchError::BadRequest(why) => write!(f, "the request is not as it must be: {why}"),
            FetchError::TooMany => {
                f.write_str("the app has too many fetches waiting: try again later")
            }
            FetchError::Unreachable(how) => write!(f, "nobody answers there: {how}"),
            FetchError::TimedOut => f.write_str("it took longer than the timeout of the fetch"),
            FetchError::TooLarge => f.write_str("the answer is larger than the fetch allows"),
            FetchError::Broken(how) => write!(f, "the answer broke off or is not HTTP: {how}"),
        }
    }
}

impl std::error::Error for FetchError {}
