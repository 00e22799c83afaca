//! The components that this node has, on disk, each under the SHA-256 of its bytes: those that
//! it serves and served, and those that it fetches from members in chunks.
//!
//! ```text
//! store (file) -----------------------------------> whole -> find, chunk
//! store_upload (push) -> unreleased -> settle ----> whole, or removed
//! begin -> store_chunk (members) -> finish -------> whole
//!            whole, but other bytes than its name says -> quarantine
//! ```
//!
//! A file gets its name only once all of it is on the disk, so after a crash at any point a
//! component is whole or missing. The next [`Store::open`] removes unfinished files. All calls
//! block for as long as the disk takes, so async code calls them through `spawn_blocking`.

mod error;
mod files;
mod keep;
mod partial;
#[cfg(test)]
mod tests;
mod uploads;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cluster::release::{CHUNK, Component};
use cluster::{ComponentBytes, Digest};

pub use error::StoreError;
pub use partial::Download;

use crate::data_dir::DataDir;

use files::Files;
use keep::{Came, KeptComponent, Known};
use parking_lot::{Mutex, MutexGuard};
use partial::Partial;

/// The largest component that is accepted unless `--max-component` says otherwise, in bytes: 64
/// MiB.
pub const MAX_APP: u64 = 64 * 1024 * 1024;

/// The most that `--max-component` can be, in bytes: 1 GiB.
pub const LARGEST_APP: u64 = 1 << 30;

/// The limits of the store.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// The largest component, in bytes.
    pub component: u64,
    /// How many whole components are kept, unless more are in use.
    pub components: usize,
    /// The most downloads; a new one replaces the oldest.
    pub downloads: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            component: crate::store::MAX_APP,
            components: 5,
            downloads: 2,
        }
    }
}

/// The components of this node. A handle; all clones are one store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Held so that no other host uses the folder.
    _folder: Arc<DataDir>,
    files: Files,
    limits: StoreLimits,
    /// Locked while files are added or removed. Always locked before `known`.
    change: Mutex<()>,
    /// What is known without reading the disk; locked only for moments.
    known: Mutex<Known>,
    quarantined: AtomicU64,
}

impl Store {
    /// Opens the store in the folder of this node, and removes what a crash left there.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Write`].
    pub fn open(folder: Arc<DataDir>, limits: StoreLimits) -> Result<Self, StoreError> {
        let files =
            Files::make(folder.path()).map_err(|(path, error)| StoreError::change(&path, error))?;
        files
            .sweep()
            .map_err(|error| StoreError::change(files.folder(), error))?;
        let mut whole = files::named(files.folder())
            .map_err(|error| StoreError::read(files.folder(), error))?;
        whole.sort_by_key(|file| file.modified);
        let known = Known {
            whole: whole
                .into_iter()
                .map(|file| KeptComponent {
                    digest: file.digest,
                    size: file.size,
                    described: None,
                    came: Came::Earlier,
                })
                .collect(),
            partials: Vec::new(),
            keep: None,
        };
        Ok(Self(Arc::new(Shared {
            _folder: folder,
            files,
            limits,
            change: Mutex::default(),
            known: Mutex::new(known),
            quarantined: AtomicU64::new(0),
        })))
    }

    /// The limits of the store.
    pub fn limits(&self) -> StoreLimits {
        self.0.limits
    }

    /// Whether there is a file for this component; its content is not checked. Does not block.
    pub fn has(&self, digest: &Digest) -> bool {
        self.known().whole.iter().any(|it| it.digest == *digest)
    }

    /// The stored components, the newest last. Does not block.
    pub fn components(&self) -> Vec<Digest> {
        self.known().whole.iter().map(|it| it.digest).collect()
    }

    /// The total size of the stored components, in bytes. Does not block.
    pub fn bytes(&self) -> u64 {
        self.known().whole.iter().map(|it| it.size).sum()
    }

    /// How many damaged components were quarantined since the store was opened.
    pub fn quarantined(&self) -> u64 {
        self.0.quarantined.load(Ordering::Relaxed)
    }

