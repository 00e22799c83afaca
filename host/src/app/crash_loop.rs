//! A release that kills the process would do so at every start, before anybody could go back
//! from it. So a node keeps a mark on its disk of what it tries to serve. If the process dies
//! twice within a minute of that, in one boot of the machine, the node does not try it again:
//! it starts with what served before, votes against the release, and says why.
//!
//! One death decides nothing, since somebody may have killed the process, nor does a power cut,
//! after which the machine has another boot id. So the mark need not outlive the machine, and is
//! not synced to the disk.
//!
//! ```text
//! the file of the last run -> CrashGuard::read -> what was given up
//! begin -> (death, counted by the next run) | settled after a minute | end
//! ```

use std::sync::{Arc, Weak};
use std::time::Duration;

use cluster::release::ReleaseId;
use cluster::{Digest, short};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use mesh::data_dir::DataDir;

/// The file of the mark in the data folder.
pub(crate) const FILE: &str = "trying";

/// Where the system tells which boot of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// So many deaths are enough to give a component up.
const DEATHS: u32 = 2;

/// After this time a component is not to blame for the end of the process.
const SETTLED: Duration = Duration::from_secs(60);

/// How many components that were given up are remembered. There are as many only if people
/// release one such component after the other.
const GIVEN_UP_MAX: usize = 16;

/// How many components that a run has died with, and that are not tried now, are remembered.
const EARLIER_MAX: usize = 16;

/// A component, and the release that it serves as; none before it is released. All digits of
/// both, for people who look at the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    digest: String,
    release: Option<String>,
}

impl Tried {
    fn of(digest: Digest, release: Option<ReleaseId>) -> Tried {
        Tried {
            digest: digest.to_string(),
            release: release.map(|release| format!("{release:.32}")),
        }
    }

    /// Whether this is the same, as far as both are known. The same component in another
    /// release is another attempt, which a person has asked for.
    fn is(&self, other: &Tried) -> bool {
        let released = self.release.as_ref().zip(other.release.as_ref());
        self.digest == other.digest && released.is_none_or(|(one, other)| one == other)
    }
}

/// What a run tries to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    tried: Tried,
    /// How many runs have died with it.
    deaths: u32,
    /// Whether a run is at it, or was when it died.
    running: bool,
}

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The boot of the machine in which it was written. In another one it says nothing.
    boot_id: String,
    attempt: Option<Attempt>,
    /// Others under which the process has died, and that may come again. A run may start with one
    /// component and then get another one from members.
    #[serde(default)]
    earlier: Vec<Attempt>,
    given_up: Vec<Tried>,
}

impl Mark {
    /// What an earlier run has left, as the next run has it.
    fn of_last_run(stored: Option<&[u8]>, boot_id: &str) -> Mark {
        let stored = stored.and_then(|stored| serde_json::from_slice::<Mark>(stored).ok());
        let mut mark = stored
            .filter(|mark| mark.boot_id == boot_id)
            .unwrap_or_default();
        boot_id.clone_into(&mut mark.boot_id);
        let Some(attempt) = mark.attempt.as_mut().filter(|attempt| attempt.running) else {
            return mark;
        };
        // The last run has not ended it, so it died.
        attempt.deaths += 1;
        attempt.running = false;
        let died = match attempt.deaths >= DEATHS {
            true => mark.attempt.take(),
            false => None,
        };
        if let Some(attempt) = died {
            if mark.given_up.len() >= GIVEN_UP_MAX {
                mark.given_up.remove(0);
            }
            mark.given_up.push(attempt.tried);
        }
        mark
    }

    /// From now on this is tried.
    fn begin(&mut self, tried: Tried) {
        let before = self.attempt.take().filter(|before| before.deaths > 0);
        self.earlier.extend(before);
        let known = self.earlier.iter().position(|it| it.tried.is(&tried));
        let deaths = known.map_or(0, |at| self.earlier.remove(at).deaths);
        if self.earlier.len() > EARLIER_MAX {
            self.earlier.remove(0);
        }
        self.attempt = Some(Attempt {
            deaths,
            tried,
            running: true,
        });
    }

    fn has_given_up(&self, tried: &Tried) -> bool {
        self.given_up.iter().any(|given_up| given_up.is(tried))
    }
}

/// Guards a node against what kills its process.
#[derive(Debug)]
pub(crate) struct CrashGuard {
    data: Arc<DataDir>,
    state: Mutex<GuardState>,
}

#[derive(Debug)]
struct GuardState {
    mark: Mark,
    /// Counts what was begun, so that a minute that is over ends only its own attempt.
    begun: u64,
    /// Whether the mark is written at all.
    on: bool,
}

