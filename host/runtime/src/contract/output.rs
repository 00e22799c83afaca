//! The standard output and error of a guest: a bounded buffer. The host logs it
//! when the callback ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// How many bytes are kept of what one callback writes. The rest is dropped and
/// counted.
pub(super) const MAX_OUTPUT: usize = 4096;

#[derive(Debug, Default)]
struct Buffer {
    text: Vec<u8>,
    dropped: usize,
}

/// What one callback has written, standard output and error together.
#[derive(Clone, Debug, Default)]
pub(crate) struct GuestOutput(Arc<Mutex<Buffer>>);

impl GuestOutput {
    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().text.is_empty()
    }

    /// The lines that were written. If something was dropped, a last line says
    /// how much.
    pub(crate) fn lines(&self) -> Vec<String> {
        let buffer = self.lock();
        let text = String::from_utf8_lossy(&buffer.text);
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                line.chars()
                    .filter(|c| !c.is_control() || *c == '\t')
                    .collect()
            })
            .collect();
        if buffer.dropped > 0 {
            lines.push(format!(
                "({} more bytes of output were dropped)",
                buffer.dropped
            ));
        }
        lines
    }

    /// The last panic that the guest reported, if there is one. Rust writes
    /// "panicked at PLACE:", and the reason in the next line.
    pub(crate) fn last_panic(&self) -> Option<String> {
        let lines = self.lines();
        let at = lines
            .iter()
            .rposition(|line| line.contains("panicked at "))?;
        let reason = lines.get(at + 1).map_or("", String::as_str);
        Some(
            format!("{} {reason}", lines[at].trim())
                .trim_end()
                .to_owned(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock()
    }

    /// A stream that writes into this buffer.
    pub(super) fn stream(&self) -> GuestOutput {
        self.clone()
    }

    fn append(&self, bytes: &[u8]) {
        let mut buffer = self.lock();
        let room = MAX_OUTPUT - buffer.text.len();
        let kept = room.min(bytes.len());
        buffer.text.extend_from_slice(&bytes[..kept]);
        buffer.dropped = buffer.dropped.saturating_add(bytes.len() - kept);
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_as_lines_up_to_the_bound_and_the_rest_counted() {
        let output = GuestOutput::default();
        output.append(b"one\n\ntwo \x1b[31mred\n");
        output.append(&[b'x'; 2 * MAX_OUTPUT]);
        let lines = output.lines();
        assert_eq!(lines[0], "one");
        assert_eq!(lines[1], "two [31mred");
        assert!(lines[2].len() < MAX_OUTPUT);
        assert!(lines[3].contains("dropped"), "{lines:?}");
    }

    #[test]
    fn a_panic_is_found_in_the_output() {
        let output = GuestOutput::default();
        assert!(output.is_empty());
        assert_eq!(output.last_panic(), None);
        output.append(b"hello\nthread 'main' panicked at src/lib.rs:3:5:\nboom\nnote: run with\n");
        let panic = output.last_panic().unwrap();
        assert!(
            panic.ends_with("panicked at src/lib.rs:3:5: boom"),
            "{panic}"
        );
    }
}
