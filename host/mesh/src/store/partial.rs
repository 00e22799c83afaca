//! An app that is being fetched: a file of its full length, into which chunks
//! are written as they come, in any order, each checked before. What is there
//! already is found out by checking it, so nothing about it is written down
//! that a crash could make untrue.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cluster::Digest;
use cluster::release::{App, CHUNK};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::retry_on_intr;

use super::files::{self, Files};
use super::{Store, StoreError, hash_of, read_chunk};

/// A download. A handle; all clones are one download, and it stays on the disk
/// when they are dropped.
#[derive(Clone, Debug)]
pub struct Partial {
    store: Store,
    download: Arc<Download>,
}

#[derive(Debug)]
pub(super) struct Download {
    app: App,
    manifest: Bytes,
    path: PathBuf,
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    have: Vec<bool>,
    /// Its file is removed, or has become a whole app.
    gone: bool,
}

impl Partial {
    pub(super) fn new(store: Store, download: Arc<Download>) -> Self {
        Self { store, download }
    }

    /// What is fetched.
    pub fn app(&self) -> &App {
        &self.download.app
    }

    /// How many chunks it has.
    pub fn chunks(&self) -> usize {
        self.download.manifest.len() / 32
    }

    /// Whether this chunk is there.
    pub fn has(&self, index: usize) -> bool {
        self.download.state().have.get(index) == Some(&true)
    }

    /// The chunks that are missing, from the first to the last.
    pub fn missing(&self) -> Vec<usize> {
        self.download.missing()
    }

    /// How many bytes are there.
    pub fn have_bytes(&self) -> u64 {
        let state = self.download.state();
        let have = state.have.iter().enumerate().filter(|(_, have)| **have);
        have.map(|(index, _)| self.download.len_of(index) as u64)
            .sum()
    }

    /// Takes a chunk, if it is what the manifest says. True if it was missing.
    ///
    /// # Errors
    /// [`StoreError::Chunk`]; [`StoreError::Gone`]; [`StoreError::Full`] and
    /// [`StoreError::Quota`], after which the download is given up;
    /// [`StoreError::Write`].
    pub fn put_chunk(&self, index: usize, chunk: &[u8]) -> Result<bool, StoreError> {
        let download = &self.download;
        let digest = download.app.digest;
        if hash_of(&download.manifest, index) != Some(Digest::of(chunk))
            || chunk.len() != download.len_of(index)
        {
            return Err(StoreError::Chunk { digest, index });
        }
        if download.check_not_gone()?.have[index] {
            return Ok(false);
        }
        let at = index as u64 * CHUNK as u64;
        if let Err(error) = download.file.write_all_at(chunk, at) {
            let error = StoreError::write(&download.path, download.app.size, error);
            if matches!(error, StoreError::Full { .. } | StoreError::Quota { .. }) {
                // What is there of it takes the room that others may need.
                self.give_up(&self.store.change());
            }
            return Err(error);
        }
        fault::point("store: chunk written");
        let mut state = download.check_not_gone()?;
        Ok(!std::mem::replace(&mut state.have[index], true))
    }

    /// The app, once all chunks are there. It may not be on the disk yet, where
    /// [`Partial::finish`] puts it, or has put it.
    ///
    /// # Errors
    /// As [`Partial::finish`].
    pub fn content(&self) -> Result<Bytes, StoreError> {
        let download = &self.download;
        if let Err(gone) = download.check_not_gone().map(drop) {
            return self.store.get(&download.app.digest)?.ok_or(gone);
        }
        download.check_nothing_missing()?;
        let content = download.read()?;
        if download.is_right(&content)? {
            return Ok(content);
        }
        self.give_up(&self.store.change());
        Err(StoreError::OtherApp(download.app.digest))
    }

    /// Makes a whole app of it, once all chunks are there. When it returns, the
    /// app is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Unfinished`], [`StoreError::Gone`], [`StoreError::Read`];
    /// [`StoreError::OtherApp`], [`StoreError::Full`], [`StoreError::Quota`],
    /// [`StoreError::Write`], after which the download is given up.
    pub fn finish(&self) -> Result<Bytes, StoreError> {
        let (store, download) = (&self.store, &self.download);
        let digest = download.app.digest;
        drop(download.check_not_gone()?);
        download.check_nothing_missing()?;
        let files = &store.0.files;
        let write = |error| StoreError::write(&download.path, download.app.size, error);
        if let Err(error) = download.file.sync_all() {
            // The system says so once: from then on what is not on the disk reads
            // as if it were there.
            self.give_up(&store.change());
            return Err(write(error));
        }
        fault::point("store: download synced");
        let changing = store.change();
        drop(download.check_not_gone()?);
        let content = download.read()?;
        if !download.is_right(&content)? {
            self.give_up(&changing);
            return Err(StoreError::OtherApp(digest));
        }
        let named = files.name_whole(&download.path, &digest, "store: download renamed");
        self.give_up(&changing);
        named.map_err(write)?;
        fault::point("store: download kept");
        store.came(&changing, digest, Some(download.manifest.clone()));
        Ok(content)
    }

