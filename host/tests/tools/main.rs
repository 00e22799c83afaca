//! The API for tools over a real socket, and the commands as processes that
//! ask it: against a node that is made up, so that it does what a test wants.

mod api;
mod commands;
mod documented;
mod fake;
mod kv;
mod local;
mod output;
mod reach;
mod settings;
mod socket;
mod verdict;

use std::net::Shutdown;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::release::DeployKey;
use fake::Fake;
use host::api::recent::Recent;
use host::api::types::{Code, Problem};
use host::api::{ApiService, Limits, ToolSocket};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh::data_dir::DataDir;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// How long a test waits for what must come. Reached only when it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node that is made up, behind the socket in its data folder.
struct Bench {
    folder: TempDir,
    node: Arc<Fake>,
    log: Arc<Recent>,
    serving: JoinHandle<()>,
    _data: DataDir,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(None, Limits::default())
    }

    fn with(deploy_key: Option<DeployKey>, limits: Limits) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("it is free");
        let node = Fake::new(deploy_key);
        let log = Arc::new(Recent::default());
        let service = ApiService::new(node.clone(), log.clone(), limits);
        let socket = ToolSocket::listen(folder.path()).expect("a socket");
        Bench {
            folder,
            node,
            log,
            serving: tokio::spawn(socket.serve(service)),
            _data: data,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file with these bytes.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "node")
            .body(Full::new(body.into()))
            .expect("a request");
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
        let stream = UnixStream::connect(self.path().join("host.sock")).await;
        let io = TokioIo::new(stream.expect("the node listens"));
        let (mut sender, connection) = http1::handshake(io).await.expect("no bytes yet");
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.expect("an answer");
        let status = answer.status();
        (
            status,
            answer.collect().await.expect("all of it").to_bytes(),
        )
    }

    /// Uploads a component, with this record if there is one.
    async fn upload_signed(
        &self,
        path: &str,
        record: Option<&str>,
        bytes: &[u8],
    ) -> Result<(), Code> {
        let mut request = Request::put(path).header("host", "node");
        if let Some(record) = record {
            request = request.header(host::api::RECORD, record);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(bytes)));
        let (status, answer) = self.send(request.expect("a request")).await;
        if status.is_success() {
            return Ok(());
        }
        let problem: Problem = serde_json::from_slice(&answer).expect("why it is refused");
        Err(problem.code)
    }

    /// What a request that succeeds is answered.
    async fn does<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> T {
        let (status, answer) = self.ask(method, path, body).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_slice(&answer).expect("what was asked for")
    }

    /// Why a request is refused.
    async fn refuses(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Code {
        let (status, answer) = self.ask(method, path, body).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!status.is_success(), "{method} {path}: {status} {text}");
        let problem: Problem = serde_json::from_slice(&answer).expect("a problem");
        assert!(!problem.reason.is_empty());
        problem.code
    }

    /// A command that asks this node.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = command(words);
        command.arg("--data-dir").arg(self.path());
        command
    }

    /// How it ends.
    async fn run(&self, words: &[&str]) -> Ended {
        ended(self.command(words)).await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
    command
        .args(words)
        .env("USER", "tester")
        .env_remove("SUDO_USER")
        .env_remove("HOST_COOKIE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Ended {
    exit: Option<i32>,
    out: String,
    err: String,
}

async fn ended(mut command: Command) -> Ended {
    let output = tokio::task::spawn_blocking(move || command.output().expect("the program starts"));
    let output: Output = tokio::time::timeout(PATIENCE, output)
        .await
        .expect("the command ends")
        .expect("it does not panic");
    Ended {
        exit: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Ends one direction of a connection.
fn hang_up(stream: &UnixStream) {
    socket2::SockRef::from(stream)
        .shutdown(Shutdown::Write)
        .expect("it is open");
}