    /// A component, read and checked against its digest. None if it is missing. A damaged one
    /// is quarantined, and is missing then.
    ///
    /// # Errors
    /// [`StoreError::Read`]; [`StoreError::Write`] if a damaged one cannot be quarantined.
    pub fn find(&self, digest: &Digest) -> Result<Option<ComponentBytes>, StoreError> {
        match self.read(digest)? {
            Some(component) if component.digest() == *digest => Ok(Some(component)),
            Some(_) => self.put_aside(&self.change(), digest),
            None => Ok(None),
        }
    }

    /// What a record says of a stored component. Reads the file only if this process has
    /// neither stored nor read it.
    ///
    /// # Errors
    /// Those of [`Store::find`].
    pub fn describe(&self, digest: &Digest) -> Result<Option<Component>, StoreError> {
        Ok(self.described(digest)?.map(|(app, _)| app))
    }

    /// Stores a component. When it returns, the component is on the disk. Does nothing
    /// if it is there already.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Full`], [`StoreError::Quota`],
    /// [`StoreError::Write`]; then nothing of it is left. [`StoreError::Read`] if a file that
    /// is there already cannot be read.
    pub fn store(&self, component: &ComponentBytes) -> Result<(), StoreError> {
        self.write(component, Came::Stored)
    }

    fn write(&self, component: &ComponentBytes, came: Came) -> Result<(), StoreError> {
        let (digest, size) = (component.digest(), component.app().size);
        self.check_size(size)?;
        let changing = self.change();
        let there = match self.read_bytes(&digest)? {
            Some(content) if content == *component.bytes() => true,
            Some(_) => self.put_aside(&changing, &digest)?.is_some(),
            None => false,
        };
        if !there {
            let files = &self.0.files;
            files
                .write_whole(component)
                .map_err(|error| StoreError::write(&files.whole(&digest), size, error))?;
        }
        fault::point("store: component kept");
        self.came(&changing, component, came);
        Ok(())
    }

    /// Begins to download a component in chunks, or continues. If there are too many downloads,
    /// the oldest is dropped.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Manifest`], [`StoreError::Full`],
    /// [`StoreError::Quota`], [`StoreError::Write`]; then nothing of it is left.
    pub fn begin(&self, app: &Component, manifest: &Bytes) -> Result<Download, StoreError> {
        let changing = self.change();
        self.check_size(app.size)?;
        let chunks = app.size.div_ceil(CHUNK as u64);
        if manifest.len() as u64 != chunks * 32 || Digest::of(manifest) != app.manifest {
            return Err(StoreError::Manifest(app.digest));
        }
        if let Some(partial) = self.partial(&app.digest).filter(|it| it.is(app)) {
            return Ok(Download::new(self.clone(), partial));
        }
        self.forget_partial(&changing, &app.digest)?;
        self.drop_partials(&changing, self.0.limits.downloads.saturating_sub(1))?;
        let partial = Arc::new(Partial::begin(&self.0.files, app, manifest)?);
        self.known().partials.push(partial.clone());
        Ok(Download::new(self.clone(), partial))
    }

    /// What the store has of a component: all of it, a begun download, or nothing.
    ///
    /// # Errors
    /// Those of [`Store::find`].
    pub fn find_any(&self, app: &Component) -> Result<Found, StoreError> {
        let digest = &app.digest;
        if let Some(component) = self.find(digest)? {
            return Ok(Found::Whole(component));
        }
        // No download becomes whole while this is locked; one may have just before.
        let changing = self.change();
        if let Some(component) = self.put_aside(&changing, digest)? {
            return Ok(Found::Whole(component));
        }
        let begun = self.partial(digest).filter(|it| it.is(app));
        Ok(begun.map_or(Found::Nothing, |partial| {
            Found::Begun(Download::new(self.clone(), partial))
        }))
    }