    /// From now on it is no download any more.
    fn give_up(&self, changing: &MutexGuard<'_, ()>) {
        let (store, digest) = (&self.store, &self.download.app.digest);
        if self.download.state().gone {
            // Another one of the same app may have been begun since.
            return;
        }
        if let Err(error) = store.forget_partial(changing, digest, true) {
            tracing::warn!(
                "a download that is over stays on the disk until the next start: {error}"
            );
        }
    }
}

impl Download {
    /// A new one, that has all the room it will need.
    pub(super) fn begin(files: &Files, app: &App, manifest: &Bytes) -> Result<Self, StoreError> {
        let path = files.partial(&app.digest);
        let begin = || {
            let file = files::create(&path)?;
            reserve(&file, app.size)?;
            fault::point("store: download reserved");
            // If a crash tears it, the download begins anew.
            files::create(&files.manifest(&app.digest))?.write_all(manifest)?;
            fault::point("store: download begun");
            Ok(file)
        };
        match begin() {
            Ok(file) => Ok(Self::of(app, manifest, path, file)),
            Err(error) => {
                // If this fails too, the next start does it.
                let _ = files.remove_partial(&app.digest);
                Err(StoreError::write(&path, app.size, error))
            }
        }
    }

    /// The one that is in the files; none if they are of no use.
    pub(super) fn resume(files: &Files, app: &App, manifest: &Bytes) -> Option<Self> {
        if files.read_manifest(&app.digest).ok()? != *manifest {
            return None;
        }
        let path = files.partial(&app.digest);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.ok()?;
        if file.metadata().ok()?.len() != app.size {
            return None;
        }
        let download = Self::of(app, manifest, path, file);
        for index in 0..manifest.len() / 32 {
            let chunk = read_chunk(&download.file, index).ok()?;
            let have = hash_of(manifest, index) == Some(Digest::of(&chunk));
            download.state().have[index] = have;
        }
        Some(download)
    }

    fn of(app: &App, manifest: &Bytes, path: PathBuf, file: File) -> Self {
        Self {
            app: *app,
            manifest: manifest.clone(),
            path,
            file,
            state: Mutex::new(State {
                have: vec![false; manifest.len() / 32],
                gone: false,
            }),
        }
    }

    /// Whether it is a download of this app, size and manifest included.
    pub(super) fn is(&self, app: &App) -> bool {
        self.app == *app
    }

    /// From now on it is one no more.
    pub(super) fn is_gone(&self) {
        self.state().gone = true;
    }

    /// A chunk, if it is there.
    pub(super) fn chunk(&self, index: usize) -> Result<Option<Bytes>, StoreError> {
        if self.state().have.get(index) != Some(&true) {
            return Ok(None);
        }
        let chunk =
            read_chunk(&self.file, index).map_err(|error| StoreError::read(&self.path, error))?;
        if hash_of(&self.manifest, index) == Some(Digest::of(&chunk)) {
            return Ok(Some(chunk));
        }
        self.state().have[index] = false;
        Ok(None)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_not_gone(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.gone {
            return Err(StoreError::Gone(self.app.digest));
        }
        Ok(state)
    }

    fn missing(&self) -> Vec<usize> {
        let state = self.state();
        let missing = state.have.iter().enumerate().filter(|(_, have)| !**have);
        missing.map(|(index, _)| index).collect()
    }

    fn check_nothing_missing(&self) -> Result<(), StoreError> {
        match self.missing().len() {
            0 => Ok(()),
            missing => Err(StoreError::Unfinished {
                digest: self.app.digest,
                missing,
            }),
        }
    }

    /// What a chunk has of bytes; the last one has the rest.
    fn len_of(&self, index: usize) -> usize {
        let before = index as u64 * CHUNK as u64;
        let rest = self.app.size.saturating_sub(before);
        usize::try_from(rest).map_or(CHUNK, |rest| rest.min(CHUNK))
    }

    fn read(&self) -> Result<Bytes, StoreError> {
        // The limit of the store has been checked, and fits.
        let mut content = vec![0; usize::try_from(self.app.size).unwrap_or(0)];
        self.file
            .read_exact_at(&mut content, 0)
            .map_err(|error| StoreError::read(&self.path, error))?;
        Ok(content.into())
    }

    /// Whether this is the app. If the disk has changed a chunk, that is missing
    /// from now on, and the error says so.
    fn is_right(&self, content: &[u8]) -> Result<bool, StoreError> {
        if Digest::of(content) == self.app.digest {
            return Ok(true);
        }
        self.check_chunks(content);
        self.check_nothing_missing()?;
        Ok(false)
    }

    fn check_chunks(&self, content: &[u8]) {
        let mut state = self.state();
        for (index, chunk) in content.chunks(CHUNK).enumerate() {
            state.have[index] = hash_of(&self.manifest, index) == Some(Digest::of(chunk));
        }
    }
}

/// Takes the room for a file, so that it is known from the start whether there
/// is any. Where the file system cannot, it turns out when chunks are written.
fn reserve(file: &File, size: u64) -> io::Result<()> {
    if size > 0 {
        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, size)) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    file.set_len(size)
}
