//! Components that are pushed all along, each a new one, at one node after the
//! other.

use crate::components::marked;
use crate::lan::Lan;
use anyhow::{Context, Result, ensure};
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

/// How long a command may take: longer than any trouble.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Between two pushes.
const PAUSE: Duration = Duration::from_millis(1_500);
/// So many ends of pushes that were not served are kept.
const SHOWN: usize = 3;

/// Who pushes, and what.
pub(super) struct Pusher<'lan> {
    lan: &'lan Lan,
    apps: &'lan [PathBuf],
    seed: u64,
    /// Held by who pushes.
    turn: Mutex<()>,
}

/// What became of the pushes.
#[derive(Clone, Debug, Default)]
pub struct Pushes {
    /// Those that all nodes served.
    pub served: u32,
    /// Those that ended in another way: a node was in trouble, or somebody pushed
    /// something else meanwhile.
    pub others: u32,
    /// The last lines of some of them.
    pub said: Vec<String>,
}

/// Pushes that go on.
pub(super) struct Pushing<'scope> {
    over: Arc<AtomicBool>,
    thread: Option<ScopedJoinHandle<'scope, Result<Pushes>>>,
}

impl<'lan> Pusher<'lan> {
    pub(super) fn new(lan: &'lan Lan, apps: &'lan [PathBuf], seed: u64) -> Self {
        let turn = Mutex::default();
        Self {
            lan,
            apps,
            seed,
            turn,
        }
    }

    /// Let nothing be pushed until this is dropped.
    pub(super) fn pause(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// A file with this component that no node has: the mark makes it another one.
    pub(super) fn marked(&self, app: &Path, mark: &str) -> Result<PathBuf> {
        let component = std::fs::read(app).with_context(|| format!("{}", app.display()))?;
        let mark = format!("{} {mark}", self.seed);
        let path = self.lan.scratch().join("soak.wasm");
        std::fs::write(&path, marked(&component, mark.as_bytes()))?;
        Ok(path)
    }

    /// Push the component whose turn it is, and wait until all nodes serve it.
    ///
    /// # Errors
    ///
    /// If they do not.
    pub(super) fn push_one(&self, round: usize) -> Result<()> {
        let (code, last) = self.push(round)?;
        ensure!(code == Some(0), "push {round} ended with {code:?}: {last}");
        Ok(())
    }

    /// Pushes one. Returns the exit status of the command, and its last line.
    fn push(&self, round: usize) -> Result<(Option<i32>, String)> {
        let _turn = self.pause();
        let app = &self.apps[round % self.apps.len()];
        let file = self.marked(app, &round.to_string())?;
        let machines = self.lan.machines();
        let number = machines[round % machines.len()].number();
        let push = self.lan.tool(number, &["push", "--timeout", "1m"]);
        let push = push.arg(&file).spawn()?;
        let (status, _) = push.wait_for_end(TIMEOUT)?;
        let last = push.lines().pop().map(|line| line.text);
        Ok((status.code(), last.unwrap_or_default()))
    }

    /// Push one after the other.
    pub(super) fn begin<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Pushing<'scope> {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = scope.spawn(move || {
            let mut pushes = Pushes::default();
            // The rounds before are those of the beginning.
            for round in super::FIRST.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                match self.push(round)? {
                    (Some(0), _) => pushes.served += 1,
                    (_, said) => {
                        pushes.others += 1;
                        pushes.said.push(said);
                        pushes.said.truncate(SHOWN);
                    }
                }
                thread::sleep(PAUSE);
            }
            Ok(pushes)
        });
        let thread = Some(thread);
        Pushing { over, thread }
    }
}

impl Pushing<'_> {
    /// Let the last one end.
    ///
    /// # Errors
    ///
    /// If a command did not end, or could not be started.
    pub(super) fn end(mut self) -> Result<Pushes> {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it has ended before")?;
        let pushes = thread.join();
        pushes.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Pushing<'_> {
    fn drop(&mut self) {
        // The scope waits for it.
        self.over.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Pushes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} pushes served by all, {} that ended in another way",
            self.served, self.others
        )?;
        let mut said = self.said.iter();
        said.try_for_each(|said| write!(to, "\n  e.g. {said}"))
    }
}
