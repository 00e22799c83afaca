//! The standard output and error of a guest: each line goes into the log as soon as it is whole,
//! and what the guest had begun when it ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ::cluster::release::ReleaseId;
use bytes::Bytes;
use egress::EgressError;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::denials::Denials;
use crate::throttle::Throttle;

/// How many bytes of one line go into the log. The rest is dropped and counted.
const LINE_MAX: usize = 4096;
/// How many lines of guests' output go into the log each second.
const LINES_A_SECOND: u32 = 100;

/// What bounds how much guests bring into the log, over all of them.
#[derive(Debug)]
pub(crate) struct GuestLog {
    lines: Throttle,
    denials: Denials,
}

impl Default for GuestLog {
    fn default() -> GuestLog {
        GuestLog {
            lines: Throttle::per_second(LINES_A_SECOND),
            denials: Denials::default(),
        }
    }
}

impl GuestLog {
    /// Logs a line of a guest.
    fn line(&self, release: ReleaseId, line: &str) {
        let Some(left_out) = self.lines.admit(Instant::now()) else {
            return;
        };
        if left_out > 0 {
            tracing::info!("{left_out} more lines of guests were not logged");
        }
        tracing::info!(release = %release, "guest: {line}");
    }

    /// Logs that a guest may not reach another server, if that is why it did not. The error has
    /// no path in it, which may be secret.
    pub(crate) fn refused(&self, release: ReleaseId, error: &EgressError) {
        if !error.is_refusal() {
            return;
        }
        let what = error.to_string();
        let Some(left_out) = self.denials.admit(&what, Instant::now()) else {
            return;
        };
        if left_out > 0 {
            tracing::warn!("{left_out} more outgoing requests of apps were denied");
        }
        tracing::warn!(release = %release, "denied an outgoing request: {what}");
    }
}

#[derive(Debug)]
struct Lines {
    log: Arc<GuestLog>,
    release: ReleaseId,
    /// The line that has begun, up to [`LINE_MAX`].
    line: Vec<u8>,
    /// How many more bytes it has.
    dropped: usize,
    panic: Panic,
}

/// The last panic that a guest has reported. Rust writes "panicked at PLACE:", and the reason in
/// the next line.
#[derive(Debug, Default)]
enum Panic {
    #[default]
    None,
    At(String),
    Reported(String),
}

impl Lines {
    fn append(&mut self, bytes: &[u8]) {
        let mut parts = bytes.split(|byte| *byte == b'\n');
        // What follows the last line end begins a line.
        let begun = parts.next_back().unwrap_or_default();
        for part in parts {
            self.extend(part);
            self.end_line();
        }
        self.extend(begun);
    }

    fn extend(&mut self, part: &[u8]) {
        let kept = part.len().min(LINE_MAX - self.line.len());
        self.line.extend_from_slice(&part[..kept]);
        self.dropped = self.dropped.saturating_add(part.len() - kept);
    }

    fn end_line(&mut self) {
        let (bytes, dropped) = (
            std::mem::take(&mut self.line),
            std::mem::take(&mut self.dropped),
        );
        let text = String::from_utf8_lossy(&bytes);
        let mut line: String = text
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        if line.trim().is_empty() {
            return;
        }
        self.panic = match std::mem::take(&mut self.panic) {
            _ if line.contains("panicked at ") => Panic::At(line.trim().to_owned()),
            Panic::At(place) => Panic::Reported(format!("{place} {line}")),
            other => other,
        };
        if dropped > 0 {
            line.push_str(&format!(" ({dropped} more bytes)"));
        }
        self.log.line(self.release, &line);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}

/// What one instance writes, standard output and error together.
#[derive(Clone, Debug)]
pub(crate) struct GuestOutput(Arc<Mutex<Lines>>);

impl GuestOutput {
    /// The output of an instance of this release.
    pub(crate) fn new(log: Arc<GuestLog>, release: ReleaseId) -> GuestOutput {
        GuestOutput(Arc::new(Mutex::new(Lines {
            log,
            release,
            line: Vec::new(),
            dropped: 0,
            panic: Panic::None,
        })))
    }

    /// A call begins, under this release.
    pub(super) fn begin_call(&self, release: ReleaseId) {
        self.0.lock().release = release;
    }

    /// A call is over. A line that it has begun is whole, and its panics are no cause of what a
    /// later call does.
    pub(super) fn end_call(&self) {
        let mut lines = self.0.lock();
        lines.end_line();
        lines.panic = Panic::None;
    }

    /// The last panic that the guest reported, if there is one.
    pub(crate) fn last_panic(&self) -> Option<String> {
        match &self.0.lock().panic {
            Panic::None => None,
            Panic::At(panic) | Panic::Reported(panic) => Some(panic.clone()),
        }
    }

    /// A stream that writes into this output.
    pub(super) fn stream(&self) -> GuestOutput {
        self.clone()
    }

    /// Writes into this output.
    pub(super) fn append(&self, bytes: &[u8]) {
        self.0.lock().append(bytes);
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

    fn output() -> GuestOutput {
        let digest = ::cluster::Digest::of(b"a component");
        let serving = ::cluster::Serving::bootstrap(digest);
        GuestOutput::new(Arc::default(), serving.release)
    }

    #[test]
    fn a_line_is_kept_up_to_its_bound_and_begins_anew_after_each_end() {
        let output = output();
        output.append(b"one\ntwo");
        assert_eq!(output.0.lock().line, b"two");
        output.append(&[b'x'; 2 * LINE_MAX]);
        assert_eq!(output.0.lock().line.len(), LINE_MAX);
        assert_eq!(output.0.lock().dropped, LINE_MAX + 3);
        output.append(b"\n");
        assert_eq!(output.0.lock().dropped, 0);
        assert!(output.0.lock().line.is_empty());
    }

    #[test]
    fn a_line_and_a_panic_of_one_call_are_none_of_the_next() {
        let output = output();
        output.append(b"panicked at src/lib.rs:3:5:\nboom\nhalf a line");
        output.end_call();
        assert_eq!(output.last_panic(), None);
        assert!(output.0.lock().line.is_empty());
        let serving = ::cluster::Serving::bootstrap(::cluster::Digest::of(b"another"));
        output.begin_call(serving.release);
        assert_eq!(output.0.lock().release, serving.release);
    }

    #[test]
    fn a_panic_is_found_in_the_output_also_if_its_reason_has_not_come() {
        let output = output();
        assert_eq!(output.last_panic(), None);
        output.append(b"hello\nthread 'main' panicked at src/lib.rs:3:5:\n");
        let panic = output.last_panic().unwrap();
        assert!(panic.ends_with("panicked at src/lib.rs:3:5:"), "{panic}");
        output.append(b"boom\nnote: run with\n");
        let panic = output.last_panic().unwrap();
        assert!(
            panic.ends_with("panicked at src/lib.rs:3:5: boom"),
            "{panic}"
        );
    }
}
