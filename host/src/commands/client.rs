//! Speaks the API with a node, of this machine or of another.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::CommandError;
use super::cli::Ask;
use super::local::{self, LocalNode};
use super::remote;
use crate::api;
use crate::api::types::API;
use crate::terminal;
use mesh::control::tool::ToolClient;

/// How long a node may take for an answer that needs no work.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a node may take to compile and try a component: longer than by its default limits, since
/// `--compile-time` of the node may be longer.
const TAKE_IN: Duration = Duration::from_secs(3600);

/// How long a stream may be silent. Every 5 s a node says that it is there.
const SILENCE: Duration = Duration::from_secs(30);

/// The largest answer, and the longest line of a stream, in bytes.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
const LINE_MAX: usize = 1024 * 1024;

/// How large the pieces of an upload are, in bytes.
const PIECE: usize = 64 * 1024;

type Body = BoxBody<Bytes, io::Error>;

/// Asks a node.
#[derive(Debug)]
pub(super) struct ApiClient {
    node: Reached,
    /// Whether answers are shown as JSON, and so as they are. Otherwise their texts are made
    /// fit for a terminal here, where they come in.
    json: bool,
}

/// How a node is reached.
#[derive(Debug)]
enum Reached {
    /// A node on this machine.
    Socket {
        /// Its data folder.
        folder: PathBuf,
        /// Its process number (PID).
        pid: u32,
    },
    /// A node on another machine.
    Remote(ToolClient),
}

impl ApiClient {
    /// Finds the node that the user means.
    pub(super) async fn find(ask: &Ask) -> Result<ApiClient, CommandError> {
        if let Some(node) = &ask.node {
            return Ok(ApiClient {
                node: Reached::Remote(remote::connect(node, ask).await?),
                json: ask.json,
            });
        }
        let node = local::find(&ask.which).await?;
        Ok(ApiClient::of_local(&node, ask.json))
    }

    /// Asks this node. `json`: whether answers are shown as JSON.
    pub(super) fn of_local(node: &LocalNode, json: bool) -> ApiClient {
        let (folder, pid) = (node.reachable.clone(), node.pid);
        ApiClient {
            node: Reached::Socket { folder, pid },
            json,
        }
    }

    /// Gets what is at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        let answer = self.send(Method::GET, path, whole(Bytes::new()), ANSWER);
        self.read(answer.await?).await
    }

    /// Posts a value.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, CommandError> {
        let body = serde_json::to_vec(value);
        let body = body.map_err(|error| CommandError::Answer(error.to_string()))?;
        let answer = self.send(Method::POST, path, whole(body.into()), ANSWER);
        self.read(answer.await?).await
    }

    /// Uploads bytes, with the signed record of their release if there is one, and reports
    /// how many have gone.
    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        record: Option<&str>,
        bytes: Bytes,
        gone: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<T, CommandError> {
        let upload = Upload {
            rest: bytes,
            sent: 0,
            gone: Box::new(gone),
        };
        let mut request = Request::put(path);
        if let Some(record) = record {
            request = request.header(api::RECORD, record);
        }
        let answer = self.request(request, upload.boxed(), TAKE_IN);
        self.read(answer.await?).await
    }

    /// Opens a stream of lines.
    pub(super) async fn lines(&self, path: &str) -> Result<LineReader, CommandError> {
        let as_they_are = self.json;
        let lines = self.lines_as_they_are(path).await?;
        Ok(LineReader {
            as_they_are,
            ..lines
        })
    }

    /// Opens a stream of lines whose texts the caller makes fit for a terminal.
    pub(super) async fn lines_as_they_are(&self, path: &str) -> Result<LineReader, CommandError> {
        let answer = self.send(Method::GET, path, whole(Bytes::new()), ANSWER);
        let answer = answer.await?;
        if answer.status() != StatusCode::OK {
            // The answer says why there are no lines.
            let other: Value = self.read(answer).await?;
            return Err(CommandError::Answer(other.to_string()));
        }
        Ok(LineReader {
            body: answer.into_body(),
            there: BytesMut::new(),
            as_they_are: true,
        })
    }

    /// Reads an answer to its end.
    async fn read<T: DeserializeOwned>(
        &self,
        answer: Response<Incoming>,
    ) -> Result<T, CommandError> {
        #[derive(serde::Deserialize)]
        struct Version {
            api: u32,
        }
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect();
        let body = timeout(ANSWER, body)
            .await
            .map_err(|_| CommandError::NoAnswer(ANSWER.as_secs()))?
            .map_err(|error| CommandError::Broken(error.to_string()))?
            .to_bytes();
        let Version { api } = parse(&body, true)?;
        if api != API {
            return Err(CommandError::Version(api));
        }
        if !status.is_success() {
            return Err(CommandError::Refused(Box::new(parse(&body, self.json)?)));
        }
        parse(&body, self.json)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        within: Duration,
    ) -> Result<Response<Incoming>, CommandError> {
        let request = Request::builder().method(method).uri(path);
        self.request(request, body, within).await
    }

    async fn request(
        &self,
        request: http::request::Builder,
        body: Body,
        within: Duration,
    ) -> Result<Response<Incoming>, CommandError> {
        let request = request
            .body(body)
            .map_err(|error| CommandError::Answer(error.to_string()))?;
        let answer = async {
            let answer = match &self.node {
                Reached::Socket { folder, pid } => over_socket(folder, *pid, request).await?,
                Reached::Remote(tool) => tool.request(request).await,
            };
            answer.map_err(broken)
        };
        match timeout(within, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(CommandError::NoAnswer(within.as_secs())),
        }
    }
}

