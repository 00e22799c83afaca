//! From the bytes of a component to machine code that this process can run, within limits.
//!
//! ```text
//! bytes -> kept code | worker (a process of its own, with limits) -> Artefact -> map
//! ```
//!
//! A component can be made so that its compilation takes gigabytes and minutes. So it is
//! compiled in another process, which limits itself, has a low priority, dies with
//! the node, and is killed as soon as nobody wants its work any more. One such process is
//! kept ready, and remembers the functions that it has compiled.

mod artefact;
mod engines;
mod error;
mod functions;
mod kept;
mod limits;
mod map;
mod nursery;
mod process;
mod protocol;
pub mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cluster::{ComponentBytes, Digest};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, spawn_blocking};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::{CodeSettings, RuntimeError, one_line};

pub(crate) use artefact::Artefact;
pub use error::CompileError;
pub use limits::CompileLimits;
pub use nursery::COMMAND;

use engines::Engines;
use kept::Kept;
use nursery::Nursery;
use protocol::Setup;

/// How many components are compiled at a time: two uploads, the target, and the app file.
/// Each of these has one at most, so none waits for another.
const AT_A_TIME: usize = 4;
/// The least memory for each thread that compiles, in bytes. Its stack counts too.
const EACH_THREAD: u64 = 64 << 20;

/// Where and within which limits components are compiled.
#[derive(Clone, Debug)]
pub struct CompilerConfig {
    /// The program whose command [`COMMAND`] compiles. None to compile in this process,
    /// without limits: for tests of other things.
    pub program: Option<PathBuf>,
    /// What one component may take.
    pub limits: CompileLimits,
}

impl CompilerConfig {
    /// Compiles in this process, without limits: for tests of other things.
    pub fn in_this_process() -> CompilerConfig {
        CompilerConfig {
            program: None,
            limits: CompileLimits::of_this_machine(Duration::from_secs(60)),
        }
    }
}

/// All that compiles for one runtime.
pub(crate) struct Compiler {
    shared: Arc<Shared>,
    /// The one component that is compiled ahead, or was, and has not been asked for yet.
    ahead: Mutex<Option<(Digest, Arc<Compiling>)>>,
}

struct Shared {
    how: How,
    kept: Option<Kept>,
    /// What is compiled now, by the digest of the component.
    running: Mutex<HashMap<Digest, Weak<Compiling>>>,
    places: Semaphore,
}

enum How {
    InWorker(Nursery, CompileLimits),
    InThisProcess(Arc<Engines>),
}

/// A component that is compiled. All who want it share this. When the last one drops it,
/// the work is given up, and the process that does it is killed.
pub(crate) struct Compiling {
    done: watch::Receiver<Option<Result<Artefact, CompileError>>>,
    task: AbortHandle,
}

impl Drop for Compiling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Compiling {
    /// Waits until it is compiled.
    pub(crate) async fn done(&self) -> Result<Artefact, CompileError> {
        let mut done = self.done.clone();
        let result = done.wait_for(Option::is_some).await;
        let result = result.ok().and_then(|result| result.clone());
        result.unwrap_or_else(|| Err(CompileError::Crashed("it panicked".to_owned())))
    }

    fn is_done(&self) -> bool {
        self.done.borrow().is_some() || self.task.is_finished()
    }
}

impl Compiler {
    /// Starts the first worker. `settings` are those of the engine that will run the code,
    /// `threads` is how many threads compile one component, and compiled code is kept in
    /// the folder, if there is one.
    ///
    /// # Errors
    /// See [`RuntimeError`].
    pub(crate) fn start(
        config: &CompilerConfig,
        settings: CodeSettings,
        threads: usize,
        folder: Option<&Path>,
    ) -> Result<Compiler, RuntimeError> {
        let kept = folder.map(|folder| {
            Kept::open(folder).map_err(|cause| RuntimeError::CodeCache {
                path: folder.to_owned(),
                cause,
            })
        });
        let limits = config.limits;
        let how = match &config.program {
            None => {
                let engines =
                    Engines::new(settings, limits.memory).map_err(RuntimeError::Engine)?;
                How::InThisProcess(Arc::new(engines))
            }
            Some(program) => {
                let setup = Setup {
                    parent: u64::from(std::process::id()),
                    memory: limits.memory,
                    cpu: limits.cpu_seconds(),
                    code: limits.code(),
                    threads: (threads as u64).min(limits.memory / EACH_THREAD).max(1),
                    settings,
                };
                let nursery = Nursery::start(program.clone(), setup);
                How::InWorker(nursery.map_err(RuntimeError::Thread)?, limits)
            }
        };
        Ok(Compiler {
            shared: Arc::new(Shared {
                how,
                kept: kept.transpose()?,
                running: Mutex::default(),
                places: Semaphore::new(AT_A_TIME),
            }),
            ahead: Mutex::default(),
        })
    }

