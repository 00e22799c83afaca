//! The process that compiles: `host compile-worker`, which a node starts and feeds.
//!
//! It limits itself before it looks at the first component: its memory, its processor
//! time for each component, its priority. It dies with the node. Between two components
//! it waits, and keeps single functions that it has compiled.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, Rlimit, Signal};
use rustix::time::{ClockId, clock_gettime};

use super::engines::Engines;
use super::protocol::{self, Kind, SETUP, Setup};
use crate::engine::one_line;

/// What is added to the nice value. What answers requests goes first; but on a node with
/// too much to do, the release that would repair it must be compiled some time.
const NICE: i32 = 10;
/// The name of the process in lists, of 15 bytes at most.
const NAME: &str = "host-compiler";
/// How likely the kernel chooses this process when memory runs out: before all others.
const OOM_SCORE: &str = "1000";

/// Why a worker cannot work, or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It has no node.
    #[error("only a node starts this command, for components that it compiles")]
    NoNode,
    /// It cannot read from the node, or write to it.
    #[error("the node that this process compiles for is gone: {0}")]
    Socket(io::Error),
    /// A limit cannot be set.
    #[error("cannot limit what compiling may take: {0}")]
    Limit(rustix::io::Errno),
    /// The threads that compile cannot be started.
    #[error("cannot start the threads that compile: {0}; raise the limit of processes (ulimit -u)")]
    Threads(rayon::ThreadPoolBuildError),
    /// The compiler cannot be set up.
    #[error("cannot set up the compiler: {0}")]
    Engine(wasmtime::Error),
}

/// Compiles what the node sends over standard input, which is a socket, until the node
/// closes it.
///
/// # Errors
/// See [`WorkerError`].
pub fn run() -> Result<(), WorkerError> {
    // From here on this process dies with the thread that started it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(WorkerError::Limit)?;
    let socket = io::stdin().as_fd().try_clone_to_owned();
    let mut socket = UnixStream::from(socket.map_err(WorkerError::Socket)?);
    let mut setup = [0; SETUP];
    match socket.read_exact(&mut setup) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        Err(_) => return Err(WorkerError::NoNode),
    }
    let setup = Setup::of_bytes(setup);
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent.and_then(|parent| u64::try_from(parent).ok()) != Some(setup.parent) {
        // The node died before this process could ask to die with it.
        return Ok(());
    }
    limit(&setup)?;
    let threads = usize::try_from(setup.threads).unwrap_or(1);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|number| format!("compiler-{number}"))
        .build_global()
        .map_err(WorkerError::Threads)?;
    let engines = Engines::new(setup.settings, setup.memory).map_err(WorkerError::Engine)?;
    serve(&mut socket, &engines, &setup)
}

fn limit(setup: &Setup) -> Result<(), WorkerError> {
    // None of these is needed for the node to be safe.
    let _ = std::fs::write("/proc/self/comm", NAME);
    let _ = rustix::process::nice(NICE);
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let set = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        rustix::process::setrlimit(resource, limit).map_err(WorkerError::Limit)
    };
    // A process that runs into a limit must not fill the disk with its memory.
    set(Resource::Core, 0)?;
    // All memory that is writable and its own. Its addresses are no measure: each thread
    // reserves some that it never uses.
    set(Resource::Data, setup.memory)
}

/// Lets this process use so many more seconds of processor time.
fn limit_cpu(seconds: u64) -> Result<(), WorkerError> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let used = u64::try_from(used).unwrap_or(0);
    let mut limit = rustix::process::getrlimit(Resource::Cpu);
    limit.current = Some(used.saturating_add(seconds).saturating_add(1));
    rustix::process::setrlimit(Resource::Cpu, limit).map_err(WorkerError::Limit)
}

fn serve(socket: &mut UnixStream, engines: &Engines, setup: &Setup) -> Result<(), WorkerError> {
    while let Some(component) = protocol::read_component(socket).map_err(WorkerError::Socket)? {
        limit_cpu(setup.cpu)?;
        // A panic ends this process, and the node reads why.
        let compiled = engines.precompile(&component);
        drop(component);
        let (kind, bytes) = match compiled {
            Ok(code) if code.len() as u64 > setup.code => {
                (Kind::TooMuchCode, code.len().to_string().into())
            }
            Ok(code) => (Kind::Code, code),
            Err(error) if is_out_of_memory(&error) => (Kind::NoMemory, Vec::new()),
            Err(error) => (Kind::Refused, one_line(&error).into()),
        };
        protocol::write_answer(socket, kind, resident(), &bytes).map_err(WorkerError::Socket)?;
    }
    Ok(())
}

/// Whether the compiler was refused memory, rather than the component by the compiler.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == io::ErrorKind::OutOfMemory)
            || cause.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
            || cause.is::<wasmtime::error::OutOfMemory>()
    })
}

/// How much memory this process holds, in bytes. Zero if the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
