//! Requests: converts them from hyper's types to the contract's.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::body::{OutgoingBody, text};
use super::response::fields;
use crate::contract::http as contract;
use crate::exchange::BodyLimits;
use crate::generation::Source;

/// How many bytes of memory a body is given before the first of it has come.
const AT_ONCE: usize = 64 * 1024;
/// How many bytes of a path go into the log.
const LOGGED_PATH: usize = 200;

/// The head of a request, and where it came from.
#[derive(Debug)]
pub struct RequestHead {
    parts: Parts,
    peer: SocketAddr,
    source: Source,
}

impl RequestHead {
    /// A head that came from this peer.
    pub fn new(parts: Parts, peer: SocketAddr) -> RequestHead {
        RequestHead {
            parts,
            peer,
            source: Source::of(peer.ip()),
        }
    }

    /// The same, where this machine itself is the peer.
    pub fn from_this_machine(self) -> RequestHead {
        RequestHead {
            source: Source::Exempt,
            ..self
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Where it came from, as it is counted.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// The path as it was sent, cut to a bounded length for the log.
    pub fn path(&self) -> &str {
        let path = self.parts.uri.path();
        let end = (0..=path.len().min(LOGGED_PATH))
            .rev()
            .find(|end| path.is_char_boundary(*end));
        &path[..end.unwrap_or(0)]
    }

    /// Turns the head back into hyper's parts.
    pub(crate) fn into_parts(self) -> Parts {
        self.parts
    }

    /// The request in the contract's type.
    pub fn to_contract(&self, body: contract::RequestBody) -> contract::Request {
        let uri = &self.parts.uri;
        contract::Request {
            scheme: contract::Scheme::Http,
            authority: authority(uri, &self.parts.headers),
            method: method(&self.parts.method),
            path: uri
                .path()
                .split('/')
                .filter(|segment| !segment.is_empty())
                .map(str::to_owned)
                .collect(),
            raw_path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            headers: fields(&self.parts.headers),
            body,
            peer: contract::Peer {
                ip: self.peer.ip().to_canonical().to_string(),
                port: self.peer.port(),
            },
        }
    }
}

fn authority(uri: &http::Uri, headers: &HeaderMap) -> String {
    match (uri.authority(), headers.get(header::HOST)) {
        (Some(authority), _) => authority.as_str().to_owned(),
        (None, Some(host)) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        (None, None) => String::new(),
    }
}

fn method(method: &Method) -> contract::Method {
    match method.as_str() {
        "GET" => contract::Method::Get,
        "HEAD" => contract::Method::Head,
        "POST" => contract::Method::Post,
        "PUT" => contract::Method::Put,
        "DELETE" => contract::Method::Delete,
        "CONNECT" => contract::Method::Connect,
        "OPTIONS" => contract::Method::Options,
        "TRACE" => contract::Method::Trace,
        "PATCH" => contract::Method::Patch,
        other => contract::Method::Other(other.to_owned()),
    }
}

/// Why the whole body of a request could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRefusal {
    /// It is larger than allowed.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// It broke off, or was not HTTP.
    Broken,
}

impl BodyRefusal {
    /// The answer to the client.
    pub fn response(self, limit: usize) -> http::Response<OutgoingBody> {
        match self {
            BodyRefusal::TooLarge => {
                let mut response = text(StatusCode::PAYLOAD_TOO_LARGE, "");
                let told = format!("the body is larger than the {limit} bytes that are taken\n");
                *response.body_mut() = OutgoingBody::whole(told.into());
                response
            }
            BodyRefusal::TooSlow => text(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come in time\n",
            ),
            BodyRefusal::Broken => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
        }
    }
}

/// How many bytes of memory the whole body of a request may take: its declared
/// length, or else the limit.
pub fn room(body: &Incoming, limit: usize) -> usize {
    use http_body::Body as _;
    let promised = body.size_hint().upper();
    promised
        .and_then(|bytes| usize::try_from(bytes).ok())
        .map_or(limit, |bytes| bytes.min(limit))
}

/// Checks the declared length of a body, if there is one.
///
/// # Errors
/// [`BodyRefusal::TooLarge`].
pub(crate) fn check_length(body: &Incoming, limit: usize) -> Result<(), BodyRefusal> {
    use http_body::Body as _;
    match body.size_hint().lower() > limit as u64 {
        true => Err(BodyRefusal::TooLarge),
        false => Ok(()),
    }
}

/// Reads the whole body of a request, within these limits. It may be slow, but not so slow that it
/// would hold its memory for ever.
///
/// # Errors
/// See [`BodyRefusal`].
pub(crate) async fn whole(
    mut body: Incoming,
    limits: &BodyLimits,
) -> Result<contract::RequestBody, BodyRefusal> {
    use http_body::Body as _;
    if body.is_end_stream() {
        return Ok(contract::RequestBody::None);
    }
    // A length that is too large is refused before any of the body is read.
    check_length(&body, limits.whole)?;
    let mut whole = WholeBody::begin(&body, limits.whole);
    whole.rest(&mut body, limits).await?;
    // Trailers mean nothing to a simple app.
    Ok(contract::RequestBody::Whole(whole.into_parts().0))
}

/// The whole body of a request, as far as it has come.
pub(crate) struct WholeBody {
    limit: usize,
    bytes: Vec<u8>,
    trailers: HeaderMap,
    began: Instant,
    /// When the last of it came.
    last: Instant,
}

impl WholeBody {
    /// Begins with nothing of this body, which may have so many bytes.
    pub(crate) fn begin(body: &Incoming, limit: usize) -> WholeBody {
        let now = Instant::now();
        WholeBody {
            limit,
            bytes: Vec::with_capacity(room(body, limit).min(AT_ONCE)),
            trailers: HeaderMap::new(),
            began: now,
            last: now,
        }
    }

