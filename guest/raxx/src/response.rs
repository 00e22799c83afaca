//! A response, built by chaining.

use crate::bindings::streaming::ace::raxx::http as wire;
use crate::{GET, HEAD, HeaderError, Headers, Request, html};

pub use wire::ResponseBody;

/// A response: status, header fields, body. Begin with [`response`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a response does nothing until it is returned"]
pub struct Response {
    status: u16,
    headers: Headers,
    body: ResponseBody,
}

/// Begin a response that has no header fields and no body.
///
/// ```
/// use raxx::response;
///
/// let hi = response(200).header("content-type", "text/plain").body("hi");
/// assert_eq!(hi.status(), 200);
/// ```
///
/// # Panics
///
/// If the status is not 200 to 599. The host sends 1xx by itself.
pub fn response(status: u16) -> Response {
    assert!(
        (200..=599).contains(&status),
        "a response has a status from 200 to 599"
    );
    Response {
        status,
        headers: Headers::new(),
        body: ResponseBody::None,
    }
}

/// Send the client to another address: 303 after a form, 302, 307 or 308.
///
/// The page has a link to the address, for clients that do not follow
/// redirects.
///
/// ```
/// use raxx::redirect;
///
/// let there = redirect(303, "/users/42")?;
/// assert_eq!(there.headers().get("location"), Some("/users/42"));
/// assert!(redirect(303, "/\r\nset-cookie: a=1").is_err());
/// # Ok::<(), raxx::HeaderError>(())
/// ```
///
/// # Errors
///
/// [`HeaderError::Value`] if the address has a line break or another control
/// character. The app itself must check that the address is one of its own.
pub fn redirect(status: u16, location: &str) -> Result<Response, HeaderError> {
    let link = html::escape(location);
    let page = ["<!doctype html><a href=\"", &link, "\">", &link, "</a>\n"].concat();
    Ok(response(status)
        .try_header("location", location)?
        .header("content-type", "text/html; charset=utf-8")
        .body(page))
}

/// Answer HEAD as GET is answered, so that an app need not handle it.
///
/// The answer keeps its body: the host sends the length of the body, and not
/// the body. A streaming app uses [`Step::head_only`](crate::Step::head_only).
///
/// ```
/// use raxx::{GET, HEAD, Request, head_from_get, request, response};
///
/// let app = |request: Request| match request.method() {
///     GET => response(200).body("hello"),
///     _ => response(405).header("allow", "GET, HEAD"),
/// };
/// assert_eq!(head_from_get(request(HEAD, "/"), app).status(), 200);
/// ```
pub fn head_from_get(request: Request, handle: impl FnOnce(Request) -> Response) -> Response {
    match request.method() {
        HEAD => handle(request.with_method(GET)),
        _ => handle(request),
    }
}

impl Response {
    /// Set a header field. The value replaces all values that the field had.
    ///
    /// # Panics
    ///
    /// If the field is not allowed on the wire. For a value that comes from
    /// outside, use [`try_header`](Self::try_header).
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        checked(self.try_header(name, value))
    }

    /// Like [`header`](Self::header), and returns an error instead of a panic.
    ///
    /// # Errors
    ///
    /// If the field is not allowed on the wire.
    pub fn try_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        self.headers.set(name, value)?;
        Ok(self)
    }

    /// Add a header field, and keep those of the same name. `set-cookie` needs
    /// this.
    ///
    /// # Panics
    ///
    /// Like [`header`](Self::header), and if the field may occur only once.
    pub fn append(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        checked(self.try_append(name, value))
    }

    /// Like [`append`](Self::append), and returns an error instead of a panic.
    ///
    /// # Errors
    ///
    /// If the field is not allowed on the wire, or may occur only once.
    pub fn try_append(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Give the response a whole body. The host sets `content-length`.
    ///
    /// # Panics
    ///
    /// If the status is 204 or 304, which have no body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.with(ResponseBody::Whole(body.into()))
    }

    /// Say that the body follows as data parts and ends with a tail. Only a
    /// streaming app may send such a head.
    ///
    /// # Panics
    ///
    /// If the status is 204 or 304, which have no body.
    pub fn streamed(self) -> Self {
        self.with(ResponseBody::Streamed)
    }

    /// Say that the connection becomes a WebSocket. Only a streaming app may
    /// send such a head, in answer to a WebSocket handshake.
    pub fn websocket(mut self) -> Self {
        self.body = ResponseBody::Websocket;
        self
    }

    fn with(mut self, body: ResponseBody) -> Self {
        assert!(
            !matches!(self.status, 204 | 304),
            "a response with status 204 or 304 has no body"
        );
        self.body = body;
        self
    }

    /// The same response without a body.
    pub fn without_body(mut self) -> Self {
        self.body = ResponseBody::None;
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header fields, to change them.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// What the body is: none, whole, streamed, or a WebSocket.
    pub fn body_kind(&self) -> &ResponseBody {
        &self.body
    }

    /// The whole body. Empty if the body is not whole.
    pub fn body_bytes(&self) -> &[u8] {
        match &self.body {
            ResponseBody::Whole(bytes) => bytes,
            _ => &[],
        }
    }

    pub(crate) fn into_wire(self) -> wire::Response {
        wire::Response {
            status: self.status,
            headers: self.headers.into_wire(),
            body: self.body,
        }
    }
}

/// If a field is refused here, the code of the app is wrong. The panic puts the
/// text of the error into the log of the node.
fn checked(result: Result<Response, HeaderError>) -> Response {
    match result {
        Ok(response) => response,
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;

    #[test]
    fn a_builder_makes_a_response() {
        let response = response(200)
            .header("content-type", "text/plain")
            .append("set-cookie", "a=1")
            .append("set-cookie", "b=2")
            .body("hi");
        let wire = response.into_wire();
        assert_eq!(wire.status, 200);
        assert_eq!(wire.headers.len(), 3);
        assert_eq!(wire.body, ResponseBody::Whole(b"hi".to_vec()));
    }

    #[test]
    fn a_redirect_escapes_its_link_and_refuses_a_line_break() {
        let page = redirect(302, "/?a=1&b=\"2\"").unwrap();
        assert_eq!(page.headers().get("location"), Some("/?a=1&b=\"2\""));
        let text = String::from_utf8_lossy(page.body_bytes()).into_owned();
        assert!(
            text.contains("href=\"/?a=1&amp;b=&quot;2&quot;\""),
            "{text}"
        );
        assert!(redirect(302, "/\nx: y").is_err());
    }

    #[test]
    fn head_is_answered_as_get_with_the_body_left_for_its_length() {
        let answer = head_from_get(request(HEAD, "/"), |request| {
            assert_eq!(request.method(), GET);
            response(200).body("hello")
        });
        assert_eq!(answer.body_bytes(), b"hello");
    }

    #[test]
    #[should_panic(expected = "no body")]
    fn a_response_204_refuses_a_body() {
        let _ = response(204).body("x");
    }

    #[test]
    #[should_panic(expected = "200 to 599")]
    fn an_interim_status_is_refused() {
        let _ = response(101);
    }
}
