//! Compiling in a worker: one component goes in, and code or a reason comes out, whatever
//! becomes of the process meanwhile.
//!
//! What exceeds a limit, or kills the compiler, is the component's fault. A worker that
//! somebody else killed, such as the kernel when memory runs out, says nothing about the
//! component: it is tried again with another worker.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::artefact::Artefact;
use super::nursery::{Ended, Hired, Nursery};
use super::protocol::{AnswerHead, HEAD, Kind};
use super::{CompileError, CompileLimits};

/// How often a component is tried in all, if others kill the worker.
const TRIES: usize = 3;
/// How much of a refusal is read, in bytes.
const REFUSAL_MAX: u64 = 4096;

/// What became of one attempt.
enum Attempt {
    /// The worker answered.
    Answered(Result<Artefact, CompileError>),
    /// The worker was short of memory.
    NoMemory,
    /// The compiler failed, and this is what it said.
    Crashed(String),
    /// Somebody killed the worker.
    Killed(ExitStatus),
}

/// Compiles a component in a worker.
pub(super) async fn compile(
    nursery: &Nursery,
    limits: CompileLimits,
    component: &Bytes,
) -> Result<Artefact, CompileError> {
    let mut fresh = false;
    let mut killed = 0;
    loop {
        let hired = nursery.hire(fresh).await.map_err(trouble)?;
        // What an earlier component has left there may be why it failed.
        let is_first = hired.compiled == 0;
        let began = Instant::now();
        match attempt(hired, limits, component).await? {
            Attempt::Answered(answer) => return answer,
            Attempt::NoMemory if is_first => {
                return Err(CompileError::Memory {
                    limit: limits.memory,
                    after: began.elapsed(),
                    component: component.len() as u64,
                });
            }
            Attempt::Crashed(said) if is_first => return Err(CompileError::Crashed(said)),
            Attempt::NoMemory | Attempt::Crashed(_) => fresh = true,
            Attempt::Killed(status) => {
                killed += 1;
                tracing::warn!("the process that compiles was killed ({status})");
                if killed == TRIES {
                    return Err(CompileError::Killed {
                        times: TRIES,
                        status,
                    });
                }
            }
        }
    }
}

/// Tries it in this worker. The worker waits for more afterwards, or is dead. If this is
/// dropped, the worker is killed.
async fn attempt(
    hired: Hired,
    limits: CompileLimits,
    component: &Bytes,
) -> Result<Attempt, CompileError> {
    let socket = hired.socket.try_clone().and_then(|socket| {
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket)
    });
    let mut socket = socket.map_err(trouble)?;
    let wall = limits.wall();
    let answered = match timeout(wall, ask(&mut socket, limits, component)).await {
        Ok(answered) => answered,
        Err(_) => return Err(CompileError::Slow { limit: wall }),
    };
    drop(socket);
    let (head, bytes) = match answered {
        Ok(answer) => answer,
        // The worker is dead or dying, or has sent what it must not.
        Err(error) => return how_it_ended(hired.bury().await.map_err(trouble)?, limits, &error),
    };
    if head.resident > limits.waiting() {
        drop(hired);
    } else {
        hired.back(head.resident);
    }
    let text = || String::from_utf8_lossy(&bytes).into_owned();
    Ok(match head.kind {
        Kind::NoMemory => Attempt::NoMemory,
        Kind::Refused => Attempt::Answered(Err(CompileError::Refused(text()))),
        Kind::TooMuchCode => Attempt::Answered(Err(CompileError::Code {
            size: text().parse().unwrap_or(0),
            limit: limits.code(),
            memory: limits.memory,
        })),
        Kind::Code => {
            let digest = head.digest;
            // Megabytes take a while to hash.
            let checked = tokio::task::spawn_blocking(move || Artefact::checked(bytes, digest));
            let checked = checked.await.ok().flatten();
            let damaged = || trouble(io::Error::other("compiled code was damaged on its way"));
            Attempt::Answered(Ok(checked.ok_or_else(damaged)?))
        }
    })
}

/// Sends a component, and reads the answer.
async fn ask(
    socket: &mut UnixStream,
    limits: CompileLimits,
    component: &Bytes,
) -> io::Result<(AnswerHead, Bytes)> {
    socket
        .write_all(&(component.len() as u64).to_le_bytes())
        .await?;
    socket.write_all(component).await?;
    let mut head = [0; HEAD];
    socket.read_exact(&mut head).await?;
    let bad = || io::Error::other("it answered with what is no answer");
    let head = AnswerHead::of_bytes(&head).ok_or_else(bad)?;
    let most = match head.kind {
        Kind::Code => limits.code(),
        _ => REFUSAL_MAX,
    };
    if head.length > most {
        return Err(bad());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(head.length).unwrap_or(0));
    socket.take(head.length).read_to_end(&mut bytes).await?;
    match bytes.len() as u64 == head.length {
        true => Ok((head, bytes.into())),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What the end of a worker says about the component that it had.
fn how_it_ended(
    ended: Ended,
    limits: CompileLimits,
    error: &io::Error,
) -> Result<Attempt, CompileError> {
    let Ended { status, said } = ended;
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let last = last.unwrap_or_default();
    let signal = status.signal().and_then(Signal::from_named_raw);
    match (signal, status.code()) {
        (Some(Signal::XCPU), _) => Err(CompileError::Cpu {
            limit: Duration::from_secs(limits.cpu_seconds()),
        }),
        (Some(Signal::ABORT), _) | (_, Some(PANIC)) if is_memory(&said) => Ok(Attempt::NoMemory),
        (Some(Signal::ABORT | Signal::SEGV | Signal::BUS | Signal::ILL | Signal::TRAP), _)
        | (_, Some(PANIC)) => Ok(Attempt::Crashed(format!("{status}: {last}"))),
        (Some(_), _) => Ok(Attempt::Killed(status)),
        (None, _) => Err(CompileError::Trouble(format!(
            "the process that compiles ended ({status}, {error}): {last}"
        ))),
    }
}

/// The exit status of a Rust program that panicked.
const PANIC: i32 = 101;

/// Whether a process says that it got no memory. The first is what Rust says before it
/// aborts, the second what the system says, when somebody does not expect it.
fn is_memory(said: &str) -> bool {
    said.contains("memory allocation of ") || said.contains("Cannot allocate memory")
}

fn trouble(error: io::Error) -> CompileError {
    CompileError::Trouble(format!("cannot run the process that compiles: {error}"))
}
