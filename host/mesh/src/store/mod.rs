//! The apps that this node has, on disk, each under the SHA-256 of its bytes:
//! what it serves and served, and what it fetches from members, piece by piece.
//!
//! ```text
//! put (file, push)  ---------------------------> whole -> get, chunk
//! partial -> put_chunk (members) -> finish ----> whole
//!            whole, but other bytes than its name says -> quarantine
//! ```
//!
//! A file has its name only once all of it is on the disk, so a crash at any
//! point leaves an app whole or not there; what was begun is swept up at the
//! next [`Store::open`], or goes on there. All calls block, for as long as the
//! disk takes: from async code they go through `spawn_blocking`.

mod error;
mod files;
mod keep;
mod partial;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cluster::Digest;
use cluster::release::{App, CHUNK};

pub use error::StoreError;
pub use partial::Partial;

use crate::data_dir::DataDir;

use files::Files;
use keep::{Begun, Known, Whole};
use partial::Download;

/// The largest component that is taken unless `--max-app` says otherwise, in
/// bytes: 64 MiB.
pub const MAX_APP: u64 = 64 * 1024 * 1024;

/// The most that `--max-app` can be, in bytes: 1 GiB.
pub const LARGEST_APP: u64 = 1 << 30;

/// What the store takes and keeps.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// The largest app that is taken, in bytes.
    pub app: u64,
    /// How many whole apps are kept, as long as no more are in use.
    pub blobs: usize,
    /// How many downloads there are at most; the oldest makes room.
    pub partials: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            app: crate::store::MAX_APP,
            blobs: 5,
            partials: 2,
        }
    }
}

/// The apps of this node. A handle; all clones are one store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Held so that no other host is in it.
    _folder: Arc<DataDir>,
    files: Files,
    limits: StoreLimits,
    /// Held by whoever changes which files there are, for as long as that
    /// takes. Always taken before `known`.
    change: Mutex<()>,
    /// What is known without a look at the disk; held for moments only.
    known: Mutex<Known>,
    quarantined: AtomicU64,
}

impl Store {
    /// Opens the store in the folder of this node, and sweeps up what a crash
    /// has left there.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Write`].
    pub fn open(folder: Arc<DataDir>, limits: StoreLimits) -> Result<Self, StoreError> {
        let files =
            Files::make(folder.path()).map_err(|(path, error)| StoreError::change(&path, error))?;
        let unreadable = |error| StoreError::read(files.apps(), error);
        files
            .sweep()
            .map_err(|error| StoreError::change(files.apps(), error))?;
        let mut whole = files::named(files.apps()).map_err(unreadable)?;
        whole.sort_by_key(|file| file.modified);
        let mut partials = files::named(&files.partials()).map_err(unreadable)?;
        partials.sort_by_key(|file| file.modified);
        let known = Known {
            whole: whole
                .into_iter()
                .map(|file| Whole {
                    digest: file.digest,
                    manifest: None,
                })
                .collect(),
            partials: partials
                .into_iter()
                .map(|file| Begun {
                    digest: file.digest,
                    download: None,
                })
                .collect(),
            keep: None,
        };
        let store = Self(Arc::new(Shared {
            _folder: folder,
            files,
            limits,
            change: Mutex::default(),
            known: Mutex::new(known),
            quarantined: AtomicU64::new(0),
        }));
        let changing = store.change();
        store.drop_partials(&changing, limits.partials)?;
        drop(changing);
        Ok(store)
    }

    /// What it takes and keeps.
    pub fn limits(&self) -> StoreLimits {
        self.0.limits
    }

