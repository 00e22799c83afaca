//! What this node knows of releases, on disk: the bytes that the core gives,
//! and gets back at the next start. A thread of its own writes them, so that a
//! slow disk does not keep membership from answering; what this node decided is
//! waited for, but not for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use cluster::release::{StoredError, check_stored};
use parking_lot::{Condvar, Mutex};

use crate::data_dir::{DataDir, DataDirError};

/// The file in the data folder.
const FILE: &str = "releases";

/// Where a file that cannot be used is put aside.
const ASIDE: &str = "releases.unusable";

/// How long a decision of this node waits for the disk before others hear of it.
/// A disk that takes longer must not make the node look dead. If the node dies
/// before it is written, it has told what it does not know any more, and hears of
/// it from those whom it told.
const PATIENCE: Duration = if cfg!(test) {
    // What the tests look at is that it is waited for, on whatever disk.
    Duration::from_secs(60)
} else {
    Duration::from_millis(100)
};

/// Keeps the releases. What waits to be written when it is dropped, is written.
pub(super) struct ReleaseStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    folder: Arc<DataDir>,
    state: Mutex<State>,
    changed: Condvar,
    failed: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The newest of what is to be written; what it replaced need not be.
    waits: Option<Bytes>,
    /// How often there was something to write, and up to which of these it was
    /// written, or failed.
    given: u64,
    done: u64,
    ends: bool,
}

impl ReleaseStore {
    /// A store in this folder, with its thread.
    pub(super) fn start(folder: Arc<DataDir>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            folder,
            state: Mutex::default(),
            changed: Condvar::new(),
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
    /// returns, unless that takes too long; else it will be soon.
    pub(super) fn store(&self, releases: Bytes, first: bool) {
        let mut state = self.shared.state.lock();
        state.waits = Some(releases);
        state.given += 1;
        let given = state.given;
        self.shared.changed.notify_all();
        if !first {
            return;
        }
        let waits = |state: &mut State| state.done < given;
        let changed = &self.shared.changed;
        changed.wait_while_for(&mut state, waits, PATIENCE);
        if state.done < given {
            tracing::warn!(
                "the disk is slow: a release is told to others before it is stored here"
            );
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
    let kept_as = match cause {
        StoredError::Earlier(major) => format!("{FILE}.v{major}"),
        StoredError::Damaged | StoredError::Later => ASIDE.to_owned(),
    };
    let (file, aside) = (folder.path().join(FILE), folder.path().join(&kept_as));
    std::fs::rename(&file, &aside).map_err(|error| DataDirError::Write { path: aside, error })?;
    tracing::warn!(
        file = %file.display(),
        kept_as,
        "the history of releases cannot be used: {cause}; starting without, until members tell it",
    );
    Ok(None)
}

impl Shared {
    fn write(&self, releases: &[u8]) {
        if let Err(error) = self.folder.write(FILE, releases) {
            // Going on is right: the members know them too.
            tracing::error!(%error, "releases not stored; after a restart this node asks its members");
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_what_waits(&self) {
        let mut state = self.state.lock();
        loop {
            let idle = |state: &mut State| state.waits.is_none() && !state.ends;
            self.changed.wait_while(&mut state, idle);
            let Some(releases) = state.waits.take() else {
                return;
            };
            let given = state.given;
            drop(state);
            self.write(&releases);
            fault::point("releases: stored");
            state = self.state.lock();
            state.done = given;
            self.changed.notify_all();
        }
    }
}

impl Drop for ReleaseStore {
    fn drop(&mut self) {
        self.shared.state.lock().ends = true;
        self.shared.changed.notify_all();
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
    fn a_history_of_protocol_1_is_set_aside_and_the_node_starts_without() {
        let (_temporary, folder, _releases) = store();
        folder.write(FILE, &[0x10, 0, 0]).expect("written");
        assert_eq!(load(&folder).expect("readable"), None);
        let aside = folder.read("releases.v1").expect("readable");
        assert_eq!(aside.as_deref(), Some(&[0x10, 0, 0][..]));
        assert_eq!(folder.read(FILE).expect("readable"), None);
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