    /// One chunk of a component that is stored or being downloaded. None if it does not match
    /// the manifest.
    ///
    /// # Errors
    /// [`StoreError::Read`]; [`StoreError::Write`] if a damaged component cannot be
    /// quarantined.
    pub fn chunk(&self, digest: &Digest, index: usize) -> Result<Option<Bytes>, StoreError> {
        if !self.has(digest) {
            let partial = self.partial(digest);
            return partial.map_or(Ok(None), |partial| partial.chunk(index));
        }
        let Some(manifest) = self.manifest(digest)? else {
            return Ok(None);
        };
        let Some(expected) = hash_of(&manifest, index) else {
            return Ok(None);
        };
        let path = self.0.files.whole(digest);
        match File::open(&path).and_then(|file| read_chunk(&file, index)) {
            Ok(chunk) if Digest::of(&chunk) == expected => Ok(Some(chunk)),
            Ok(_) => {
                self.put_aside(&self.change(), digest)?;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::read(&path, error)),
        }
    }

    /// The SHA-256 of each chunk of a component that is stored or being downloaded.
    ///
    /// # Errors
    /// Those of [`Store::find`].
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        match self.described(digest)? {
            Some((_, manifest)) => Ok(Some(manifest)),
            None => Ok(self.partial(digest).map(|partial| partial.manifest())),
        }
    }

    /// What is known of a whole component; reads the disk if necessary.
    fn described(&self, digest: &Digest) -> Result<Option<(Component, Bytes)>, StoreError> {
        let whole = {
            let known = self.known();
            let whole = known.whole.iter().find(|it| it.digest == *digest);
            whole.map(|whole| whole.described.clone())
        };
        match whole {
            Some(None) => {
                let found = self.find(digest)?;
                Ok(found.map(|it| (it.app(), it.manifest().clone())))
            }
            described => Ok(described.flatten()),
        }
    }

    /// Sets which components must be kept: the one that runs, the one before it, and those that
    /// are about to run. Of the others the newest are kept, up to [`StoreLimits::components`]
    /// in all. From now on this is also done whenever a component is stored. Returns how many
    /// components were removed.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn collect(&self, keep: &[Digest]) -> Result<usize, StoreError> {
        let changing = self.change();
        self.known().keep = Some(keep.to_vec());
        self.prune(&changing, None)
    }

    fn check_size(&self, size: u64) -> Result<(), StoreError> {
        let most = self.0.limits.component;
        if size > most {
            return Err(StoreError::TooLarge { size, most });
        }
        Ok(())
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.0.change.lock()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock()
    }

    fn partial(&self, digest: &Digest) -> Option<Arc<Partial>> {
        let known = self.known();
        let begun = known.partials.iter().find(|it| it.digest() == *digest);
        begun.cloned()
    }

    /// The content of the file, hashed, even if it does not match its name. If it matches, its
    /// hashes are remembered.
    fn read(&self, digest: &Digest) -> Result<Option<ComponentBytes>, StoreError> {
        let read = self.read_bytes(digest)?.map(ComponentBytes::of);
        if let Some(component) = &read {
            self.remember(component);
        }
        Ok(read)
    }

    /// The content of the file, even if it does not match its name.
    fn read_bytes(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        match self.0.files.read_whole(digest) {
            Ok(content) => Ok(Some(content.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known().whole.retain(|it| it.digest != *digest);
                Ok(None)
            }
            Err(error) => Err(StoreError::read(&self.0.files.whole(digest), error)),
        }
    }
}

/// What the store has of a component.
#[derive(Debug)]
pub enum Found {
    /// All of it.
    Whole(ComponentBytes),
    /// A download, which may have all chunks and not be whole yet.
    Begun(Download),
    /// Nothing that is useful.
    Nothing,
}

/// The hash of a chunk by the manifest; none if there is no such chunk.
fn hash_of(manifest: &[u8], index: usize) -> Option<Digest> {
    let (hashes, _) = manifest.as_chunks::<32>();
    hashes.get(index).copied().map(Digest::from_bytes)
}

/// Reads a chunk of a file: up to [`CHUNK`] bytes, fewer at its end.
fn read_chunk(file: &File, index: usize) -> io::Result<Bytes> {
    let mut chunk = vec![0; CHUNK];
    let mut filled = 0;
    while filled < CHUNK {
        let at = index as u64 * CHUNK as u64 + filled as u64;
        match file.read_at(&mut chunk[filled..], at) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(filled);
    Ok(chunk.into())
}