    /// Begins with a component that will probably be asked for in a moment, in place of
    /// the one before. Does nothing while that one is being compiled: a file that is
    /// written again and again does not keep the compiler busy.
    pub(crate) fn compile_ahead(&self, component: &ComponentBytes) {
        let mut ahead = self.ahead.lock();
        if ahead.as_ref().is_none_or(|(_, before)| before.is_done()) {
            *ahead = Some((component.digest(), self.begin(component)));
        }
    }

    /// The compilation of a component. What was begun ahead and is another one is given
    /// up, if nobody else wants it.
    pub(crate) fn compile(&self, component: &ComponentBytes) -> Arc<Compiling> {
        let compiling = self.begin(component);
        *self.ahead.lock() = None;
        compiling
    }

    fn begin(&self, component: &ComponentBytes) -> Arc<Compiling> {
        let digest = component.digest();
        let mut running = self.shared.running.lock();
        let begun = running.get(&digest).and_then(Weak::upgrade);
        // One that was given up, with the runtime of its task, is no use.
        if let Some(begun) = begun.filter(|it| it.done.borrow().is_some() || !it.is_done()) {
            return begun;
        }
        let (result, done) = watch::channel(None);
        let (shared, component) = (self.shared.clone(), component.clone());
        let task = tokio::spawn(async move {
            let made = shared.make(&component).await;
            result.send_replace(Some(made));
        });
        let compiling = Arc::new(Compiling {
            done,
            task: task.abort_handle(),
        });
        running.retain(|_, it| it.strong_count() > 0);
        running.insert(digest, Arc::downgrade(&compiling));
        compiling
    }

    /// Maps compiled code of a component.
    ///
    /// # Errors
    /// The engine does not take it. Then it is not kept any more.
    pub(crate) fn map(
        &self,
        engine: &Engine,
        component: &Digest,
        code: &Artefact,
    ) -> wasmtime::Result<Component> {
        map::map(engine, code).inspect_err(|_| {
            if let Some(kept) = &self.shared.kept {
                kept.remove(component);
            }
        })
    }

    /// Keeps compiled code of a component on the disk, some time soon.
    pub(crate) fn keep(&self, component: Digest, code: Artefact) {
        let shared = self.shared.clone();
        spawn_blocking(move || {
            let Some(kept) = &shared.kept else { return };
            if let Err(error) = kept.store(&component, &code) {
                tracing::warn!(
                    "cannot keep compiled code: {error}; it is compiled again at the next start"
                );
            }
        });
    }
}

impl Shared {
    async fn make(self: &Arc<Self>, component: &ComponentBytes) -> Result<Artefact, CompileError> {
        if let Some(found) = self.find_kept(component.digest()).await {
            return Ok(found);
        }
        let _place = self.places.acquire().await;
        match &self.how {
            How::InWorker(nursery, limits) => {
                process::compile(nursery, *limits, component.bytes()).await
            }
            How::InThisProcess(engines) => {
                let (engines, bytes) = (engines.clone(), component.bytes().clone());
                let made = spawn_blocking(move || engines.precompile(&bytes)).await;
                match made {
                    Ok(Ok(code)) => Ok(Artefact::of(code.into())),
                    Ok(Err(error)) => Err(CompileError::Refused(one_line(&error))),
                    Err(panicked) => Err(CompileError::Crashed(panicked.to_string())),
                }
            }
        }
    }

    async fn find_kept(self: &Arc<Self>, component: Digest) -> Option<Artefact> {
        self.kept.as_ref()?;
        let shared = self.clone();
        let found = spawn_blocking(move || shared.kept.as_ref()?.find(&component)).await;
        found.ok().flatten()
    }
}

#[cfg(test)]
mod tests;
