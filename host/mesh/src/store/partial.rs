//! A component that is being downloaded: a file of its full length, into which checked chunks
//! are written as they come, in any order. Only memory knows which chunks are there, so after a
//! restart the download begins again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cluster::release::{CHUNK, Component};
use cluster::{ComponentBytes, Digest};
use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::retry_on_intr;

use crate::durable;

use super::files::{self, Files};
use super::keep::Came;
use super::{Store, StoreError, hash_of, read_chunk};

/// A download. A handle; all clones are one download, and the store keeps it when they are
/// dropped.
#[derive(Clone, Debug)]
pub struct Download {
    store: Store,
    partial: Arc<Partial>,
}

#[derive(Debug)]
pub(super) struct Partial {
    app: Component,
    manifest: Bytes,
    path: PathBuf,
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    have: Vec<bool>,
    /// Its file was removed, or has become a whole component.
    gone: bool,
}

impl Download {
    pub(super) fn new(store: Store, partial: Arc<Partial>) -> Self {
        Self { store, partial }
    }

    /// The component that is fetched.
    pub fn app(&self) -> &Component {
        &self.partial.app
    }

    /// How many chunks it has.
    pub fn chunks(&self) -> usize {
        self.partial.manifest.len() / 32
    }

    /// Whether this chunk is there.
    pub fn has(&self, index: usize) -> bool {
        self.partial.state.lock().have.get(index) == Some(&true)
    }

    /// The chunks that are missing, from the first to the last.
    pub fn missing(&self) -> Vec<usize> {
        self.partial.missing()
    }

    /// How many bytes are there.
    pub fn have_bytes(&self) -> u64 {
        let state = self.partial.state.lock();
        let have = state.have.iter().enumerate().filter(|(_, have)| **have);
        have.map(|(index, _)| self.partial.len_of(index) as u64)
            .sum()
    }

    /// Stores a chunk, if it matches the manifest. True if it was missing.
    ///
    /// # Errors
    /// [`StoreError::Chunk`]; [`StoreError::Gone`]; [`StoreError::Full`] and
    /// [`StoreError::Quota`], after which the download is given up;
    /// [`StoreError::Write`].
    pub fn store_chunk(&self, index: usize, chunk: &[u8]) -> Result<bool, StoreError> {
        let partial = &self.partial;
        let digest = partial.app.digest;
        if hash_of(&partial.manifest, index) != Some(Digest::of(chunk))
            || chunk.len() != partial.len_of(index)
        {
            return Err(StoreError::Chunk { digest, index });
        }
        if partial.check_not_gone()?.have[index] {
            return Ok(false);
        }
        let at = index as u64 * CHUNK as u64;
        if let Err(error) = partial.file.write_all_at(chunk, at) {
            let error = StoreError::write(&partial.path, partial.app.size, error);
            if matches!(error, StoreError::Full { .. } | StoreError::Quota { .. }) {
                // The downloaded part uses disk space that others may need.
                self.give_up(&self.store.change());
            }
            return Err(error);
        }
        fault::point("store: chunk written");
        let mut state = partial.check_not_gone()?;
        Ok(!std::mem::replace(&mut state.have[index], true))
    }

    /// The component, read and checked, once all chunks are there. It is on the disk only after
    /// [`Download::finish`] has returned.
    ///
    /// # Errors
    /// [`StoreError::Unfinished`], [`StoreError::Gone`], [`StoreError::Read`];
    /// [`StoreError::OtherComponent`], after which the download is given up.
    pub fn component(&self) -> Result<ComponentBytes, StoreError> {
        let partial = &self.partial;
        if let Err(gone) = partial.check_not_gone().map(drop) {
            return self.store.find(&partial.app.digest)?.ok_or(gone);
        }
        partial.check_nothing_missing()?;
        let bytes = partial.read()?;
        let manifest = partial.manifest();
        if let Some(component) = ComponentBytes::of_download(partial.app, manifest, bytes.clone()) {
            return Ok(component);
        }
        // Either the disk has changed a chunk, which is missing from now on, or the author of
        // the manifest has made an error.
        partial.check_chunks(&bytes);
        partial.check_nothing_missing()?;
        self.give_up(&self.store.change());
        Err(StoreError::OtherComponent(partial.app.digest))
    }

