//! The files of the store: their names, and the steps that change them. After each step the
//! next start can go on from what the folder has.
//!
//! ```text
//! components/DIGEST                    a whole component
//! components/.new                      a component that is being written
//! components/partial/DIGEST            a download of this process, at full length from the start
//! components/quarantine/DIGEST         a component that was whole and is damaged now
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cluster::{ComponentBytes, Digest};

use crate::durable;
use crate::durable::Points;

/// The folder of the store, inside the data folder.
const COMPONENTS: &str = "components";
const PARTIAL: &str = "partial";
const QUARANTINE: &str = "quarantine";
const NEW: &str = ".new";

/// The most components that are kept in quarantine.
pub(super) const QUARANTINE_MAX: usize = 3;

/// The largest file that is read as a component, in bytes.
pub(super) const READ_MAX: u64 = crate::store::LARGEST_APP;

/// The fault points of [`Files::write_whole`].
const POINTS: Points = Points {
    begun: "store: component begun",
    synced: "store: component synced",
    renamed: "store: component renamed",
};

/// The paths of the store's files.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

/// A file whose name is a digest.
pub(super) struct Named {
    pub(super) digest: Digest,
    pub(super) modified: SystemTime,
    pub(super) size: u64,
}

impl Files {
    /// Makes the folders that are missing.
    pub(super) fn make(data: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let files = Self {
            folder: data.join(COMPONENTS),
        };
        for folder in [files.folder.clone(), files.partials(), files.quarantine()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|error| (folder, error))?;
        }
        Ok(files)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn partials(&self) -> PathBuf {
        self.folder.join(PARTIAL)
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.folder.join(QUARANTINE)
    }

    pub(super) fn whole(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(digest.to_string())
    }

    pub(super) fn read_whole(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        read(&self.whole(digest), READ_MAX)
    }

    /// Removes what an earlier process left: the unfinished file, and all downloads.
    pub(super) fn sweep(&self) -> io::Result<()> {
        remove(&self.folder.join(NEW))?;
        for entry in fs::read_dir(self.partials())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes a whole component. If that fails, nothing of it is left.
    pub(super) fn write_whole(&self, component: &ComponentBytes) -> io::Result<()> {
        let whole = self.whole(&component.digest());
        // Only one component is written at a time, so one name is enough.
        let (new, bytes) = (self.folder.join(NEW), component.bytes());
        durable::write(&whole, &new, bytes, &POINTS).inspect_err(|_| remove_nameless(&whole))
    }

    /// Gives a download, whose bytes are on the disk, the name of a whole component. If that
    /// fails, there is no such component.
    pub(super) fn name_whole(&self, digest: &Digest) -> io::Result<()> {
        let whole = self.whole(digest);
        durable::rename(&self.partial(digest), &whole, "store: download renamed")
            .inspect_err(|_| remove_nameless(&whole))
    }

    /// Quarantines a whole component, and removes the oldest ones there if there are too many.
    /// Returns where it is now. If the disk has no space even for a name there, removes it and
    /// returns none.
    pub(super) fn put_aside(&self, digest: &Digest) -> io::Result<Option<PathBuf>> {
        let quarantine = self.quarantine();
        let mut kept = named(&quarantine)?;
        kept.retain(|kept| kept.digest != *digest);
        kept.sort_by_key(|kept| kept.modified);
        // Remove the old ones first, so that crashes in between never leave too many.
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
        fault::point("store: component put aside");
        durable::sync_folder_of(&whole)?;
        Ok(aside)
    }
}

/// The files in a folder whose names are digests.
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
                size: metadata.len(),
                modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    Ok(found)
}

/// Removes a component whose name may not be on the disk. If this fails too, the next start
/// finds one more whole component.
fn remove_nameless(whole: &Path) {
    let _ = remove(whole);
}

/// Reads a file, but no more than `most` bytes of it.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = usize::try_from(file.metadata()?.len().min(most)).unwrap_or(0);
    let mut content = Vec::with_capacity(size);
    file.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether the disk is full, or a quota is used up.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Removes a file. A missing file is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