fn broken(error: hyper::Error) -> CommandError {
    // The text says what was being done; the source of the error says why that
    // failed.
    let mut why = error.to_string();
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        why = cause.to_string();
        beneath = cause.source();
    }
    CommandError::Broken(why)
}

async fn over_socket(
    folder: &Path,
    pid: u32,
    mut request: Request<Body>,
) -> Result<hyper::Result<Response<Incoming>>, CommandError> {
    let stream = api::connect(folder, ANSWER)
        .await
        .map_err(|cause| CommandError::of_socket(api::path(folder), pid, cause))?;
    let (mut sender, connection) = match http1::handshake(TokioIo::new(stream)).await {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    // The task ends with the answer. Its errors show there.
    tokio::spawn(connection);
    let host = header::HeaderValue::from_static("node");
    request.headers_mut().insert(header::HOST, host);
    Ok(sender.send_request(request).await)
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// Parses what a node has said.
fn parse<T: DeserializeOwned>(json: &[u8], as_it_is: bool) -> Result<T, CommandError> {
    let unclear = |error: serde_json::Error| CommandError::Answer(error.to_string());
    if as_it_is {
        return serde_json::from_slice(json).map_err(unclear);
    }
    let mut value: Value = serde_json::from_slice(json).map_err(unclear)?;
    terminal::all_on_one_line(&mut value);
    serde_json::from_value(value).map_err(unclear)
}

/// The lines of a stream, one after the other.
pub(super) struct LineReader {
    body: Incoming,
    there: BytesMut,
    /// Whether texts stay as they are.
    as_they_are: bool,
}

impl LineReader {
    /// The next line; none at the end of the stream. If this is dropped before
    /// it is done, nothing is lost.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CommandError> {
        loop {
            if let Some(end) = self.there.iter().position(|byte| *byte == b'\n') {
                let line = self.there.split_to(end + 1);
                return parse(&line, self.as_they_are).map(Some);
            }
            if self.there.len() > LINE_MAX {
                return Err(CommandError::Answer("a line has no end".to_owned()));
            }
            let frame = timeout(SILENCE, self.body.frame())
                .await
                .map_err(|_| CommandError::NoAnswer(SILENCE.as_secs()))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.there.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Bytes that go piece by piece, so that the progress can be seen.
struct Upload {
    rest: Bytes,
    sent: u64,
    gone: Box<dyn Fn(u64) + Send + Sync>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let most = PIECE.min(self.rest.len());
        let piece = self.rest.split_to(most);
        self.sent += piece.len() as u64;
        (self.gone)(self.sent);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
