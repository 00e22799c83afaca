//! A TLS stream that remembers how it ended. A live process closes TLS with `close_notify`;
//! when a process is killed, the system closes TCP under it. HTTP/2 does not report the
//! difference, so it is noted here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether the other end cut the stream off.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// True once the stream has failed; false if it was closed.
    pub(super) fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = outcome {
            self.0.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

/// The wrapped stream.
#[derive(Debug)]
pub(super) struct Watched<S> {
    inner: S,
    cut: Cut,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S) -> (Self, Cut) {
        let cut = Cut::default();
        let stream = Self {
            inner,
            cut: cut.clone(),
        };
        (stream, cut)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buffer);
        this.cut.note(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.cut.note(outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        this.cut.note(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The other end may be gone already when this end closes; that says nothing about it.
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