    /// Whether this app is there, as far as its name says.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.known().whole.iter().any(|app| app.digest == *digest)
    }

    /// The apps that are there; the one that was put in last is the last.
    pub fn apps(&self) -> Vec<Digest> {
        self.known().whole.iter().map(|app| app.digest).collect()
    }

    /// How many bytes the apps have that are there, as far as the disk says.
    pub fn bytes(&self) -> u64 {
        let apps = self.apps();
        let sizes = apps.iter().map(|app| self.0.files.whole(app).metadata());
        sizes.filter_map(|file| Some(file.ok()?.len())).sum()
    }

    /// How many damaged apps were put aside since the store was opened.
    pub fn quarantined(&self) -> u64 {
        self.0.quarantined.load(Ordering::Relaxed)
    }

    /// The bytes of an app, checked against its digest. None if it is not
    /// there; a damaged one is put aside, and is not there any more.
    ///
    /// # Errors
    /// [`StoreError::Read`]; [`StoreError::Write`] if a damaged one cannot be put aside.
    pub fn get(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        match self.read(digest)? {
            Some(content) if Digest::of(&content) == *digest => Ok(Some(content)),
            Some(_) => self.put_aside(&self.change(), digest),
            None => Ok(None),
        }
    }

    /// Keeps an app. When it returns, the app is on the disk. Does nothing if
    /// it is there already.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Full`], [`StoreError::Quota`],
    /// [`StoreError::Write`]; nothing of it is left then. [`StoreError::Read`]
    /// if what is there already cannot be read.
    pub fn put(&self, app: &Bytes) -> Result<Digest, StoreError> {
        let size = app.len() as u64;
        self.check_size(size)?;
        let digest = Digest::of(app);
        let changing = self.change();
        let there = match self.read(&digest)? {
            Some(content) if content == *app => true,
            Some(_) => self.put_aside(&changing, &digest)?.is_some(),
            None => false,
        };
        if !there {
            let files = &self.0.files;
            let (new, whole) = (files.being_written(), files.whole(&digest));
            let write = || {
                files::write(&new, app)?;
                files.name_whole(&new, &digest, "store: app renamed")
            };
            if let Err(error) = write() {
                // It takes the room that others may need. If this fails too,
                // the next start does it.
                let _ = files::remove(&new);
                return Err(StoreError::write(&whole, size, error));
            }
        }
        fault::point("store: app kept");
        self.came(&changing, digest, None);
        Ok(digest)
    }

    /// Begins to fetch an app in chunks, or goes on with it. The oldest of the
    /// downloads makes room for it.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Manifest`], [`StoreError::Full`],
    /// [`StoreError::Quota`], [`StoreError::Write`]; nothing of it is left then.
    pub fn partial(&self, app: &App, manifest: &Bytes) -> Result<Partial, StoreError> {
        self.begin(&self.change(), app, manifest)
    }

    fn begin(
        &self,
        changing: &MutexGuard<'_, ()>,
        app: &App,
        manifest: &Bytes,
    ) -> Result<Partial, StoreError> {
        self.check_size(app.size)?;
        let chunks = app.size.div_ceil(CHUNK as u64);
        if manifest.len() as u64 != chunks * 32 || Digest::of(manifest) != app.manifest {
            return Err(StoreError::Manifest(app.digest));
        }
        let begun = {
            let known = self.known();
            let begun = known.partials.iter().find(|it| it.digest == app.digest);
            begun.map(|begun| begun.download.clone())
        };
        if let Some(Some(download)) = &begun
            && download.is(app)
        {
            return Ok(Partial::new(self.clone(), download.clone()));
        }
        let resumed = match begun {
            Some(None) => Download::resume(&self.0.files, app, manifest),
            _ => None,
        };
        self.forget_partial(changing, &app.digest, resumed.is_none())?;
        self.drop_partials(changing, self.0.limits.partials.saturating_sub(1))?;
        let download = match resumed {
            Some(download) => download,
            None => Download::begin(&self.0.files, app, manifest)?,
        };
        let download = Arc::new(download);
        self.known().partials.push(Begun {
            digest: app.digest,
            download: Some(download.clone()),
        });
        Ok(Partial::new(self.clone(), download))
    }

    /// What there is of an app: all of it, a download that was begun, by an
    /// earlier process too, or nothing.
    ///
    /// # Errors
    /// As [`Store::get`] and [`Store::partial`].
    pub fn held(&self, app: &App) -> Result<Held, StoreError> {
        let digest = &app.digest;
        if let Some(content) = self.get(digest)? {
            return Ok(Held::Whole(content));
        }
        // No download becomes a whole app while this is held; one may have done
        // so just before.
        let changing = self.change();
        if let Some(content) = self.put_aside(&changing, digest)? {
            return Ok(Held::Whole(content));
        }
        match self.0.files.read_manifest(digest) {
            Ok(manifest) if Digest::of(&manifest) == app.manifest => self
                .begin(&changing, app, &manifest.into())
                .map(Held::Begun),
            Ok(_) => Ok(Held::Nothing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::Nothing),
            Err(error) => Err(StoreError::read(&self.0.files.manifest(digest), error)),
        }
    }

    /// Gives up a download, if there is one of this app.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn abandon(&self, digest: &Digest) -> Result<(), StoreError> {
        self.forget_partial(&self.change(), digest, true)
    }

    /// One chunk of an app that is there, or of one that is being fetched. It
    /// is what the manifest says, else there is none.
    ///
    /// # Errors
    /// [`StoreError::Read`]; [`StoreError::Write`] if a damaged app cannot be put aside.
    pub fn chunk(&self, digest: &Digest, index: usize) -> Result<Option<Bytes>, StoreError> {
        if !self.holds(digest) {
            let download = self.download(digest);
            return match download {
                Some(download) => download.chunk(index),
                None => Ok(None),
            };
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

    /// The SHA-256 of each chunk of an app that is there or is being fetched.
    /// Of a download that an earlier process began it is what that one was
    /// told, and [`Store::partial`] checks it.
    ///
    /// # Errors
    /// [`StoreError::Read`]; [`StoreError::Write`] if a damaged app cannot be put aside.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let whole = {
            let known = self.known();
            let whole = known.whole.iter().find(|app| app.digest == *digest);
            whole.map(|whole| whole.manifest.clone())
        };
        match whole {
            Some(Some(manifest)) => Ok(Some(manifest)),
            Some(None) => {
                let Some(content) = self.get(digest)? else {
                    return Ok(None);
                };
                let manifest = Bytes::from(App::manifest(&content));
                let mut known = self.known();
                if let Some(app) = known.whole.iter_mut().find(|app| app.digest == *digest) {
                    app.manifest = Some(manifest.clone());
                }
                Ok(Some(manifest))
            }
            None => match self.0.files.read_manifest(digest) {
                Ok(manifest) => Ok(Some(manifest.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::read(&self.0.files.manifest(digest), error)),
            },
        }
    }

    /// Says which apps must be kept: the one that runs, the one before it, and
    /// whatever is about to run. Of all others those that were put in last are
    /// kept, as long as there are no more than [`StoreLimits::blobs`] with
    /// these. So it is from now on whenever an app comes, too. Says how many
    /// it has removed.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn collect(&self, keep: &[Digest]) -> Result<usize, StoreError> {
        let changing = self.change();
        self.known().keep = Some(keep.to_vec());
        self.prune(&changing, None)
    }

    fn check_size(&self, size: u64) -> Result<(), StoreError> {
        let most = self.0.limits.app;
        if size > most {
            return Err(StoreError::TooLarge { size, most });
        }
        Ok(())
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.0.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn download(&self, digest: &Digest) -> Option<Arc<Download>> {
        let known = self.known();
        let begun = known.partials.iter().find(|it| it.digest == *digest)?;
        begun.download.clone()
    }

    /// The content of the file, whatever it is.
    fn read(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        match self.0.files.read_whole(digest) {
            Ok(content) => Ok(Some(content.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known().whole.retain(|app| app.digest != *digest);
                Ok(None)
            }
            Err(error) => Err(StoreError::read(&self.0.files.whole(digest), error)),
        }
    }
}

/// What there is of an app.
#[derive(Debug)]
pub enum Held {
    /// All of it.
    Whole(Bytes),
    /// A download, which may be full and not whole yet.
    Begun(Partial),
    /// Nothing of use.
    Nothing,
}

/// What a manifest says of a chunk; none if there is no such chunk.
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
