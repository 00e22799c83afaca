//! The key-value data on the disk. One thread writes what has changed, in one transaction for all that
//! came within a twentieth of a second: so a crash loses nothing older than a tenth of a second, and each
//! transaction is there as a whole or not at all.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use cluster::data::{DataCounts, DataStore, StoredEntry, Unsaved};
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::data_dir::DataDir;

/// The file in the data folder, and the name that an unusable one gets.
const FILE: &str = "keyvalue.redb";
const ASIDE: &str = "keyvalue.unusable";

/// How long a change waits for others, to be written with them.
const GATHER: Duration = Duration::from_millis(50);

/// How many bytes one transaction has, about.
const AT_ONCE: usize = 16 * 1024 * 1024;

/// How much of the file is kept in memory. The store has all of it anyway.
const CACHE: usize = 8 * 1024 * 1024;

/// How long to wait after a failure, and how long between two lines of the log about failures.
const AGAIN: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(60);

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
const REST: TableDefinition<'_, (), &[u8]> = TableDefinition::new("rest");

/// Why the data cannot be kept on the disk.
#[derive(Debug, thiserror::Error)]
pub enum DataFileError {
    /// The file cannot be opened or made.
    #[error(
        "cannot use the key-value data in {}: {error}; see that this user may write there and that \
         the disk has room, or move the file away to start without it",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// There is no thread for it.
    #[error("cannot start the thread that stores key-value data: {0}")]
    Thread(std::io::Error),
}

/// Stores what changes. When it is dropped, it still stores what waits.
#[derive(Debug)]
pub struct DataFile {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: AtomicBool,
    failed: AtomicU64,
}

impl DataFile {
    /// Reads what was stored, and stores what changes from now on. A damaged file is set aside.
    ///
    /// # Errors
    /// The file cannot be used, though it may be in order.
    pub fn open(folder: &DataDir) -> Result<(DataStore, DataFile), DataFileError> {
        let path = folder.path().join(FILE);
        let failed = |path: &Path, error: String| DataFileError::Open {
            path: path.to_owned(),
            error,
        };
        let (database, store) = match load(&path) {
            Ok(loaded) => loaded,
            Err(Unusable::System(error)) => return Err(failed(&path, error)),
            Err(Unusable::Damaged(why)) => {
                let aside = folder.path().join(ASIDE);
                std::fs::rename(&path, &aside).map_err(|error| failed(&path, error.to_string()))?;
                tracing::error!(
                    file = %path.display(), kept_as = ASIDE,
                    "the stored key-value data is damaged: {why}; starting without it, until \
                     members give theirs. What only this node had is lost",
                );
                match load(&path) {
                    Ok(loaded) => loaded,
                    Err(Unusable::System(error) | Unusable::Damaged(error)) => {
                        return Err(failed(&path, error));
                    }
                }
            }
        };
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            path,
            database: Some(database),
            store: store.clone(),
            shared: shared.clone(),
            told: None,
            not_kept: (DataCounts::default(), None),
        };
        let writer = thread::Builder::new()
            .name("key-value".to_owned())
            .spawn(move || writer.run())
            .map_err(DataFileError::Thread)?;
        let writer = Some(writer);
        Ok((store, DataFile { shared, writer }))
    }

    /// How often storing failed.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl Drop for DataFile {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            // A panic there was reported by its thread.
            let _ = writer.join();
        }
    }
}

/// Why a file cannot be used.
enum Unusable {
    /// Its content is wrong.
    Damaged(String),
    /// The system refuses something.
    System(String),
}

impl<E: Into<redb::Error>> From<E> for Unusable {
    fn from(error: E) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        match error.into() {
            // This says that it is no such file, or only a part of one.
            redb::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
                Unusable::Damaged(error.to_string())
            }
            error @ (redb::Error::Io(_) | redb::Error::DatabaseAlreadyOpen) => {
                Unusable::System(error.to_string())
            }
            error => Unusable::Damaged(error.to_string()),
        }
    }
}

/// Opens the file, or makes it, and reads all of it.
fn load(path: &Path) -> Result<(Database, DataStore), Unusable> {
    // A damaged file may make the library panic.
    let loaded = std::panic::catch_unwind(|| open_and_read(path));
    loaded.unwrap_or_else(|_| Err(Unusable::Damaged("its structure is wrong".to_owned())))
}

fn open_and_read(path: &Path) -> Result<(Database, DataStore), Unusable> {
    let database = open(path)?;
    let store = DataStore::default();
    let transaction = database.begin_read()?;
    for entry in transaction.open_table(ENTRIES)?.iter()? {
        let entry = StoredEntry::read(entry?.1.value());
        let unreadable = || Unusable::Damaged("it has an entry that cannot be read".to_owned());
        store.restore(entry.ok_or_else(unreadable)?);
    }
    if let Some(rest) = transaction.open_table(REST)?.get(())?
        && !store.restore_rest(rest.value())
    {
        return Err(Unusable::Damaged("its clock cannot be read".to_owned()));
    }
    drop(transaction);
    Ok((database, store))
}

