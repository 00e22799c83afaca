//! Responses and fields: checks them, and converts them from the contract's
//! types to hyper's.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::body::{OutgoingBody, empty};
use crate::contract::http::{Field, Response, ResponseBody};

/// How many fields a response may have. `http.wit` names this limit.
pub(crate) const MAX_FIELDS: usize = 512;

/// Fields that belong to the connection, and so to the host. Those of an app
/// are dropped.
const CONNECTION_FIELDS: [HeaderName; 4] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];
const MORE_CONNECTION_FIELDS: [&str; 2] = ["keep-alive", "proxy-connection"];

/// What is wrong with a response or a trailer. The text is for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalResponse {
    /// Not a final status (200 to 599).
    #[error("sent the status {0}; 200 to 599 are allowed")]
    Status(u16),
    /// A body with a status that does not allow one.
    #[error("sent a body with the status {0}, which has none")]
    BodyNotAllowed(u16),
    /// A field name that is not a token in lower case.
    #[error("sent the field name {0:?}, which is not a token in lower case")]
    Name(String),
    /// A value of a field with a control character.
    #[error("sent a value for the field {0} with a character that is not allowed")]
    Value(String),
    /// Too many fields.
    #[error("sent {0} fields, more than {MAX_FIELDS}")]
    TooMany(usize),
    /// A `content-length` that is not one number of bytes.
    #[error("sent a content-length that is not one number")]
    Length,
}