impl CrashGuard {
    /// Reads what the last run has left, and says so if it has died.
    pub(crate) fn read(data: Arc<DataDir>) -> Arc<CrashGuard> {
        let boot_id = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        let boot_id = boot_id.trim();
        let stored = data.read(FILE).unwrap_or_else(|error| {
            tracing::warn!("{error}; it is not known whether a release has killed this node");
            None
        });
        let guard = CrashGuard {
            data,
            state: Mutex::new(GuardState {
                mark: Mark::of_last_run(stored.as_deref(), boot_id),
                begun: 0,
                // Without it, a power cut could not be told from a death of the process.
                on: !boot_id.is_empty(),
            }),
        };
        guard.say_what_died();
        guard.write(&mut guard.state.lock());
        Arc::new(guard)
    }

    fn say_what_died(&self) {
        let state = self.state.lock();
        if let Some(attempt) = state.mark.attempt.as_ref().filter(|it| it.deaths > 0) {
            tracing::warn!(
                digest = short(&attempt.tried.digest),
                deaths = attempt.deaths,
                "the process of this node died within a minute of starting this component; after \
                 {DEATHS} such deaths it does not start it again",
            );
        }
        for given_up in &state.mark.given_up {
            tracing::error!(
                digest = short(&given_up.digest),
                "the process of this node died {DEATHS} times within a minute of starting this \
                 component, which is not started again; the node starts with what served before",
            );
        }
    }

    /// Whether this component, in this release if it is known, has killed the process too often.
    pub(crate) fn has_given_up(&self, digest: Digest, release: Option<ReleaseId>) -> bool {
        let tried = Tried::of(digest, release);
        self.state.lock().mark.has_given_up(&tried)
    }

    /// From now on, a death of the process counts against this component.
    pub(crate) fn begin(&self, digest: Digest, release: Option<ReleaseId>) {
        let mut state = self.state.lock();
        state.mark.begin(Tried::of(digest, release));
        state.begun += 1;
        self.write(&mut state);
    }

    /// What was begun serves: in a minute it has settled.
    pub(crate) fn settle_in_a_minute(self: &Arc<CrashGuard>) {
        let (guard, begun) = (Arc::downgrade(self), self.state.lock().begun);
        tokio::spawn(async move {
            sleep(SETTLED).await;
            if let Some(guard) = Weak::upgrade(&guard) {
                guard.settle(begun);
            }
        });
    }

    /// The minute of what was begun as the one of this number is over.
    fn settle(&self, begun: u64) {
        self.over_if(|state| state.begun == begun);
    }

    /// This component serves and is the target, and nothing else is tried any more.
    pub(crate) fn serves(&self, digest: Digest, release: ReleaseId) {
        let it = Tried::of(digest, Some(release));
        let mut state = self.state.lock();
        match &mut state.mark.attempt {
            None => return,
            Some(attempt) if attempt.tried == it => return,
            Some(attempt) if attempt.tried.is(&it) => attempt.tried = it,
            Some(_) => state.mark.attempt = None,
        }
        self.write(&mut state);
    }

    /// This component is not tried for now, because of trouble on this machine. Its deaths count on.
    pub(crate) fn rests(&self, digest: Digest) {
        let digest = digest.to_string();
        let mut state = self.state.lock();
        let attempt = state.mark.attempt.as_mut();
        if let Some(attempt) = attempt.filter(|attempt| attempt.tried.digest == digest) {
            attempt.running = false;
            self.write(&mut state);
        }
    }

    /// This component was refused, or cannot be had. So it is not tried any more.
    pub(crate) fn over(&self, digest: Digest) {
        let digest = digest.to_string();
        self.over_if(|state| {
            let attempt = state.mark.attempt.as_ref();
            attempt.is_some_and(|attempt| attempt.tried.digest == digest)
        });
    }

    fn over_if(&self, it: impl FnOnce(&GuardState) -> bool) {
        let mut state = self.state.lock();
        if it(&state) && state.mark.attempt.take().is_some() {
            self.write(&mut state);
        }
    }

    /// The run ends in order, so whatever follows is no death.
    fn end(&self) {
        let mut state = self.state.lock();
        if let Some(attempt) = &mut state.mark.attempt {
            attempt.running = false;
            self.write(&mut state);
        }
        state.on = false;
    }

    /// Writes the mark. If that is not possible, a release that kills the process is not
    /// noticed, and the node does without that.
    fn write(&self, state: &mut GuardState) {
        if !state.on {
            return;
        }
        let mark = serde_json::to_vec(&state.mark).unwrap_or_default();
        if let Err(error) = self.data.write_unsynced(FILE, &mark) {
            tracing::warn!("{error}; a release that kills this node will not be noticed");
            state.on = false;
        }
    }
}

/// Tells the guard of the end of a run when it is dropped: a run that dies does not do that.
pub(crate) struct OrderlyEnd(pub(crate) Arc<CrashGuard>);

impl Drop for OrderlyEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests;
