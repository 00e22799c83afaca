//! A connection on which a test sends and sees the bytes themselves.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::soon;

/// A connection.
pub(crate) struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// One HTTP/1.1 response as it was sent.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// The head, in lower case, status line included.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Raw {
        let stream = TcpStream::connect(to).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Raw {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends bytes. That the other end has closed already is no error: what it
    /// said before is still to be read.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Sends no more, and reads on.
    pub(crate) async fn close_sending(&mut self) {
        self.stream.shutdown().await.expect("it is open");
    }

    /// Reads one response that has a `content-length`.
    pub(crate) async fn response(&mut self) -> Said {
        let end = self.find(b"\r\n\r\n").await;
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head)
            .expect("a head is text")
            .to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.unwrap_or_else(|| panic!("no content-length in {head}"));
        let length: usize = length.parse().expect("a length is a number");
        while self.unread.len() < length {
            assert!(self.more().await, "closed in the body after {head}");
        }
        let body: Vec<u8> = self.unread.drain(..length).collect();
        let body = String::from_utf8(body).expect("the body is text");
        Said {
            status: status(&head),
            head,
            body,
        }
    }

    /// Reads the head of one response, status line included, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        let end = self.find(b"\r\n\r\n").await;
        let head: Vec<u8> = self.unread.drain(..end).collect();
        String::from_utf8(head)
            .expect("a head is text")
            .to_lowercase()
    }

    /// Reads to this text.
    pub(crate) async fn text(&mut self, text: &str) {
        let end = self.find(text.as_bytes()).await;
        self.unread.drain(..end);
    }

    /// Reads until the other end closes.
    pub(crate) async fn read_to_end(mut self) -> Vec<u8> {
        while self.more().await {}
        self.unread
    }

    async fn find(&mut self, bytes: &[u8]) -> usize {
        loop {
            let at = self
                .unread
                .windows(bytes.len())
                .position(|window| window == bytes);
            if let Some(at) = at {
                return at + bytes.len();
            }
            let so_far = String::from_utf8_lossy(&self.unread).into_owned();
            assert!(self.more().await, "closed after {so_far:?}");
        }
    }

    /// Reads more; false if the other end has closed, or reset, the connection.
    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match soon("more bytes, or the end", self.stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.unread.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }
}

/// The status of a head.
pub(crate) fn status(head: &str) -> u16 {
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {head:?}"))
}
