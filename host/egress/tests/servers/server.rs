//! A server of the tests: each connection runs one script.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::LOOPBACK;

/// A server that counts its connections. It ends when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    /// How many connections have ended.
    ended: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// A server on a port of its own, which runs this for each connection.
    pub(super) async fn start<F>(script: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Server::on(LOOPBACK, 0, script).await
    }

    pub(super) async fn on<F>(
        ip: IpAddr,
        port: u16,
        script: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, port)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let (ends, ended) = watch::channel(0);
        let counted = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                let (run, ends) = (script(stream), ends.clone());
                tokio::spawn(async move {
                    run.await;
                    ends.send_modify(|ended| *ended += 1);
                });
            }
        });
        Server {
            address,
            accepted,
            ended,
            task,
        }
    }

    /// A server that answers each request with its request line.
    pub(super) async fn echo() -> Server {
        Server::start(|mut stream| async move {
            while let Some(line) = request(&mut stream).await {
                answer(&mut stream, "200 OK", "", &line).await;
            }
        })
        .await
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// Waits until so many connections have ended.
    pub(super) async fn ended(&self, number: usize) {
        let mut ended = self.ended.clone();
        let all = ended.wait_for(|it| *it >= number).await;
        all.expect("the server runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the head of a request, and returns its first line and its host; none once the
/// connection has ended.
pub(super) async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("text");
    let host = head
        .lines()
        .find(|line| line.to_lowercase().starts_with("host:"));
    let host = host.unwrap_or_default();
    Some(format!(
        "{} {host}",
        head.lines().next().unwrap_or_default()
    ))
}

pub(super) async fn answer(stream: &mut TcpStream, status: &str, fields: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{fields}\r\n{body}");
    // The client may have gone.
    let _ = stream.write_all(text.as_bytes()).await;
}
