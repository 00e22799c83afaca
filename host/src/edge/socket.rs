//! A connection, shared by the protocol that moves its bytes and by those who watch it.
//!
//! A client may close its sending half and still read. So the end of what it sends is not the end
//! of the connection. It has gone when the connection is reset, or when nothing has been sent to it
//! for a while after that end: a client that is alive may miss something then, but one that is gone
//! would keep its exchange for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How much of what nobody wants is read at a time.
const READ: usize = 64 * 1024;
/// How long bytes that nobody wants are read before a connection is closed, and how long the
/// client may pause meanwhile. So it can read the answer that it got before its request was read.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The end of a connection that a protocol uses.
pub(super) struct Socket {
    /// It reads into memory that was never written, so an idle connection does not make all of
    /// the protocol's buffer resident.
    reads: OwnedReadHalf,
    /// The first bytes of the client, of which the protocol has read none, and how many there are.
    start: [u8; PREFACE.len()],
    start_len: usize,
    shared: Arc<Shared>,
}

/// The end of a connection that is watched.
pub(super) struct WatchedSocket(Arc<Shared>);

struct Shared {
    writes: OwnedWriteHalf,
    /// How many bytes were sent.
    sent: AtomicU64,
    /// Whether there are bytes that the system has not taken yet, as the client does not read.
    unread: AtomicBool,
}

/// The two ends.
pub(super) fn watched(stream: TcpStream) -> (Socket, WatchedSocket) {
    let (reads, writes) = stream.into_split();
    let shared = Arc::new(Shared {
        writes,
        sent: AtomicU64::new(0),
        unread: AtomicBool::new(false),
    });
    let socket = Socket {
        reads,
        start: [0; PREFACE.len()],
        start_len: 0,
        shared: shared.clone(),
    };
    (socket, WatchedSocket(shared))
}

impl Shared {
    fn stream(&self) -> &TcpStream {
        self.writes.as_ref()
    }
}

impl WatchedSocket {
    /// Waits until the client has gone. One that sends no more is as good as gone once nothing
    /// was sent to it for this time.
    pub(super) async fn gone(&self, quiet: Duration) {
        let stream = self.0.stream();
        // Bytes that wait to be read do not end this, but the end of them does.
        let end = Interest::PRIORITY | Interest::ERROR;
        match stream.ready(end).await {
            Ok(ready) if !ready.is_error() => {}
            Ok(_) | Err(_) => return,
        }
        loop {
            let sent = self.0.sent.load(Relaxed);
            tokio::select! {
                _ = stream.ready(Interest::ERROR) => return,
                () = tokio::time::sleep(quiet) => {}
            }
            if self.0.sent.load(Relaxed) == sent {
                return;
            }
        }
    }

    /// Whether the protocol has bytes for the client that the system has not taken yet. If the
    /// client never reads them, the system closes the connection after the stall limit.
    pub(super) fn is_unread(&self) -> bool {
        self.0.unread.load(Relaxed)
    }

    /// Reads what the client still sends, until it has read the answer and closes, within bounds.
    /// If unread bytes were left, the system would reset the connection, and the client would
    /// lose the answer.
    pub(super) async fn linger(&self) {
        let _ = SockRef::from(self.0.stream()).shutdown(std::net::Shutdown::Write);
        let mut bytes = vec![0; READ];
        let read = async {
            loop {
                let readable = tokio::time::timeout(LINGER_PAUSE, self.0.stream().readable());
                let Ok(Ok(())) = readable.await else { return };
                match self.0.stream().try_read(&mut bytes) {
                    Ok(0) => return,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                    Ok(_) | Err(_) => {}
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, read).await;
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let given = this.start_len.min(buffer.remaining());
        if given == 0 {
            return Pin::new(&mut this.reads).poll_read(cx, buffer);
        }
        buffer.put_slice(&this.start[..given]);
        this.start.copy_within(given.., 0);
        this.start_len -= given;
        // All of a head in one read: after a short one, the protocol would ask for as much room
        // again, and keep it. If there is no more yet, or an error, the next read says so.
        if this.start_len == 0 && buffer.remaining() > 0 {
            let _ = Pin::new(&mut this.reads).poll_read(cx, buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    /// Waits until it is clear whether the client speaks HTTP/2. What is read for that is not lost.
    ///
    /// # Errors
    /// If nothing can be read from the connection.
    pub(super) async fn begins_http2(&mut self) -> io::Result<bool> {
        while self.start_len < PREFACE.len() {
            let read = self.reads.read(&mut self.start[self.start_len..]).await?;
            self.start_len += read;
            if read == 0 || !PREFACE.starts_with(&self.start[..self.start_len]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Shared { sent, unread, .. } = &*self.shared;
        let stream = self.shared.stream();
        loop {
            let ready = stream.poll_write_ready(cx);
            unread.store(ready.is_pending(), Relaxed);
            ready!(ready)?;
            match send(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    if let Ok(bytes) = &done {
                        sent.fetch_add(*bytes as u64, Relaxed);
                    }
                    return Poll::Ready(done);
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |stream| stream.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = SockRef::from(self.shared.stream()).shutdown(std::net::Shutdown::Write);
        Poll::Ready(shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let client = client.unwrap();
        client.set_nodelay(true).unwrap();
        (client, watched(accepted.unwrap().0).0)
    }

    #[tokio::test]
    async fn the_first_bytes_say_which_protocol_it_is_however_they_come() {
        for (sent, expected) in [
            (&PREFACE[..], true),
            (b"PRI * HTTP/1.1\r\n\r\n", false),
            (b"PROPFIND / HTTP/1.1\r\n\r\n", false),
            (b"GET / HTTP/1.1\r\n\r\n", false),
        ] {
            let (mut client, mut socket) = pair().await;
            let send = async {
                for byte in sent {
                    client.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let (is_http2, ()) = tokio::join!(socket.begins_http2(), send);
            assert_eq!(is_http2.unwrap(), expected, "{}", sent.escape_ascii());
            let mut read = vec![0; sent.len()];
            socket.read_exact(&mut read).await.unwrap();
            assert_eq!(read, sent);
        }
    }

    #[tokio::test]
    async fn a_client_that_closes_before_it_has_said_anything_speaks_no_http2() {
        let (client, mut socket) = pair().await;
        drop(client);
        assert!(!socket.begins_http2().await.unwrap());
    }

    #[tokio::test]
    async fn a_head_that_is_there_comes_in_one_read_though_its_start_was_read_before() {
        let (mut client, mut socket) = pair().await;
        let head = b"GET /a/longer/path/than/the/preface HTTP/1.1\r\n\r\n";
        client.write_all(head).await.unwrap();
        assert!(!socket.begins_http2().await.unwrap());
        socket.reads.readable().await.unwrap();
        let mut buffer = [0; 256];
        let read = socket.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..read], head);
    }
}