/// Makes the head of a response, and its body. `to_head` says that it answers a
/// `HEAD` request. Then the app says the length of the body that is not sent.
///
/// # Errors
/// See [`IllegalResponse`].
pub fn head(
    response: Response,
    to_head: bool,
) -> Result<(http::Response<OutgoingBody>, ResponseBody), IllegalResponse> {
    let status = StatusCode::from_u16(response.status).ok();
    let status = status
        .filter(is_final)
        .ok_or(IllegalResponse::Status(response.status))?;
    let bare = match &response.body {
        ResponseBody::None => true,
        ResponseBody::Whole(whole) => whole.is_empty(),
        ResponseBody::Streamed | ResponseBody::Websocket => false,
    };
    if !bare && is_bare(status) {
        return Err(IllegalResponse::BodyNotAllowed(response.status));
    }
    let length = content_length(&response)?;
    let mut answer = http::Response::new(empty());
    *answer.status_mut() = status;
    *answer.headers_mut() = header_map(&response.headers)?;
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    // The host knows the length of a whole body itself.
    let keeps = matches!(response.body, ResponseBody::Streamed)
        || (to_head && bare && status != StatusCode::NO_CONTENT);
    if let (true, Some(length)) = (keeps, length) {
        answer
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    Ok((answer, response.body))
}

/// Checks the head of a response of a `wasi:http` component.
///
/// # Errors
/// [`IllegalResponse::Status`] and [`IllegalResponse::TooMany`].
pub(crate) fn check<B>(response: &http::Response<B>) -> Result<(), IllegalResponse> {
    if !is_final(&response.status()) {
        return Err(IllegalResponse::Status(response.status().as_u16()));
    }
    if response.headers().len() > MAX_FIELDS {
        return Err(IllegalResponse::TooMany(response.headers().len()));
    }
    Ok(())
}

/// The response of a `wasi:http` component whose head is the whole answer. `length`: the length of
/// the body that is not sent, if it is known.
pub(crate) fn without_body<B>(
    response: http::Response<B>,
    length: Option<u64>,
) -> http::Response<OutgoingBody> {
    let status = response.status();
    let mut response = response.map(|_| empty());
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    } else if let (Some(length), false) = (length, status == StatusCode::NOT_MODIFIED) {
        headers
            .entry(header::CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    response
}

fn is_final(status: &StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
}

/// Whether responses with this status never have a body.
pub(crate) fn is_bare(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// The length that an app promises in the head of a response.
///
/// # Errors
/// [`IllegalResponse::Length`].
pub fn content_length(response: &Response) -> Result<Option<u64>, IllegalResponse> {
    let mut length = None;
    for (name, value) in &response.headers {
        if name != header::CONTENT_LENGTH.as_str() {
            continue;
        }
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| digits);
        let parsed = text
            .and_then(|text| text.parse().ok())
            .ok_or(IllegalResponse::Length)?;
        if length.is_some_and(|length| length != parsed) {
            return Err(IllegalResponse::Length);
        }
        length = Some(parsed);
    }
    Ok(length)
}

/// Checks trailers, and converts them.
///
/// # Errors
/// See [`IllegalResponse`].
pub fn trailers(fields: &[Field]) -> Result<HeaderMap, IllegalResponse> {
    header_map(fields)
}

/// Converts fields to the contract's type.
pub fn fields(headers: &HeaderMap) -> Vec<Field> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// Checks fields, and converts them. Those of the connection are left out.
///
/// # Errors
/// See [`IllegalResponse`].
pub(crate) fn header_map(fields: &[Field]) -> Result<HeaderMap, IllegalResponse> {
    if fields.len() > MAX_FIELDS {
        return Err(IllegalResponse::TooMany(fields.len()));
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let named = HeaderName::from_lowercase(name.as_bytes())
            .map_err(|_| IllegalResponse::Name(name.chars().take(80).collect()))?;
        if CONNECTION_FIELDS.contains(&named) || MORE_CONNECTION_FIELDS.contains(&named.as_str()) {
            continue;
        }
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| IllegalResponse::Value(named.to_string()))?;
        headers.append(named, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: ResponseBody) -> Response {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
            .collect();
        Response {
            status,
            headers,
            body,
        }
    }

    #[track_caller]
    fn refused(response: Response) -> IllegalResponse {
        head(response, false).map(drop).unwrap_err()
    }

    #[test]
    fn set_cookie_is_kept_as_often_as_it_was_sent() {
        let cookies = [("set-cookie", "a=1"), ("set-cookie", "b=2")];
        let (answer, _) = head(response(200, &cookies, ResponseBody::None), false).unwrap();
        assert_eq!(
            answer.headers().get_all(header::SET_COOKIE).iter().count(),
            2
        );
    }

    #[test]
    fn an_app_cannot_speak_for_the_connection() {
        let spoken = [
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("keep-alive", "1"),
        ];
        let (answer, _) = head(response(200, &spoken, ResponseBody::None), false).unwrap();
        assert!(answer.headers().is_empty());
    }

    #[test]
    fn what_http_does_not_allow_is_named() {
        assert_eq!(
            refused(response(101, &[], ResponseBody::None)),
            IllegalResponse::Status(101)
        );
        assert_eq!(
            refused(response(600, &[], ResponseBody::None)),
            IllegalResponse::Status(600)
        );
        let body = ResponseBody::Whole(vec![1]);
        assert_eq!(
            refused(response(204, &[], body)),
            IllegalResponse::BodyNotAllowed(204)
        );
        let upper = response(200, &[("X-Upper", "1")], ResponseBody::None);
        assert_eq!(refused(upper), IllegalResponse::Name("X-Upper".to_owned()));
        let split = response(200, &[("x", "a\r\nset-cookie: b")], ResponseBody::None);
        assert_eq!(refused(split), IllegalResponse::Value("x".to_owned()));
        let many = vec![("x".to_owned(), Vec::new()); MAX_FIELDS + 1];
        let many = Response {
            status: 200,
            headers: many,
            body: ResponseBody::None,
        };
        assert_eq!(refused(many), IllegalResponse::TooMany(MAX_FIELDS + 1));
    }

    #[test]
    fn a_content_length_is_one_number() {
        for bad in ["", "-1", "1,1", "+1", "99999999999999999999"] {
            let bad = response(200, &[("content-length", bad)], ResponseBody::Streamed);
            assert_eq!(refused(bad), IllegalResponse::Length);
        }
        let differ = [("content-length", "1"), ("content-length", "2")];
        assert_eq!(
            refused(response(200, &differ, ResponseBody::Streamed)),
            IllegalResponse::Length
        );
        let same = [("content-length", "1"), ("content-length", "1")];
        let (answer, _) = head(response(200, &same, ResponseBody::Streamed), false).unwrap();
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "1");
    }

    #[test]
    fn of_a_whole_body_the_host_says_the_length_but_a_head_without_body_keeps_its_own() {
        let claimed = [("content-length", "7")];
        let (whole, _) =
            head(response(200, &claimed, ResponseBody::Whole(vec![1])), false).unwrap();
        assert!(whole.headers().is_empty());
        let (bare, _) = head(response(200, &claimed, ResponseBody::None), true).unwrap();
        assert_eq!(bare.headers()[header::CONTENT_LENGTH], "7");
        let (none, _) = head(response(204, &claimed, ResponseBody::None), true).unwrap();
        assert!(none.headers().is_empty());
    }

    #[test]
    fn the_head_of_a_wasi_http_response_has_the_same_limits() {
        let with = |status, fields| {
            let mut response = http::Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for _ in 0..fields {
                let value = HeaderValue::from_static("1");
                response.headers_mut().append("x-field", value);
            }
            check(&response)
        };
        assert_eq!(with(599, MAX_FIELDS), Ok(()));
        assert_eq!(with(600, 0), Err(IllegalResponse::Status(600)));
        assert_eq!(with(199, 0), Err(IllegalResponse::Status(199)));
        let many = MAX_FIELDS + 1;
        assert_eq!(with(200, many), Err(IllegalResponse::TooMany(many)));
    }
}