    /// Reads to the end. May be dropped at any time without losing anything, and called again.
    ///
    /// # Errors
    /// See [`BodyRefusal`].
    pub(crate) async fn rest(
        &mut self,
        body: &mut Incoming,
        limits: &BodyLimits,
    ) -> Result<(), BodyRefusal> {
        loop {
            // Empty frames do not count as progress.
            let due = slowest(self.began, self.bytes.len(), limits).min(self.last + limits.idle);
            let frame = match timeout_at(due, body.frame()).await {
                Err(_) => return Err(BodyRefusal::TooSlow),
                Ok(None) => return Ok(()),
                Ok(Some(Err(_))) => return Err(BodyRefusal::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) if self.bytes.len() + data.len() > self.limit => {
                    return Err(BodyRefusal::TooLarge);
                }
                Ok(data) => {
                    self.bytes.extend_from_slice(&data);
                    self.last = Instant::now();
                }
                Err(frame) => self
                    .trailers
                    .extend(frame.into_trailers().unwrap_or_default()),
            }
        }
    }

    /// The bytes, and the trailers.
    pub(crate) fn into_parts(self) -> (Vec<u8>, HeaderMap) {
        (self.bytes, self.trailers)
    }
}

/// When a body of which so many bytes came is too slow. At first it may take its time.
fn slowest(began: Instant, bytes: usize, limits: &BodyLimits) -> Instant {
    let taken = bytes as u64 * 1000 / limits.least_rate.max(1);
    began + limits.idle + Duration::from_millis(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_mebibytes_may_come_at_a_megabit_per_second_and_none_may_last_for_ever() {
        let (began, limits) = (Instant::now(), BodyLimits::default());
        let comes_at = |bytes: usize, rate: u64| began + Duration::from_secs(bytes as u64 / rate);
        for bytes in [0, 1 << 20, 4 << 20, 8 << 20] {
            assert!(comes_at(bytes, 125_000) < slowest(began, bytes, &limits));
        }
        assert!(comes_at(8 << 20, 7000) > slowest(began, 8 << 20, &limits));
    }

    fn contract(uri: &str, host: Option<&str>) -> contract::Request {
        let mut request = http::Request::builder().uri(uri);
        if let Some(host) = host {
            request = request
                .header("Host", host)
                .header("X-Twice", "1")
                .header("x-twice", "2");
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        RequestHead::new(parts, "127.0.0.1:9".parse().unwrap())
            .to_contract(contract::RequestBody::None)
    }

    #[test]
    fn segments_are_not_decoded_and_empty_ones_dropped() {
        let request = contract("/users//a%2Fb/?q=1&r", Some("x:1"));
        assert_eq!(request.path, ["users", "a%2Fb"]);
        assert_eq!(request.raw_path, "/users//a%2Fb/");
        assert_eq!(request.query.as_deref(), Some("q=1&r"));
        assert_eq!(contract("/?", Some("x")).query.as_deref(), Some(""));
    }

    #[test]
    fn the_authority_comes_from_the_target_then_from_the_host_field() {
        assert_eq!(contract("http://a:1/", Some("b:2")).authority, "a:1");
        assert_eq!(contract("/", Some("b:2")).authority, "b:2");
        assert_eq!(contract("/", None).authority, "");
    }

    #[test]
    fn duplicate_fields_are_kept_in_order() {
        let request = contract("/", Some("b"));
        let twice: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| name == "x-twice")
            .collect();
        assert_eq!(twice.len(), 2);
        assert_eq!(twice[0].1, b"1");
    }

    #[test]
    fn a_long_path_is_cut_for_the_log() {
        let long = format!("/{}", "a".repeat(1000));
        let (parts, ()) = http::Request::builder()
            .uri(&long)
            .body(())
            .unwrap()
            .into_parts();
        assert_eq!(
            RequestHead::new(parts, "127.0.0.1:9".parse().unwrap())
                .path()
                .len(),
            LOGGED_PATH
        );
    }
}
