//! A request as an app sees it: the host has parsed it, and the app matches on
//! it.

use std::fmt;

use crate::Headers;
use crate::bindings::streaming::ace::raxx::http as wire;

pub use wire::{Method, Peer, RequestBody, Scheme};

/// `GET`, for matching. The constants are references, because
/// [`Request::method`] returns one.
pub const GET: &Method = &Method::Get;
/// `HEAD`, for matching.
pub const HEAD: &Method = &Method::Head;
/// `POST`, for matching.
pub const POST: &Method = &Method::Post;
/// `PUT`, for matching.
pub const PUT: &Method = &Method::Put;
/// `DELETE`, for matching.
pub const DELETE: &Method = &Method::Delete;
/// `OPTIONS`, for matching.
pub const OPTIONS: &Method = &Method::Options;
/// `PATCH`, for matching.
pub const PATCH: &Method = &Method::Patch;

/// The strings that a [`Segments`] borrows from its owner.
type Borrowed<'a> = Vec<&'a str>;

self_cell::self_cell!(
    /// The segments of a path. They are kept as a list of `&str` too, because
    /// patterns such as `["users", id]` match only a slice of `&str`.
    struct Segments {
        owner: Vec<String>,
        #[covariant]
        dependent: Borrowed,
    }
);

impl Segments {
    fn of(owner: Vec<String>) -> Self {
        Self::new(owner, |owner| owner.iter().map(String::as_str).collect())
    }
}

/// A request.
///
/// ```
/// use raxx::{GET, Request, Response, request, response};
///
/// fn handle(request: &Request) -> Response {
///     match (request.method(), request.path()) {
///         (GET, []) => response(200).body("home"),
///         (GET, ["users", id]) => response(200).body(*id),
///         _ => response(404).body("not found"),
///     }
/// }
///
/// assert_eq!(handle(&request(GET, "/users/42")).body_bytes(), b"42");
/// ```
pub struct Request {
    scheme: Scheme,
    authority: String,
    method: Method,
    path: Segments,
    raw_path: String,
    query: Option<String>,
    headers: Headers,
    body: RequestBody,
    peer: Peer,
}

impl Request {
    /// The method. `GET`, [`HEAD`] and so on are constants to match with.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The segments of the path, without the empty ones and not
    /// percent-decoded: `/users//42/` gives `["users", "42"]`.
    pub fn path(&self) -> &[&str] {
        self.path.borrow_dependent()
    }

    /// The path as it was sent, up to the question mark.
    pub fn raw_path(&self) -> &str {
        &self.raw_path
    }

    /// The text after the question mark; none if there is no question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The first value of a header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// How the request reached the node.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host that the client asked for, with the port if it sent one.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The client's end of the connection.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the body is: none, whole, or one that comes later as data.
    pub fn body(&self) -> &RequestBody {
        &self.body
    }

    /// The whole body. Empty if there is none, or if it comes later as data.
    pub fn body_bytes(&self) -> &[u8] {
        match &self.body {
            RequestBody::Whole(bytes) => bytes,
            RequestBody::None | RequestBody::Streamed => &[],
        }
    }

    /// The whole body, taken out without a copy.
    pub fn into_body(self) -> Vec<u8> {
        match self.body {
            RequestBody::Whole(bytes) => bytes,
            RequestBody::None | RequestBody::Streamed => Vec::new(),
        }
    }

    /// The same request with another method.
    #[must_use]
    pub fn with_method(mut self, method: &Method) -> Self {
        self.method = method.clone();
        self
    }

    /// Add a header field to a request in a test.
    ///
    /// # Panics
    ///
    /// If the field is not allowed on the wire.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        match self.headers.append(name, value) {
            Ok(()) => self,
            Err(error) => panic!("{error}"),
        }
    }

    /// Give a request in a test a whole body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = RequestBody::Whole(body.into());
        self
    }

    /// Mark a request in a test as one whose body comes later as data.
    #[must_use]
    pub fn with_streamed_body(mut self) -> Self {
        self.body = RequestBody::Streamed;
        self
    }

    pub(crate) fn from_wire(request: wire::Request) -> Self {
        Self {
            scheme: request.scheme,
            authority: request.authority,
            method: request.method,
            path: Segments::of(request.path),
            raw_path: request.raw_path,
            query: request.query,
            headers: Headers::from_wire(request.headers),
            body: request.body,
            peer: request.peer,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("raw_path", &self.raw_path)
            .field("query", &self.query)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// A request for tests, as the host would make it. `target` is a path, with or
/// without a query. The request has no headers and no body, and comes from
/// 127.0.0.1.
///
/// ```
/// use raxx::{GET, request};
///
/// let request = request(GET, "/search//new?q=wasm");
/// assert_eq!(request.path(), ["search", "new"]);
/// assert_eq!(request.query(), Some("q=wasm"));
/// ```
pub fn request(method: &Method, target: &str) -> Request {
    let (raw_path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let segments = raw_path.split('/').filter(|segment| !segment.is_empty());
    Request {
        scheme: Scheme::Http,
        authority: "localhost".into(),
        method: method.clone(),
        path: Segments::of(segments.map(String::from).collect()),
        raw_path: raw_path.into(),
        query: query.map(String::from),
        headers: Headers::new(),
        body: RequestBody::None,
        peer: Peer {
            ip: "127.0.0.1".into(),
            port: 40000,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_and_segments_match_by_pattern() {
        let request = request(&Method::Other("PURGE".into()), "/users//42/?x=1&y");
        match (request.method(), request.path()) {
            (Method::Other(name), ["users", id]) => {
                assert_eq!((name.as_str(), *id), ("PURGE", "42"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(request.raw_path(), "/users//42/");
        assert_eq!(request.query(), Some("x=1&y"));
    }

    #[test]
    fn a_request_keeps_its_path_when_it_moves() {
        let request = Box::new(
            request(GET, "/a/b")
                .with_header("host", "x")
                .with_body("hi"),
        );
        let moved = *request;
        assert_eq!(moved.path(), ["a", "b"]);
        assert_eq!(moved.header("Host"), Some("x"));
        assert_eq!(moved.into_body(), b"hi");
    }
}
