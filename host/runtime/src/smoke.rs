//! The smoke request: one request that new code must answer before it serves.
//!
//! It goes through HTTP and an exchange like any other request, but only to the new
//! code, over a connection within this process. It has topics of its own, so nobody
//! else hears what it publishes.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use crate::exchange::{BodyLimits, Exchanges, ExchangesConfig};
use crate::generation::Generation;
use crate::http::RequestHead;

/// How many bytes of the answer are under way at a time.
const PIPE: usize = 64 * 1024;
/// How much longer than a callback the request may take. In this time a callback that
/// is over its limit is ended, so that the reason is known.
const GRACE: Duration = Duration::from_secs(1);
/// Lets the app tell this request from others.
const AGENT: &str = concat!("host/", env!("CARGO_PKG_VERSION"), " (smoke)");

/// The request that `--smoke` asks for.
#[derive(Clone, Debug)]
pub struct Smoke {
    /// What the request asks for.
    pub target: PathAndQuery,
    /// The config that the app gets.
    pub config: Bytes,
}

/// Why a smoke request was not answered as it should be.
#[derive(Clone, Debug)]
pub(super) struct Unanswered {
    /// The reason, as the end of a sentence.
    pub(super) cause: String,
    /// Whether the machine had no room for it, which says nothing about the app.
    pub(super) by_machine: bool,
}

impl Smoke {
    /// Makes the request. A success or a redirect passes. If the length of the answer
    /// is known, all of it must come; if the answer is a stream, its head is enough.
    ///
    /// # Errors
    /// What the app answered instead, or why it did not answer.
    pub(super) async fn ask(&self, generation: Generation) -> Result<(), Unanswered> {
        let views = generation.runtime.node.views.clone();
        let ip = views.own_name().ip();
        let patience = generation.runtime.limits.wall + GRACE;
        let (_stop, stopping) = watch::channel(false);
        let config = ExchangesConfig {
            config: self.config.clone(),
            bodies: BodyLimits::default(),
        };
        let exchanges = Exchanges::apart(views, stopping, config);

        let generation = Arc::new(generation);
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let service = service_fn(|request: http::Request<Incoming>| {
            let (parts, body) = request.into_parts();
            let head = RequestHead::new(parts, SocketAddr::new(IpAddr::V4(ip), 0));
            let (exchanges, generation) = (exchanges.clone(), generation.clone());
            async move { Ok::<_, Infallible>(exchanges.serve(generation, head, body).await) }
        });
        let server = hyper::server::conn::http1::Builder::new();
        let mut server = pin!(server.serve_connection(TokioIo::new(theirs), service));
        let get = self.get(TokioIo::new(ours), ip.to_string());
        let mut asked = pin!(tokio::time::timeout(patience, get));
        let answered = tokio::select! {
            answered = &mut asked => answered,
            // The server ends when it has answered, or breaks off.
            _ = &mut server => asked.await,
        };
        let failed = match &answered {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(answer)) => answer.clone(),
            Err(_) => format!("was not answered within {} s", patience.as_secs_f32()),
        };
        let complaint = exchanges.complaint();
        Err(Unanswered {
            by_machine: complaint.as_ref().is_some_and(|it| it.by_machine),
            cause: match complaint {
                Some(complaint) => format!("{failed}: {}", complaint.cause),
                None => failed,
            },
        })
    }

    /// The client's side.
    async fn get(&self, io: TokioIo<tokio::io::DuplexStream>, host: String) -> Result<(), String> {
        let broke = |error: hyper::Error| format!("broke off ({error})");
        let request = http::Request::get(self.target.as_str())
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .body(Empty::<Bytes>::new())
            .map_err(|error| format!("cannot be made ({error})"))?;
        let client = hyper::client::conn::http1::handshake(io);
        let (mut sender, connection) = client.await.map_err(broke)?;
        let mut connection = pin!(connection);
        let answer = async {
            let response = sender.send_request(request).await.map_err(broke)?;
            let status = response.status();
            if !status.is_success() && !status.is_redirection() {
                return Err(format!("was answered with {status}"));
            }
            let mut body = response.into_body();
            if body.size_hint().exact().is_some() {
                while let Some(frame) = body.frame().await {
                    frame.map_err(broke)?;
                }
            }
            Ok(())
        };
        let mut answer = pin!(answer);
        tokio::select! {
            answered = &mut answer => answered,
            _ = &mut connection => answer.await,
        }
    }
}
