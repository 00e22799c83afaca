//! The files of the store: their names, and the steps that each leave the
//! folder in a state from which the next start goes on.
//!
//! ```text
//! apps/DIGEST                    a whole app
//! apps/.new                      one that is being written
//! apps/partial/DIGEST            a download, at full length from the start
//! apps/partial/DIGEST.manifest   what its chunks must be; written after it
//! apps/quarantine/DIGEST         what was whole once and is not any more
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cluster::Digest;

/// The folder of the store in the data folder.
const APPS: &str = "apps";
const PARTIAL: &str = "partial";
const QUARANTINE: &str = "quarantine";
const NEW: &str = ".new";
const MANIFEST: &str = ".manifest";

/// The most apps that are kept in quarantine.
pub(super) const QUARANTINE_MAX: usize = 3;

/// The largest file that is read as an app, in bytes.
pub(super) const READ_MAX: u64 = crate::store::LARGEST_APP;

/// The largest manifest: that of the largest app.
const MANIFEST_MAX: u64 = READ_MAX / cluster::release::CHUNK as u64 * 32;

/// The paths of the store's files.
#[derive(Debug)]
pub(super) struct Files {
    apps: PathBuf,
}

/// A file that has a digest for a name.
pub(super) struct Named {
    pub(super) digest: Digest,
    pub(super) modified: SystemTime,
}

impl Files {
    /// Makes the folders, if they are not there.
    pub(super) fn make(data: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let files = Self {
            apps: data.join(APPS),
        };
        for folder in [files.apps.clone(), files.partials(), files.quarantine()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|error| (folder, error))?;
        }
        Ok(files)
    }

    pub(super) fn apps(&self) -> &Path {
        &self.apps
    }

    pub(super) fn partials(&self) -> PathBuf {
        self.apps.join(PARTIAL)
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.apps.join(QUARANTINE)
    }

    pub(super) fn whole(&self, digest: &Digest) -> PathBuf {
        self.apps.join(digest.to_string())
    }

    /// Only one app is written at a time, so one name is enough.
    pub(super) fn being_written(&self) -> PathBuf {
        self.apps.join(NEW)
    }

    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(digest.to_string())
    }

    pub(super) fn manifest(&self, digest: &Digest) -> PathBuf {
        self.partials().join(format!("{digest}{MANIFEST}"))
    }

    pub(super) fn read_whole(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        read(&self.whole(digest), READ_MAX)
    }

    pub(super) fn read_manifest(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        read(&self.manifest(digest), MANIFEST_MAX)
    }

    /// Removes what a crash left: files that were being written, and downloads
    /// that lack one of their two files.
    pub(super) fn sweep(&self) -> io::Result<()> {
        remove(&self.being_written())?;
        for entry in fs::read_dir(self.partials())? {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_file() {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let digest = name.strip_suffix(MANIFEST).unwrap_or(&name);
            let complete = digest.parse().is_ok_and(|digest| {
                self.partial(&digest).is_file() && self.manifest(&digest).is_file()
            });
            if !complete {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes both files of a download, the manifest first: without it the
    /// other one is a leftover, and so it is the other way round.
    pub(super) fn remove_partial(&self, digest: &Digest) -> io::Result<()> {
        let manifest = remove(&self.manifest(digest));
        remove(&self.partial(digest)).and(manifest)
    }

    /// Gives a file that is on the disk the name of a whole app. If that cannot be
    /// seen onto the disk, the app is not there; `renamed` is the fault point in
    /// between.
    pub(super) fn name_whole(
        &self,
        from: &Path,
        digest: &Digest,
        renamed: &'static str,
    ) -> io::Result<()> {
        let whole = self.whole(digest);
        fs::rename(from, &whole)?;
        fault::point(renamed);
        sync_folder(&self.apps).inspect_err(|_| {
            // If this fails too, it is one more whole app at the next start.
            let _ = remove(&whole);
        })
    }

    /// Puts a whole app aside; the oldest of those there make room for it. Says
    /// where it is; nowhere, if there is no room for as much as a name there: it is
    /// removed then.
    pub(super) fn put_aside(&self, digest: &Digest) -> io::Result<Option<PathBuf>> {
        let quarantine = self.quarantine();
        let mut kept = named(&quarantine)?;
        kept.retain(|kept| kept.digest != *digest);
        kept.sort_by_key(|kept| kept.modified);
        // Before, so that however often a crash comes in between, there are
        // never too many.
        let over = (kept.len() + 1).saturating_sub(QUARANTINE_MAX);
        for old in kept.iter().take(over) {
            remove(&quarantine.join(old.digest.to_string()))?;
        }
        let (whole, to) = (self.whole(digest), quarantine.join(digest.to_string()));
        let aside = match fs::rename(&whole, &to) {
            Ok(()) => Some(to),
            Err(error) if is_full(&error) => {
                remove(&whole)?;
                None
            }
            Err(error) => return Err(error),
        };
        fault::point("store: app put aside");
        sync_folder(&self.apps)?;
        Ok(aside)
    }
}

/// The files in a folder that are named by a digest.
pub(super) fn named(folder: &Path) -> io::Result<Vec<Named>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(digest) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            found.push(Named {
                digest,
                modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    Ok(found)
}

/// Makes a file for this user only (mode 0600), and empties one that is there.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Writes a whole file and sees it onto the disk.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    fault::point("store: app begun");
    file.write_all(content)?;
    file.sync_all()?;
    fault::point("store: app synced");
    Ok(())
}

/// Reads a file, and no more than `most` bytes of it.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = usize::try_from(file.metadata()?.len().min(most)).unwrap_or(0);
    let mut content = Vec::with_capacity(size);
    file.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether there is no room on the disk, or none within a quota.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Removes a file. That it is not there is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A rename is a change of the folder, and lasts once that is on the disk.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
