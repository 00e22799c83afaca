//! What this node knows of releases, on disk: the bytes that the core gives,
//! and gets back at the next start. A thread of its own writes what may wait,
//! so that a slow disk does not keep membership from answering.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use cluster::release::check_stored;

use crate::data_dir::{DataDir, DataDirError};
use crate::fault;

/// The file in the data folder.
const FILE: &str = "releases";

/// Where a file that cannot be used is put aside.
const ASIDE: &str = "releases.unusable";

/// Keeps the releases. What waits to be written when it is dropped, is written.
pub(super) struct ReleaseStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    folder: Arc<DataDir>,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while the file is written. It is taken while `state` is held, so
    /// that what is newer is written later.
    writing: Mutex<()>,
    failed: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The newest of what is to be written; what it replaced need not be.
    waits: Option<Bytes>,
    ends: bool,
}

impl ReleaseStore {
    /// A store in this folder, with its thread.
    pub(super) fn start(folder: Arc<DataDir>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            folder,
            state: Mutex::default(),
            changed: Condvar::new(),
            writing: Mutex::default(),
            failed: AtomicU64::new(0),
        });
        let its = shared.clone();
        let writer = thread::Builder::new()
            .name("releases".to_owned())
            .spawn(move || its.write_what_waits())?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// Stores it. If it has a decision of this node it is on the disk when this
    /// returns, else it will be soon.
    pub(super) fn store(&self, releases: Bytes, first: bool) {
        let mut state = self.shared.lock();
        if first {
            // It is newer than what waits.
            state.waits = None;
            self.shared.write(state, &releases);
        } else {
            state.waits = Some(releases);
            self.shared.changed.notify_one();
        }
    }

    /// How often it could not be stored.
    pub(super) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

/// What was stored last. None if there is nothing, or nothing that can be
/// used: it is put aside then, and the members make up for it.
pub(super) fn load(folder: &DataDir) -> Result<Option<Bytes>, DataDirError> {
    let Some(content) = folder.read(FILE)? else {
        return Ok(None);
    };
    let Err(cause) = check_stored(&content) else {
        return Ok(Some(content.into()));
    };
    folder.write(ASIDE, &content)?;
    tracing::warn!(
        file = %folder.path().join(FILE).display(),
        kept_as = ASIDE,
        "the history of releases cannot be read: {cause}; starting without, until members tell it",
    );
    Ok(None)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: MutexGuard<'_, State>, releases: &[u8]) {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if let Err(error) = self.folder.write(FILE, releases) {
            // Going on is right: the members know them too.
            tracing::error!(%error, "releases not stored; after a restart this node asks its members");
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        fault::point("releases: stored");
        drop(writing);
    }

    fn write_what_waits(&self) {
        loop {
            let state = self.lock();
            let idle = |state: &mut State| state.waits.is_none() && !state.ends;
            let state = self.changed.wait_while(state, idle);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            match state.waits.take() {
                Some(releases) => self.write(state, &releases),
                None => return,
            }
        }
    }
}

impl Drop for ReleaseStore {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that stores releases panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Arc<DataDir>, ReleaseStore) {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = Arc::new(DataDir::open(temporary.path()).expect("opened"));
        let releases = ReleaseStore::start(folder.clone()).expect("a thread");
        (temporary, folder, releases)
    }

    #[test]
    fn a_damaged_history_is_put_aside_and_not_used() {
        let (_temporary, folder, releases) = store();
        assert_eq!(load(&folder).expect("readable"), None);
        releases.store(Bytes::from_static(b"not a history"), true);
        assert_eq!(load(&folder).expect("readable"), None);
        let aside = folder.read(ASIDE).expect("readable");
        assert_eq!(aside.as_deref(), Some(&b"not a history"[..]));
    }

    #[test]
    fn the_newest_is_what_is_kept_and_what_waits_is_written_at_the_end() {
        let (_temporary, folder, releases) = store();
        let kept = |folder: &DataDir| folder.read(FILE).expect("readable");
        for n in 0..100u8 {
            releases.store(Bytes::from(vec![n, 0]), false);
            if n % 10 == 0 {
                releases.store(Bytes::from(vec![n, 1]), true);
                assert_eq!(kept(&folder), Some(vec![n, 1]), "at once");
            }
        }
        drop(releases);
        assert_eq!(kept(&folder), Some(vec![99, 0]));
    }

    #[test]
    fn what_cannot_be_stored_is_counted() {
        let (temporary, _folder, releases) = store();
        std::fs::create_dir(temporary.path().join(FILE)).expect("a folder in its place");
        releases.store(Bytes::from_static(b"x"), true);
        assert_eq!(releases.failed(), 1);
    }
}
