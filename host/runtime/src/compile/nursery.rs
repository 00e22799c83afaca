//! The thread that owns the workers: it starts them, keeps one ready, and buries them.
//!
//! A worker is told to die when the thread that started it ends, so one thread that lives
//! as long as the runtime starts them all.
//!
//! ```text
//! Ask::Hire  -> a worker that is ready, or a new one
//! Ask::Back  <- a worker whose work is done
//! Ask::Bury  <- a worker that is dead or was killed -> how it ended
//! ```

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::protocol::Setup;

/// The command of the executable that makes it a worker.
pub const COMMAND: &str = "compile-worker";
/// How many requests to the thread may wait. Fewer than that can compile at a time.
const WAITING: usize = 64;
/// A worker that holds more memory than this waits for more work only so long, in bytes:
/// 192 MiB. It knows the functions of a large app, which somebody may be working on.
const LARGE: u64 = 192 << 20;
const LARGE_WAITS: Duration = Duration::from_secs(600);
/// How often the thread looks whether a worker that was killed is dead.
const LOOK: Duration = Duration::from_millis(5);
/// How much of what a worker said is read, in bytes.
const SAID: u64 = 16 * 1024;

/// A process that compiles, and nobody else uses it. If it is dropped, it is killed.
pub(super) struct Hired {
    /// None once it was handed over.
    child: Option<Child>,
    /// Where components go, and answers come from.
    pub(super) socket: UnixStream,
    /// How many components it has compiled.
    pub(super) compiled: u32,
    /// Until when it waits for more, if it does not wait for ever.
    until: Option<Instant>,
    asks: SyncSender<Ask>,
}

/// How a worker ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The last of what it wrote to standard error.
    pub(super) said: String,
}

/// What the thread is asked for.
enum Ask {
    Hire {
        /// Whether it must be a new one, which has compiled nothing yet.
        fresh: bool,
        reply: oneshot::Sender<io::Result<Hired>>,
    },
    Back(Hired),
    Bury {
        child: Child,
        reply: Option<oneshot::Sender<Ended>>,
    },
    End,
}

/// The handle of the thread. If it is dropped, all workers that are idle end, and the
/// others are killed when their work is done or not wanted any more.
pub(super) struct Nursery {
    asks: SyncSender<Ask>,
    thread: Option<JoinHandle<()>>,
}

