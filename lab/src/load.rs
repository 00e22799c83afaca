//! Many streams at once, and as many requests as a server can answer.

use crate::client::{begin, connect, runtime};
use crate::lan::Machine;
use anyhow::{Context, Result, bail, ensure};
use http::Uri;
use http_body_util::BodyExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashSet;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Many open streams. Dropped, their connections are closed.
#[derive(Debug)]
pub struct Streams {
    count: usize,
    pieces: Receiver<Piece>,
    close: Option<watch::Sender<()>>,
    reader: Option<JoinHandle<()>>,
}

/// What came on one stream in one go.
#[derive(Debug)]
struct Piece {
    stream: usize,
    at: Instant,
    bytes: Vec<u8>,
}

impl Streams {
    /// Open so many streams from this machine, all at once. Returns them and
    /// how long it took until something had come on the last one.
    ///
    /// # Errors
    ///
    /// If something has not come on all within the bound.
    pub fn open(
        machine: &Machine,
        url: &str,
        count: usize,
        bound: Duration,
    ) -> Result<(Self, Duration)> {
        raise_file_limit()?;
        let uri: Uri = url.parse().context("not a URL")?;
        let (pieces_in, pieces) = channel();
        let (close, closed) = watch::channel(());
        let began = Instant::now();
        let reader = machine
            .netns()
            .spawn(move || read_all(&uri, count, &pieces_in, closed))?;
        let mut streams = Self {
            count,
            pieces,
            close: Some(close),
            reader: Some(reader),
        };
        let last = streams.wait_for_all(bound, |_| true)?;
        Ok((streams, last - began))
    }

    /// Wait until something that `wanted` accepts has come on every one.
    /// Returns when it came on the last.
    ///
    /// # Errors
    ///
    /// If it has not within the bound.
    pub fn wait_for_all(
        &mut self,
        bound: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Instant> {
        let deadline = Instant::now() + bound;
        let mut told = HashSet::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(piece) = self.pieces.recv_timeout(left) else {
                bail!("{} of {} streams within {bound:?}", told.len(), self.count);
            };
            if wanted(&piece.bytes) {
                told.insert(piece.stream);
            }
            if told.len() == self.count {
                return Ok(piece.at);
            }
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn read_all(uri: &Uri, count: usize, pieces: &Sender<Piece>, mut closed: watch::Receiver<()>) {
    let Ok(runtime) = runtime() else { return };
    runtime.block_on(async {
        for stream in 0..count {
            let (uri, pieces) = (uri.clone(), pieces.clone());
            // A stream that fails is one that tells nothing, which is noticed.
            tokio::spawn(async move { read(&uri, stream, &pieces).await });
        }
        let _ = closed.changed().await;
    });
}

async fn read(uri: &Uri, stream: usize, pieces: &Sender<Piece>) -> Result<()> {
    let mut sender = connect(uri).await?;
    let mut response = begin(&mut sender, uri).await?;
    ensure!(response.status().is_success(), "{}", response.status());
    while let Some(frame) = response.body_mut().frame().await {
        if let Ok(data) = frame?.into_data() {
            let piece = Piece {
                stream,
                at: Instant::now(),
                bytes: data.to_vec(),
            };
            if pieces.send(piece).is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// As many files as the system lets this process open: each stream is one.
pub(crate) fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .context("cannot raise the limit of open files")
}

/// Requests a second, as `wrk` counts them with one thread and 32 connections.
///
/// # Errors
///
/// If `wrk` is missing, or saw an error.
pub fn requests_per_second(machine: &Machine, url: &str, lasting: Duration) -> Result<f64> {
    let seconds = format!("-d{}s", lasting.as_secs().max(1));
    let output = machine.netns().run(|| {
        Command::new("wrk")
            .args(["-t1", "-c32", &seconds, url])
            .output()
            .context("cannot start `wrk` (Debian: apt-get install wrk)")
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && !said.contains("Non-2xx"),
        "wrk: {said}"
    );
    let rate = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .with_context(|| format!("wrk: {said}"))
}