/// Opens the file, or makes it.
fn open(path: &Path) -> Result<Database, Unusable> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options
        .open(path)
        .map_err(|error| Unusable::System(error.to_string()))?;
    let mut builder = Database::builder();
    let file = FileBackend::new(file)?;
    let database = builder.set_cache_size(CACHE).create_with_backend(file)?;
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(REST)?;
    transaction.commit()?;
    Ok(database)
}

/// The thread that writes.
struct Writer {
    path: PathBuf,
    /// None after a failure, since the library uses such a file no more until it is opened anew.
    database: Option<Database>,
    store: DataStore,
    shared: Arc<Shared>,
    /// When the log was last told of a failure.
    told: Option<Instant>,
    /// What was not kept, as the log was last told, and when.
    not_kept: (DataCounts, Option<Instant>),
}

impl Writer {
    fn run(mut self) {
        loop {
            self.wait();
            let ends = self.shared.ends.load(Ordering::Acquire);
            if !ends {
                thread::park_timeout(GATHER);
            }
            while self.store.is_unsaved() {
                let unsaved = self.store.take_unsaved(AT_ONCE);
                if let Err(error) = self.store_all(&unsaved) {
                    self.database = None;
                    self.store.put_back(unsaved);
                    self.failed(&error);
                    break;
                }
            }
            self.tell_not_kept();
            if ends {
                return;
            }
        }
    }

    /// Stores this, with the file opened anew if that failed before.
    fn store_all(&mut self, unsaved: &Unsaved) -> Result<(), String> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path).map_err(|error| match error {
                Unusable::Damaged(why) | Unusable::System(why) => why,
            })?,
        };
        let database = self.database.insert(database);
        write(database, unsaved).map_err(|error| error.to_string())
    }

    /// Tells the log what of members was not kept, if that is new.
    fn tell_not_kept(&mut self) {
        let now = self.store.counts();
        let (before, told) = self.not_kept;
        if now == before || told.is_some_and(|told| told.elapsed() < QUIET) {
            return;
        }
        self.not_kept = (now, Some(Instant::now()));
        tracing::warn!(
            deleted_long_ago = now.deleted - before.deleted,
            without_room = now.no_room - before.no_room,
            "entries of key-value data were dropped: others had deleted them so long ago that this \
             is forgotten, or there was no room for what members have",
        );
    }

    /// Waits until something has changed, or the end.
    fn wait(&self) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        while !self.shared.ends.load(Ordering::Acquire)
            && self.store.poll_unsaved(&mut context) == Poll::Pending
        {
            thread::park();
        }
    }

    fn failed(&mut self, error: &str) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            self.told = Some(Instant::now());
            tracing::error!(
                "key-value data is not stored: {error}; see that the disk has room. It is tried \
                 again every second, and is in memory meanwhile",
            );
        }
        if !self.shared.ends.load(Ordering::Acquire) {
            thread::park_timeout(AGAIN);
        }
    }
}

fn write(database: &Database, unsaved: &Unsaved) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        for (key, bytes) in &unsaved.entries {
            match bytes {
                Some(bytes) => entries.insert(key.as_bytes(), &bytes[..])?,
                None => entries.remove(key.as_bytes())?,
            };
        }
        if let Some(rest) = &unsaved.rest {
            transaction.open_table(REST)?.insert((), &rest[..])?;
        }
    }
    fault::point("key-value: before the commit");
    transaction.commit()?;
    Ok(())
}

/// Wakes a thread that has parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cluster::data::{DataKey, DataWrite};

    use super::*;
    use crate::data::wall_ms;

    fn key(name: &str) -> DataKey {
        DataKey::new("default", name).expect("a key")
    }

    fn folder() -> (tempfile::TempDir, DataDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = DataDir::open(folder.path()).expect("usable");
        (folder, data_dir)
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let (_folder, data_dir) = folder();
        let (store, file) = DataFile::open(&data_dir).expect("opened");
        let put = |name: &str| DataWrite::Put(key(name), Bytes::from("x"));
        store
            .write(wall_ms(), &[put("a"), put("b")])
            .expect("written");
        store
            .write(wall_ms(), &[DataWrite::Delete(key("b"))])
            .expect("written");
        store
            .write(wall_ms(), &[DataWrite::Increment(key("n"), 7)])
            .expect("written");
        drop(file);
        let (store, _file) = DataFile::open(&data_dir).expect("opened");
        let get = |name: &str| store.get(&key(name));
        assert_eq!(get("a").as_deref(), Some(&b"x"[..]));
        assert_eq!(get("b"), None);
        assert_eq!(get("n").as_deref(), Some(&b"7"[..]));
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let (_folder, data_dir) = folder();
        drop(DataFile::open(&data_dir).expect("opened"));
        let path = data_dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes.iter_mut().skip(64).for_each(|byte| *byte = !*byte);
        std::fs::write(&path, &bytes).expect("written");
        let (store, file) = DataFile::open(&data_dir).expect("opened without it");
        assert_eq!(store.size().0, 0);
        assert_eq!(
            std::fs::read(data_dir.path().join(ASIDE)).expect("kept"),
            bytes
        );
        drop(file);
        std::fs::write(&path, b"something else").expect("written");
        assert!(DataFile::open(&data_dir).is_ok());
    }
}
