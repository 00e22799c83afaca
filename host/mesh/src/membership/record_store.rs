//! What this node knows of releases or settings, on disk: bytes that come from the core, and go back
//! to it at the next start. A thread of its own writes them, so a slow disk does not keep membership
//! from answering. Decisions of this node wait for the disk, but not for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use cluster::check_settings;
use cluster::release::{StoredError, check_stored};
use parking_lot::{Condvar, Mutex};

use crate::data_dir::{DataDir, DataDirError};

/// One of the files in the data folder.
pub(super) struct RecordFile {
    /// Its name, which says what it has.
    name: &'static str,
    /// The name that it gets if it is unusable.
    aside: &'static str,
    check: fn(&[u8]) -> Result<(), StoredError>,
}

/// Records of releases, and votes.
pub(super) const RELEASES: RecordFile = RecordFile {
    name: "releases",
    aside: "releases.unusable",
    check: check_stored,
};

/// Records of settings.
pub(super) const SETTINGS: RecordFile = RecordFile {
    name: "settings",
    aside: "settings.unusable",
    check: check_settings,
};

/// How long a decision of this node waits for the disk before others hear of it. A slower disk
/// must not make the node look dead. If the node dies before the write, it has forgotten what
/// it told others, and learns it again from them.
const PATIENCE: Duration = if cfg!(test) {
    // The tests check that the decision waits, on any disk.
    Duration::from_secs(60)
} else {
    Duration::from_millis(100)
};

/// Stores one of the files. When it is dropped, it still writes what waits.
pub(super) struct RecordStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    file: &'static RecordFile,
    folder: Arc<DataDir>,
    state: Mutex<State>,
    changed: Condvar,
    failed: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The newest bytes to write; they replace older ones that wait.
    waits: Option<Bytes>,
    /// How many times bytes were given to be written, and how many of these were written or
    /// have failed.
    given: u64,
    done: u64,
    ends: bool,
}

impl RecordStore {
    /// A store in this folder, with its thread.
    pub(super) fn start(file: &'static RecordFile, folder: Arc<DataDir>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            file,
            folder,
            state: Mutex::default(),
            changed: Condvar::new(),
            failed: AtomicU64::new(0),
        });
        let its = shared.clone();
        let writer = thread::Builder::new()
            .name(file.name.to_owned())
            .spawn(move || its.write_what_waits())?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// Stores the bytes. With a decision of this node, they are on the disk when this returns,
    /// unless that takes too long. Otherwise they will be there soon.
    pub(super) fn store(&self, records: Bytes, first: bool) {
        let mut state = self.shared.state.lock();
        state.waits = Some(records);
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
                file = self.shared.file.name,
                "the disk is slow: a change is told to others before it is stored here"
            );
        }
    }

    /// How often storing failed.
    pub(super) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

/// What was stored last. None if there is no file or if it cannot be used. An unusable file is
/// moved out of the way, and the members make up for it.
pub(super) fn load(file: &RecordFile, folder: &DataDir) -> Result<Option<Bytes>, DataDirError> {
    let name = file.name;
    let Some(content) = folder.read(name)? else {
        return Ok(None);
    };
    let Err(cause) = (file.check)(&content) else {
        return Ok(Some(content.into()));
    };
    let kept_as = match cause {
        StoredError::Earlier(major) => format!("{name}.v{major}"),
        StoredError::Damaged | StoredError::Later => file.aside.to_owned(),
    };
    let (file, aside) = (folder.path().join(name), folder.path().join(&kept_as));
    std::fs::rename(&file, &aside).map_err(|error| DataDirError::Write { path: aside, error })?;
    tracing::warn!(
        file = %file.display(),
        kept_as,
        "the stored {name} cannot be used: {cause}; starting without, until members tell them",
    );
    Ok(None)
}

impl Shared {
    fn write(&self, records: &[u8]) {
        let name = self.file.name;
        if let Err(error) = self.folder.write(name, records) {
            // It is right to go on: the members know them too.
            tracing::error!(%error, "{name} not stored; after a restart this node asks its members");
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_what_waits(&self) {
        let mut state = self.state.lock();
        loop {
            let idle = |state: &mut State| state.waits.is_none() && !state.ends;
            self.changed.wait_while(&mut state, idle);
            let Some(records) = state.waits.take() else {
                return;
            };
            let given = state.given;
            drop(state);
            self.write(&records);
            fault::point("releases: stored");
            state = self.state.lock();
            state.done = given;
            self.changed.notify_all();
        }
    }
}

impl Drop for RecordStore {
    fn drop(&mut self) {
        self.shared.state.lock().ends = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that stores records panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Arc<DataDir>, RecordStore) {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = Arc::new(DataDir::open(temporary.path()).expect("opened"));
        let releases = RecordStore::start(&RELEASES, folder.clone()).expect("a thread");
        (temporary, folder, releases)
    }

    #[test]
    fn a_damaged_history_is_put_aside_and_not_used() {
        let (_temporary, folder, releases) = store();
        assert_eq!(load(&RELEASES, &folder).expect("readable"), None);
        releases.store(Bytes::from_static(b"not a history"), true);
        assert_eq!(load(&RELEASES, &folder).expect("readable"), None);
        let aside = folder.read(RELEASES.aside).expect("readable");
        assert_eq!(aside.as_deref(), Some(&b"not a history"[..]));
    }

    #[test]
    fn a_history_of_protocol_1_is_set_aside_and_the_node_starts_without() {
        let (_temporary, folder, _releases) = store();
        folder.write(RELEASES.name, &[0x10, 0, 0]).expect("written");
        assert_eq!(load(&RELEASES, &folder).expect("readable"), None);
        let aside = folder.read("releases.v1").expect("readable");
        assert_eq!(aside.as_deref(), Some(&[0x10, 0, 0][..]));
        assert_eq!(folder.read(RELEASES.name).expect("readable"), None);
    }

    #[test]
    fn the_newest_is_what_is_kept_and_what_waits_is_written_at_the_end() {
        let (_temporary, folder, releases) = store();
        let kept = |folder: &DataDir| folder.read(RELEASES.name).expect("readable");
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
        std::fs::create_dir(temporary.path().join(RELEASES.name)).expect("a folder in its place");
        releases.store(Bytes::from_static(b"x"), true);
        assert_eq!(releases.failed(), 1);
    }
}
