//! The smoke request: one request to new code before it serves anybody. It
//! goes the way of any other, over a connection in memory.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::app::Generation;
use crate::exchange::Exchanges;
use crate::http::Head;

/// What waits in memory between the two ends of the connection.
const BUFFER: usize = 64 * 1024;

/// A request without a body, as `--smoke` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smoke {
    method: Method,
    path: PathAndQuery,
}

/// Why a text is no smoke request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmokeFormError {
    /// The method may change something, or is none.
    #[error("{0} is neither GET nor HEAD; give such as `GET /path`")]
    Method(String),
    /// The path does not begin at the root, or is none.
    #[error("{0} is no path; give such as `GET /path`")]
    Path(String),
}

/// Why new code did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmokeError {
    /// It answered, and badly.
    #[error("{0} was answered with {1}; from 200 to 399 is wanted")]
    Status(Smoke, StatusCode),
    /// It did not answer.
    #[error("{0} was not answered: {1}")]
    Unanswered(Smoke, String),
    /// It did not answer in time.
    #[error("{smoke} was not answered within {} s", wall.as_secs_f32())]
    Late {
        /// The request.
        smoke: Smoke,
        /// How long it was waited for.
        wall: Duration,
    },
}

impl FromStr for Smoke {
    type Err = SmokeFormError;

    fn from_str(text: &str) -> Result<Smoke, SmokeFormError> {
        let (method, path) = text.split_once(' ').unwrap_or(("GET", text));
        let method = match method {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            other => return Err(SmokeFormError::Method(other.to_owned())),
        };
        match path.trim().parse::<PathAndQuery>() {
            Ok(path) if path.path().starts_with('/') => Ok(Smoke { method, path }),
            _ => Err(SmokeFormError::Path(path.to_owned())),
        }
    }
}

impl fmt::Display for Smoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Smoke {
    /// Asks this of code that need not serve yet, and returns once the head of
    /// its answer is there. It may take as long as any callback may.
    ///
    /// # Errors
    /// See [`SmokeError`].
    pub async fn ask(
        &self,
        exchanges: &Arc<Exchanges>,
        generation: &Arc<Generation>,
    ) -> Result<StatusCode, SmokeError> {
        let wall = generation.runtime.limits.wall;
        let asked = tokio::time::timeout(wall, self.send(exchanges, generation)).await;
        match asked {
            Ok(Ok(status)) if status.is_success() || status.is_redirection() => Ok(status),
            Ok(Ok(status)) => Err(SmokeError::Status(self.clone(), status)),
            Ok(Err(error)) => Err(SmokeError::Unanswered(self.clone(), error.to_string())),
            Err(_) => Err(SmokeError::Late {
                smoke: self.clone(),
                wall,
            }),
        }
    }

    async fn send(
        &self,
        exchanges: &Arc<Exchanges>,
        generation: &Arc<Generation>,
    ) -> Result<StatusCode, hyper::Error> {
        let (near, far) = tokio::io::duplex(BUFFER);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
            let (parts, body) = request.into_parts();
            let head = Head::new(parts, peer);
            let response = exchanges.serve(generation.clone(), head, body).await;
            Ok::<_, Infallible>(response)
        });
        let server =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
        let client = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
            let mut request = Request::new(Empty::<Bytes>::new());
            *request.method_mut() = self.method.clone();
            *request.uri_mut() = self.path.clone().into();
            let host = http::HeaderValue::from_static("localhost");
            request.headers_mut().insert(header::HOST, host);
            tokio::select! {
                response = sender.send_request(request) => response,
                never = driven(connection) => match never {},
            }
        };
        // Both ends in this task: dropped together, nothing of it goes on.
        let response = tokio::select! {
            response = client => response?,
            never = driven(server) => match never {},
        };
        Ok(response.status())
    }
}

/// Drives one end of a connection. How it ends, the request is told.
async fn driven(connection: impl Future) -> Infallible {
    connection.await;
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smoke_request_is_a_method_that_changes_nothing_and_a_path() {
        let parse = |text: &str| text.parse::<Smoke>();
        assert_eq!(
            parse("GET /health?deep=1").unwrap().to_string(),
            "GET /health?deep=1"
        );
        assert_eq!(parse("/").unwrap().to_string(), "GET /");
        assert_eq!(parse("HEAD /a").unwrap().to_string(), "HEAD /a");
        for (text, says) in [
            ("POST /", "POST is neither GET nor HEAD"),
            ("health", "health is no path"),
            ("GET health", "health is no path"),
            ("GET ", "no path"),
            ("GET /a b", "no path"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
