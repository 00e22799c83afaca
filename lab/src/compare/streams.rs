//! Many open streams on one server, with an event on each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cases::{Case, STREAMS};
use super::report::Sample;
use super::servers::{Contender, Running, Site};
use super::{Plan, Round, turns};
use crate::client::runtime;

/// The streams that are opened first, which pay for what all share.
const WARM: usize = 100;
/// What must come, comes within this.
const BOUND: Duration = Duration::from_secs(30);
/// How many streams are being opened at a time: as many as any server takes at once.
const AT_ONCE: usize = 64;

/// Each round has new servers, since one that has had streams keeps some of their memory.
pub(super) fn measure(plan: &Plan, site: &Site<'_>, asked: &[Contender]) -> Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let servers = site.start(Case::Events, asked)?;
        let mut samples = vec![Sample::default(); servers.len()];
        for at in turns(round, servers.len()) {
            let server = &servers[at];
            match server.in_turn(|| sample(server)) {
                Ok(sample) => samples[at] = sample,
                // Some servers hold an instance for each stream, and have too few.
                Err(error) => println!("{}: {error:#}", Case::Events),
            }
            eprintln!("lab: {}, round {}: {server}", Case::Events, round + 1);
        }
        rounds.push(samples);
    }
    Ok(rounds)
}

fn sample(server: &Running) -> Result<Sample> {
    runtime()?.block_on(async {
        let warm = open(server, WARM).await?;
        let (memory, began) = (server.memory()?, server.usage()?);
        let streams = open(server, STREAMS).await?;
        let open = server.memory()?;
        let mut late = wait_for_events(streams).await?;
        let ended = server.usage()?;
        drop(warm);
        late.sort_unstable();
        let percentile = |percent: usize| {
            let at = (late.len() * percent / 100).min(late.len() - 1);
            late[at].as_secs_f64() * 1e6
        };
        let grown = |before: u64, after: u64| after as f64 - before as f64;
        Ok(Sample {
            processor_us: Some((ended - began).as_secs_f64() * 1e6 / STREAMS as f64),
            p50_us: Some(percentile(50)),
            p99_us: Some(percentile(99)),
            resident: Some(open.resident as f64),
            proportional: Some(open.proportional as f64),
            per_stream: Some(grown(memory.resident, open.resident) / STREAMS as f64),
            ..Sample::default()
        })
    })
}

/// An open stream, and when its first bytes had come.
struct Stream {
    socket: TcpStream,
    since: Instant,
}

async fn open(server: &Running, count: usize) -> Result<Vec<Stream>> {
    let (host, path) = address(server.url())?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let (request, host) = (Arc::<str>::from(request), Arc::<str>::from(host));
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (request, host, at_once) = (request.clone(), host.clone(), at_once.clone());
        opening.spawn(async move {
            let _permit = at_once.acquire().await?;
            let mut socket = TcpStream::connect(&*host).await.context("cannot connect")?;
            socket.write_all(request.as_bytes()).await?;
            read_until(&mut socket, ": open").await?;
            let since = Instant::now();
            Ok::<Stream, anyhow::Error>(Stream { socket, since })
        });
    }
    let mut streams = Vec::with_capacity(count);
    while let Some(opened) = timeout(BOUND, opening.join_next())
        .await
        .with_context(|| format!("{count} streams are not open within {BOUND:?}"))?
    {
        streams.push(opened??);
    }
    Ok(streams)
}

/// How much later than it should each event came.
async fn wait_for_events(streams: Vec<Stream>) -> Result<Vec<Duration>> {
    let delay: u64 = Case::Events
        .path()
        .split_once('?')
        .and_then(|(_, delay)| delay.parse().ok())
        .context("the path names no delay")?;
    let delay = Duration::from_millis(delay);
    let mut waiting = JoinSet::new();
    for mut stream in streams {
        waiting.spawn(async move {
            read_until(&mut stream.socket, "data: now").await?;
            let late = stream.since.elapsed().saturating_sub(delay);
            // It stays open until all have their event.
            Ok::<_, anyhow::Error>((late, stream))
        });
    }
    let mut told = Vec::new();
    while let Some(event) = timeout(BOUND, waiting.join_next())
        .await
        .with_context(|| format!("an event did not come within {BOUND:?}"))?
    {
        told.push(event??);
    }
    Ok(told.into_iter().map(|(late, _)| late).collect())
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> Result<()> {
    let mut read = Vec::new();
    loop {
        let got = socket.read_buf(&mut read).await?;
        let text = String::from_utf8_lossy(&read);
        if text.contains(wanted) {
            ensure!(
                wanted != ": open" || text.starts_with("HTTP/1.1 200"),
                "{text}"
            );
            return Ok(());
        }
        if got == 0 {
            bail!("the stream ended before {wanted:?}: {text}");
        }
    }
}

/// Host and port, and the path, of a URL.
fn address(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").context("not a URL")?;
    let slash = rest.find('/').context("a URL without a path")?;
    Ok(rest.split_at(slash))
}