impl Nursery {
    /// Starts the thread, and the first worker.
    pub(super) fn start(program: PathBuf, setup: Setup) -> io::Result<Nursery> {
        let (asks, asked) = sync_channel(WAITING);
        let mut owner = Owner {
            program,
            setup,
            asks: asks.clone(),
            idle: None,
            dying: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("compile-workers".to_owned())
            .spawn(move || owner.run(&asked))?;
        Ok(Nursery {
            asks,
            thread: Some(thread),
        })
    }

    /// A worker that is ready, or a new one.
    pub(super) async fn hire(&self, fresh: bool) -> io::Result<Hired> {
        let (reply, hired) = oneshot::channel();
        self.ask(Ask::Hire { fresh, reply });
        hired.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn ask(&self, ask: Ask) {
        // The thread lives as long as this handle, and answers at once.
        let _ = self.asks.send(ask);
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.ask(Ask::End);
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the thread that starts compilers has stopped")
}

impl Hired {
    /// Its work is done, and it waits for the next. It holds so much memory.
    pub(super) fn back(mut self, resident: u64) {
        self.compiled += 1;
        self.until = (resident > LARGE).then(|| Instant::now() + LARGE_WAITS);
        let asks = self.asks.clone();
        // If the thread has stopped, the worker is dropped, and so killed.
        let _ = asks.try_send(Ask::Back(self));
    }

    /// It is dead, or will be at once: how did it end?
    pub(super) async fn bury(mut self) -> io::Result<Ended> {
        let (reply, ended) = oneshot::channel();
        self.kill(Some(reply));
        ended.await.map_err(|_| stopped())
    }

    fn if_alive(mut self) -> Option<Hired> {
        let status = self.child.as_mut().map(Child::try_wait);
        matches!(status, Some(Ok(None))).then_some(self)
    }

    fn kill(&mut self, reply: Option<oneshot::Sender<Ended>>) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // If it has ended already, the signal reaches nobody, and its status stays.
        let _ = child.kill();
        let _ = self.asks.try_send(Ask::Bury { child, reply });
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        self.kill(None);
    }
}

/// What the thread owns.
struct Owner {
    program: PathBuf,
    setup: Setup,
    asks: SyncSender<Ask>,
    /// The one that is ready.
    idle: Option<Hired>,
    /// Those that were killed, and who wants to know how they ended.
    dying: Vec<(Child, Option<oneshot::Sender<Ended>>)>,
}

impl Owner {
    fn run(&mut self, asked: &Receiver<Ask>) {
        self.keep_one();
        loop {
            let until = self.idle.as_ref().and_then(|idle| idle.until);
            let ask = match (self.dying.is_empty(), until) {
                (true, None) => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (true, Some(until)) => {
                    asked.recv_timeout(until.saturating_duration_since(Instant::now()))
                }
                (false, _) => asked.recv_timeout(LOOK),
            };
            match ask {
                Ok(Ask::Hire { fresh, reply }) => self.hire(fresh, reply),
                Ok(Ask::Back(hired)) => self.take_back(hired),
                Ok(Ask::Bury { child, reply }) => self.bury(child, reply),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Ask::End) | Err(RecvTimeoutError::Disconnected) => return self.end(asked),
            }
            self.look_at_the_dying();
            // The thread is asked to bury it, and starts another one.
            self.idle
                .take_if(|idle| idle.until.is_some_and(|until| until <= Instant::now()));
        }
    }

    fn hire(&mut self, fresh: bool, reply: oneshot::Sender<io::Result<Hired>>) {
        // One that has died meanwhile is buried by being dropped.
        let ready = self.idle.take_if(|ready| !fresh || ready.compiled == 0);
        let ready = ready.and_then(Hired::if_alive);
        let hired = ready.map_or_else(|| self.start(), Ok);
        if let Err(Ok(unwanted)) = reply.send(hired) {
            self.take_back(unwanted);
        }
    }

    /// Keeps the one of two that has compiled more, as it has more functions to give.
    fn take_back(&mut self, hired: Hired) {
        let knows_more = |ready: &Hired| ready.compiled >= hired.compiled;
        if !self.idle.as_ref().is_some_and(knows_more) {
            self.idle = Some(hired);
        }
    }

    fn bury(&mut self, child: Child, reply: Option<oneshot::Sender<Ended>>) {
        self.dying.push((child, reply));
        self.keep_one();
    }

    fn look_at_the_dying(&mut self) {
        let mut left = Vec::new();
        for (mut child, reply) in std::mem::take(&mut self.dying) {
            let status = match child.try_wait() {
                Ok(Some(status)) => status,
                Ok(None) => {
                    left.push((child, reply));
                    continue;
                }
                // It is no child of this process, so there is nothing to wait for.
                Err(_) => continue,
            };
            if let Some(reply) = reply {
                let said = said(&mut child);
                let _ = reply.send(Ended { status, said });
            }
        }
        self.dying = left;
    }

    /// Starts a worker, if none is ready.
    fn keep_one(&mut self) {
        if self.idle.is_some() {
            return;
        }
        match self.start() {
            Ok(ready) => self.idle = Some(ready),
            // The next component tries it again, and is told of the error.
            Err(error) => tracing::warn!("cannot start the process that compiles: {error}"),
        }
    }

    fn start(&self) -> io::Result<Hired> {
        let (mut socket, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.program)
            .arg0("host")
            .arg(COMMAND)
            // The cookie of the node may be a variable.
            .env_clear()
            .current_dir("/")
            // Ctrl-C at a terminal is for the node.
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let hired = |socket| Hired {
            child: Some(child),
            socket,
            compiled: 0,
            until: None,
            asks: self.asks.clone(),
        };
        match socket.write_all(&self.setup.to_bytes()) {
            Ok(()) => Ok(hired(socket)),
            Err(error) => {
                drop(hired(socket));
                Err(error)
            }
        }
    }

    fn end(&mut self, asked: &Receiver<Ask>) {
        self.idle = None;
        let buried = asked.try_iter().filter_map(|ask| match ask {
            Ask::Bury { child, .. } => Some(child),
            _ => None,
        });
        for mut child in self.dying.drain(..).map(|(child, _)| child).chain(buried) {
            // It was killed before, so this does not take long.
            let _ = child.wait();
        }
    }
}

/// What a dead worker has written to standard error.
fn said(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(errors) = child.stderr.take() {
        // What cannot be read is missing in a message.
        let _ = errors.take(SAID).read_to_end(&mut said);
    }
    String::from_utf8_lossy(&said).into_owned()
}
