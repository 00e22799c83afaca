//! Compiled code on the disk, so that a component which the node has loaded before need
//! not be compiled again.
//!
//! Each file is named by the digest of its component, and begins with the digest of the
//! code that follows. A file that was damaged, or that the engine does not take any more,
//! counts as missing and is removed. Nothing is synced: what a power cut takes is
//! compiled again.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use cluster::Digest;
use parking_lot::Mutex;

use super::artefact::Artefact;

/// How a file begins; the number is that of the format.
const MAGIC: &[u8; 8] = b"ace-aot1";
/// The bytes before the code.
const HEAD: usize = MAGIC.len() + 32;
/// A file that is being written.
const NEW: &str = ".new";
/// The most that all files together may have, in bytes: 512 MiB.
const ROOM: u64 = 512 << 20;
/// How many files there may be.
const FILES: usize = 64;

/// The folder.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    room: u64,
    /// Locked while a file is written: there is one name for new files.
    writing: Mutex<()>,
}

/// A file of the folder.
struct Entry {
    path: PathBuf,
    used: SystemTime,
    size: u64,
}

impl Kept {
    /// The code in this folder. What does not belong there is removed, and what is more
    /// than there is room for.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(super) fn open(folder: &Path) -> io::Result<Kept> {
        Self::with_room(folder, ROOM)
    }

    fn with_room(folder: &Path, room: u64) -> io::Result<Kept> {
        fs::create_dir_all(folder)?;
        let kept = Kept {
            folder: folder.to_owned(),
            room,
            writing: Mutex::default(),
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if is_name(&entry.file_name()) {
                continue;
            }
            // Nothing depends on it; the next start tries it again.
            let _ = match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
        }
        kept.prune()?;
        Ok(kept)
    }

    /// The code of a component, if it is there. Blocks while the disk reads.
    pub(super) fn find(&self, component: &Digest) -> Option<Artefact> {
        let path = self.path(component);
        let mut file = File::open(&path).ok()?;
        let found = read(&mut file, self.room);
        match &found {
            // So that it is not the first to go.
            Some(_) => drop(file.set_modified(SystemTime::now())),
            None => self.remove(component),
        }
        found
    }

    /// Keeps the code of a component. Blocks while the disk writes.
    ///
    /// # Errors
    /// The error of the system. Then it is not kept.
    pub(super) fn store(&self, component: &Digest, code: &Artefact) -> io::Result<()> {
        if code.is_kept() || (HEAD + code.bytes().len()) as u64 > self.room {
            return Ok(());
        }
        let _writing = self.writing.lock();
        let (path, new) = (self.path(component), self.folder.join(NEW));
        let write = || {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(MAGIC)?;
            file.write_all(code.digest().as_bytes())?;
            file.write_all(code.bytes())?;
            fs::rename(&new, &path)
        };
        // On a full disk it would take space that others may need.
        write().inspect_err(|_| drop(fs::remove_file(&new)))?;
        self.prune()
    }

    /// Removes the code of a component: the engine does not take it.
    pub(super) fn remove(&self, component: &Digest) {
        // If it stays, the next one who asks for it finds the same and tries again.
        let _ = fs::remove_file(self.path(component));
    }

    fn path(&self, component: &Digest) -> PathBuf {
        self.folder.join(component.to_string())
    }

    /// Removes the files that were used longest ago, until the others have room.
    fn prune(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if let (true, Ok(metadata)) = (is_name(&entry.file_name()), entry.metadata()) {
                entries.push(Entry {
                    path: entry.path(),
                    used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    size: metadata.len(),
                });
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let mut total = 0;
        for (count, entry) in entries.iter().enumerate() {
            total += entry.size;
            if count >= FILES || total > self.room {
                fs::remove_file(&entry.path)?;
            }
        }
        Ok(())
    }
}

fn is_name(name: &std::ffi::OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.parse::<Digest>().is_ok())
}

/// The code in a file. None if it cannot be read, or has another digest than it says.
fn read(file: &mut File, most: u64) -> Option<Artefact> {
    let size = file.metadata().ok()?.len();
    if size > most {
        return None;
    }
    let mut head = [0; HEAD];
    file.read_exact(&mut head).ok()?;
    let digest = head.strip_prefix(MAGIC)?.try_into().ok()?;
    let mut code = Vec::with_capacity(usize::try_from(size).ok()?);
    file.take(most).read_to_end(&mut code).ok()?;
    let found = Artefact::checked(Bytes::from(code), Digest::from_bytes(digest));
    found.map(Artefact::kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &'static [u8]) -> Artefact {
        Artefact::of(Bytes::from_static(text))
    }

    fn component(number: u8) -> Digest {
        Digest::of(&[number])
    }

    #[test]
    fn code_is_found_as_it_was_stored_and_a_damaged_file_is_missing_and_gone() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path()).unwrap();
        assert!(kept.find(&component(1)).is_none());
        kept.store(&component(1), &code(b"code")).unwrap();
        assert_eq!(kept.find(&component(1)).unwrap().bytes(), &b"code"[..]);
        let path = kept.path(&component(1));
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(kept.find(&component(1)).is_none());
        assert!(!path.exists());
        // A file that a power cut has left empty.
        fs::write(&path, b"").unwrap();
        assert!(kept.find(&component(1)).is_none());
    }

    #[test]
    fn the_files_used_longest_ago_go_when_there_is_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let each = (HEAD + 4) as u64;
        let kept = Kept::with_room(folder.path(), 2 * each).unwrap();
        let used = |number: u64| {
            let path = kept.path(&component(number as u8));
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(at)
                .unwrap();
        };
        for number in 1..=2 {
            kept.store(&component(number), &code(b"code")).unwrap();
            used(number.into());
        }
        // Finding it is using it.
        assert!(kept.find(&component(1)).is_some());
        kept.store(&component(3), &code(b"code")).unwrap();
        let found = [1, 2, 3].map(|number| kept.find(&component(number)).is_some());
        assert_eq!(found, [true, false, true]);
        // What is larger than all the room is not kept. That is no error.
        let large = Artefact::of(vec![0; 1000].into());
        kept.store(&component(4), &large).unwrap();
        assert!(kept.find(&component(4)).is_none());
        assert!(kept.find(&component(3)).is_some());
    }

    #[test]
    fn what_does_not_belong_there_is_removed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("modules/wasmtime")).unwrap();
        fs::write(folder.path().join(NEW), b"half").unwrap();
        Kept::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
