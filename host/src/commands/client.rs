//! Finds the node of this machine and speaks the API with it.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cluster::NodeName;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::CommandError;
use super::cli::Ask;
use super::remote;
use crate::api;
use crate::api::types::API;
use mesh::control::tool::ToolClient;
use mesh::data_dir::DataDir;

/// How long a node may take for an answer that needs no work.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a node may take to compile and try a component.
const TAKE_IN: Duration = Duration::from_secs(600);

/// How long a stream may be silent. Every 5 s a node says that it is there.
const SILENCE: Duration = Duration::from_secs(30);

/// The largest answer, and the longest line of a stream, in bytes.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
const LINE_MAX: usize = 1024 * 1024;

/// How large the pieces of an upload are, in bytes.
const PIECE: usize = 64 * 1024;

type Body = BoxBody<Bytes, io::Error>;

/// A node that can be asked.
#[derive(Debug)]
pub(super) enum ApiClient {
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
            return Ok(ApiClient::Remote(remote::connect(node, ask).await?));
        }
        let folder = match (&ask.which.data_dir, &ask.which.name) {
            (Some(folder), _) => folder.clone(),
            (None, Some(name)) => DataDir::default_path(&name.parse::<NodeName>()?)?,
            (None, None) => the_one_that_runs(&DataDir::default_parent()?)?,
        };
        match DataDir::used_by(&folder)? {
            Some(pid) => Ok(ApiClient::Socket { folder, pid }),
            None => Err(CommandError::NotRunning(folder)),
        }
    }

    /// Gets what is at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        let answer = self.send(Method::GET, path, whole(Bytes::new()), ANSWER);
        read(answer.await?).await
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
        read(answer.await?).await
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
        read(self.request(request, upload.boxed(), TAKE_IN).await?).await
    }

    /// Opens a stream of lines.
    pub(super) async fn lines(&self, path: &str) -> Result<LineReader, CommandError> {
        let answer = self.send(Method::GET, path, whole(Bytes::new()), ANSWER);
        let answer = answer.await?;
        if answer.status() != StatusCode::OK {
            // The answer says why there are no lines.
            let other: serde_json::Value = read(answer).await?;
            return Err(CommandError::Answer(other.to_string()));
        }
        Ok(LineReader {
            body: answer.into_body(),
            there: BytesMut::new(),
        })
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
            let answer = match self {
                ApiClient::Socket { folder, pid } => over_socket(folder, *pid, request).await?,
                ApiClient::Remote(tool) => tool.request(request).await,
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

/// The data folder of the only node that runs on this machine.
fn the_one_that_runs(parent: &Path) -> Result<PathBuf, CommandError> {
    let running = DataDir::used_in(parent)?;
    match &running[..] {
        [] => Err(CommandError::NoNode(parent.to_owned())),
        [one] => Ok(one.clone()),
        _ => {
            let names = running.iter().filter_map(|folder| folder.file_name());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            Err(CommandError::ManyNodes(names.join(", ")))
        }
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// Reads an answer to its end.
async fn read<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T, CommandError> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect();
    let body = timeout(ANSWER, body)
        .await
        .map_err(|_| CommandError::NoAnswer(ANSWER.as_secs()))?
        .map_err(|error| CommandError::Broken(error.to_string()))?
        .to_bytes();
    #[derive(serde::Deserialize)]
    struct Version {
        api: u32,
    }
    let unclear = |error: serde_json::Error| CommandError::Answer(error.to_string());
    let Version { api } = serde_json::from_slice(&body).map_err(unclear)?;
    if api != API {
        return Err(CommandError::Version(api));
    }
    if !status.is_success() {
        let problem = serde_json::from_slice(&body).map_err(unclear)?;
        return Err(CommandError::Refused(Box::new(problem)));
    }
    serde_json::from_slice(&body).map_err(unclear)
}

/// The lines of a stream, one after the other.
pub(super) struct LineReader {
    body: Incoming,
    there: BytesMut,
}

impl LineReader {
    /// The next line; none at the end of the stream. If this is dropped before
    /// it is done, nothing is lost.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CommandError> {
        loop {
            if let Some(end) = self.there.iter().position(|byte| *byte == b'\n') {
                let line = self.there.split_to(end + 1);
                let line = serde_json::from_slice(&line);
                return line
                    .map(Some)
                    .map_err(|error| CommandError::Answer(error.to_string()));
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
