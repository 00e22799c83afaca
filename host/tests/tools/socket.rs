//! The socket itself: whose it is, and what it stands.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use cluster::Digest;
use host::api::recent::Recent;
use host::api::types::{Code, Status};
use host::api::{ApiService, Limits, ToolSocket, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::fake::Fake;
use super::{Bench, PATIENCE, hang_up};

#[tokio::test]
async fn it_is_for_the_user_of_the_node_only() {
    let bench = Bench::new();
    let mode = std::fs::metadata(bench.path().join("host.sock")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let status: Status = bench.does("GET", "/v1/status", "").await;
    assert_eq!(status.node, super::fake::ME);
}

#[tokio::test]
async fn what_a_killed_process_left_is_replaced_and_it_goes_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.sock");
    // A process that is killed closes its socket and leaves the file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(connect(folder.path(), PATIENCE).await.is_err());
    let socket = ToolSocket::listen(folder.path()).unwrap();
    connect(folder.path(), PATIENCE).await.unwrap();
    drop(socket);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_folder_whose_name_is_too_long_for_a_socket_works_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let socket = ToolSocket::listen(&long).unwrap();
    let service = ApiService::new(
        Fake::new(None),
        std::sync::Arc::new(Recent::default()),
        Limits::default(),
    );
    let serving = tokio::spawn(socket.serve(service));
    let mut stream = connect(&long, PATIENCE).await.unwrap();
    let ask = b"GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serving.abort();
}

#[tokio::test]
async fn an_upload_that_falls_silent_or_is_cut_off_keeps_nothing_and_nobody_waiting() {
    let limits = Limits {
        silence: Duration::from_millis(50),
        ..Limits::default()
    };
    let bench = Bench::with(None, limits);
    let app = b"an app that never comes".as_slice();
    let digest = Digest::of(app);
    let head = format!(
        "PUT /v1/components/{digest} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\nan app",
        app.len()
    );
    let path = bench.path().join("host.sock");
    let mut silent = UnixStream::connect(&path).await.unwrap();
    silent.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    silent.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    let mut cut = UnixStream::connect(&path).await.unwrap();
    cut.write_all(head.as_bytes()).await.unwrap();
    hang_up(&cut);
    let mut rest = Vec::new();
    cut.read_to_end(&mut rest).await.unwrap();
    let stored = format!("/v1/components/{digest}");
    assert_eq!(bench.refuses("GET", &stored, "").await, Code::NoComponent);
}