    /// Makes the download a whole component. When it returns, the component is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Gone`], [`StoreError::OtherComponent`]; [`StoreError::Full`],
    /// [`StoreError::Quota`], [`StoreError::Write`], after which the download is given up.
    pub fn finish(&self, component: &ComponentBytes) -> Result<(), StoreError> {
        let (store, partial) = (&self.store, &self.partial);
        drop(partial.check_not_gone()?);
        if component.app() != partial.app {
            return Err(StoreError::OtherComponent(partial.app.digest));
        }
        let write = |error| StoreError::write(&partial.path, partial.app.size, error);
        if let Err(error) = partial.file.sync_all() {
            // The system reports such an error only once: from then on, lost content reads as
            // if it were on the disk.
            self.give_up(&store.change());
            return Err(write(error));
        }
        fault::point("store: download synced");
        let changing = store.change();
        drop(partial.check_not_gone()?);
        let digest = &partial.app.digest;
        let named = store.0.files.name_whole(digest);
        self.give_up(&changing);
        named.map_err(write)?;
        fault::point("store: download kept");
        store.came(&changing, component, Came::Stored);
        Ok(())
    }

    /// Ends and removes the download.
    fn give_up(&self, changing: &MutexGuard<'_, ()>) {
        let (store, digest) = (&self.store, &self.partial.app.digest);
        if self.partial.state.lock().gone {
            // Another download of the same component may have begun since then.
            return;
        }
        if let Err(error) = store.forget_partial(changing, digest) {
            tracing::warn!(
                "a download that is over stays on the disk until the next start: {error}"
            );
        }
    }
}

impl Partial {
    /// A new download, with all the disk space that it will need.
    pub(super) fn begin(
        files: &Files,
        app: &Component,
        manifest: &Bytes,
    ) -> Result<Self, StoreError> {
        let path = files.partial(&app.digest);
        let begin = || {
            let file = durable::create(&path)?;
            reserve(&file, app.size)?;
            fault::point("store: download begun");
            Ok(file)
        };
        match begin() {
            Ok(file) => Ok(Self {
                app: *app,
                manifest: manifest.clone(),
                path,
                file,
                state: Mutex::new(State {
                    have: vec![false; manifest.len() / 32],
                    gone: false,
                }),
            }),
            Err(error) => {
                // If this fails too, the next start removes it.
                let _ = files::remove(&path);
                Err(StoreError::write(&path, app.size, error))
            }
        }
    }

    /// The digest of the component.
    pub(super) fn digest(&self) -> Digest {
        self.app.digest
    }

    /// The SHA-256 of each chunk.
    pub(super) fn manifest(&self) -> Bytes {
        self.manifest.clone()
    }

    /// Whether this is a download of `app`, with the same size and manifest.
    pub(super) fn is(&self, app: &Component) -> bool {
        self.app == *app
    }

    /// Marks the download as ended.
    pub(super) fn is_gone(&self) {
        self.state.lock().gone = true;
    }

    /// A chunk, if it is there.
    pub(super) fn chunk(&self, index: usize) -> Result<Option<Bytes>, StoreError> {
        if self.state.lock().have.get(index) != Some(&true) {
            return Ok(None);
        }
        let chunk =
            read_chunk(&self.file, index).map_err(|error| StoreError::read(&self.path, error))?;
        if hash_of(&self.manifest, index) == Some(Digest::of(&chunk)) {
            return Ok(Some(chunk));
        }
        self.state.lock().have[index] = false;
        Ok(None)
    }

    fn check_not_gone(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock();
        if state.gone {
            return Err(StoreError::Gone(self.app.digest));
        }
        Ok(state)
    }

    fn missing(&self) -> Vec<usize> {
        let state = self.state.lock();
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

    /// The length of a chunk; the last one has the rest.
    fn len_of(&self, index: usize) -> usize {
        let before = index as u64 * CHUNK as u64;
        let rest = self.app.size.saturating_sub(before);
        usize::try_from(rest).map_or(CHUNK, |rest| rest.min(CHUNK))
    }

    fn read(&self) -> Result<Bytes, StoreError> {
        // The size was checked against the limit of the store, so it fits.
        let mut content = vec![0; usize::try_from(self.app.size).unwrap_or(0)];
        self.file
            .read_exact_at(&mut content, 0)
            .map_err(|error| StoreError::read(&self.path, error))?;
        Ok(content.into())
    }

    fn check_chunks(&self, content: &[u8]) {
        let mut state = self.state.lock();
        for (index, chunk) in content.chunks(CHUNK).enumerate() {
            state.have[index] = hash_of(&self.manifest, index) == Some(Digest::of(chunk));
        }
    }
}

/// Reserves disk space for a file, so that a full disk is noticed at the start. If the file
/// system cannot do that, it is noticed when chunks are written.
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
