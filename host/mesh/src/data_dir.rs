//! The folder in which one node keeps what must survive its process. Only one host uses it at a time. After a
//! crash at any point a file has its old content or the new, never half.

mod in_use;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, process};

use cluster::NodeName;

use crate::durable;
use crate::durable::Points;
pub use in_use::UsedFolder;

/// The name of the folder for all nodes, inside the user's or the system's state folder.
const PROGRAM: &str = "ace-raxx";

/// The file that the host which uses the folder keeps locked. It contains that host's process id, for people.
const LOCK: &str = "lock";

/// The most that [`DataDir::read`] reads, in bytes: the history of releases,
/// which is the largest file.
const READ_MAX: u64 = cluster::release::STORED_MAX as u64;

/// Where the process may die in [`DataDir::write`].
const POINTS: Points = Points {
    begun: "data: file begun",
    synced: "data: file synced",
    renamed: "data: file renamed",
};

/// The data folder of this node, locked until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Kept open for its lock: the system releases it when the process ends, however it ends.
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// There is no home directory to put it in.
    #[error("there is no place for the data of a node: HOME is not set; name one with --data-dir")]
    NoHome,
    /// The folder cannot be made.
    #[error("cannot make the data folder {}: {error}; name another with --data-dir", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No file can be written in the folder.
    #[error(
        "cannot write in the data folder {}: {error}; \
         see that this user may and that there is room, or name another with --data-dir",
        path.display()
    )]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another host uses the folder.
    #[error(
        "another host{} uses the data folder {}; stop it, or name another folder with --data-dir",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process id of that host, if it could be read.
        pid: Option<u32>,
    },
    /// A file in the folder cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file in the folder cannot be written.
    #[error("cannot write {}: {error}; see that the disk has room and is in order", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl DataDir {
    /// The default data folder of a node with this name: `NAME@IP` in [`DataDir::default_parent`].
    ///
    /// # Errors
    /// [`DataDirError::NoHome`].
    pub fn default_path(name: &NodeName) -> Result<PathBuf, DataDirError> {
        Ok(Self::default_parent()?.join(name.to_string()))
    }

    /// The default folder for the data of nodes: the first of `$STATE_DIRECTORY` (set by systemd),
    /// `/var/lib/ace-raxx` for root, `$XDG_STATE_HOME/ace-raxx` and `~/.local/state/ace-raxx`.
    ///
    /// # Errors
    /// [`DataDirError::NoHome`].
    pub fn default_parent() -> Result<PathBuf, DataDirError> {
        let var = |name| {
            let path = PathBuf::from(env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        let parent = if let Some(state) = var("STATE_DIRECTORY") {
            state
        } else if rustix::process::geteuid().is_root() {
            Path::new("/var/lib").join(PROGRAM)
        } else if let Some(state) = var("XDG_STATE_HOME") {
            state.join(PROGRAM)
        } else {
            let home = env::home_dir().filter(|home| home.is_absolute());
            let home = home.ok_or(DataDirError::NoHome)?;
            home.join(".local/state").join(PROGRAM)
        };
        Ok(parent)
    }

    /// The process id of the host that uses this folder now. None if no host uses it, or if there is no such
    /// folder.
    ///
    /// # Errors
    /// [`DataDirError::Read`] if it cannot be checked.
    pub fn used_by(path: &Path) -> Result<Option<u32>, DataDirError> {
        let file = path.join(LOCK);
        let failed = |error| DataDirError::Read {
            path: file.clone(),
            error,
        };
        let lock = match File::open(&file) {
            Ok(lock) => lock,
            Err(error) if not_there(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // The lock is shared and short, so that two processes that look do not see each other.
        match lock.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => locked_by(&lock)
                .map(Some)
                .ok_or_else(|| failed(io::Error::other("it holds no process id"))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Takes the folder for this process. Makes it, for its user only (mode 0700), if it is missing. The mode
    /// of an existing folder is left alone, since the files in it are for their user only too.
    ///
    /// # Errors
    /// [`DataDirError::Create`], [`DataDirError::Unwritable`] or
    /// [`DataDirError::InUse`].
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| DataDirError::Create {
                path: path.to_owned(),
                error,
            })?;
        let unwritable = |error| DataDirError::Unwritable {
            path: path.to_owned(),
            error,
        };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse {
                    path: path.to_owned(),
                    pid: locked_by(&lock),
                });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", process::id()))
            .map_err(unwritable)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The folders inside `parent` that a host uses now.
    ///
    /// # Errors
    /// [`DataDirError::Read`] if one of them cannot be checked.
    pub fn used_in(parent: &Path) -> Result<Vec<PathBuf>, DataDirError> {
        let mut used = Vec::new();
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let folder = entry.path();
            if Self::used_by(&folder)?.is_some() {
                used.push(folder);
            }
        }
        used.sort();
        Ok(used)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a file, or none if there is no such file.
    ///
    /// # Errors
    /// [`DataDirError::Read`], also for a file of more than 2 MiB.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>, DataDirError> {
        let path = self.path.join(file);
        let read = || {
            let mut content = Vec::new();
            File::open(&path)?
                .take(READ_MAX + 1)
                .read_to_end(&mut content)?;
            if content.len() as u64 > READ_MAX {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            Ok(content)
        };
        match read() {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataDirError::Read { path, error }),
        }
    }

    /// Gives a file this content, readable only by its user. It is there for the next process,
    /// but after a power cut the file may have the old content, the new, or none.
    ///
    /// # Errors
    /// [`DataDirError::Write`]; the file has its old content then.
    pub fn write_unsynced(&self, file: &str, content: &[u8]) -> Result<(), DataDirError> {
        let path = self.path.join(file);
        let temporary = self.path.join(format!(".{file}.new"));
        durable::create(&temporary)
            .and_then(|mut made| made.write_all(content))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| DataDirError::Write { path, error })
    }

    /// Gives a file this content, readable only by its user (mode 0600). When it returns, the content is on
    /// the disk.
    ///
    /// # Errors
    /// [`DataDirError::Write`]; the file has its old content then.
    pub fn write(&self, file: &str, content: &[u8]) -> Result<(), DataDirError> {
        let path = self.path.join(file);
        // Only one host uses the folder, so one name is enough, and what a crash left behind is overwritten.
        let temporary = self.path.join(format!(".{file}.new"));
        durable::write(&path, &temporary, content, &POINTS)
            .map_err(|error| DataDirError::Write { path, error })
    }
}

/// Whether there is no such file, because the folder has none or is no folder.
fn not_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn locked_by(lock: &File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        let meta = fs::metadata(path).expect("it is there");
        meta.permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_and_its_files_are_for_their_user_only() {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().join("state/example@10.10.10.2");
        let folder = DataDir::open(&path).expect("made");
        folder.write("boot", b"7\n").expect("written");
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("boot")), 0o600);
    }

    #[test]
    fn a_file_reads_back_the_last_content_that_was_written() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = DataDir::open(temporary.path()).expect("opened");
        assert!(folder.read("boot").expect("readable").is_none());
        folder.write("boot", b"first, and longer").expect("written");
        folder.write("boot", b"second").expect("written");
        assert_eq!(
            folder.read("boot").expect("readable").as_deref(),
            Some(&b"second"[..])
        );
    }

    #[test]
    fn a_crash_while_writing_leaves_the_old_content() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = DataDir::open(temporary.path()).expect("opened");
        folder.write("boot", b"old").expect("written");
        fs::write(temporary.path().join(".boot.new"), b"ha").expect("half a file");
        assert_eq!(
            folder.read("boot").expect("readable").as_deref(),
            Some(&b"old"[..])
        );
        folder.write("boot", b"new").expect("written over the rest");
        assert_eq!(
            folder.read("boot").expect("readable").as_deref(),
            Some(&b"new"[..])
        );
    }

    #[test]
    fn a_second_host_is_refused_while_the_first_has_the_folder() {
        let temporary = tempfile::tempdir().expect("a folder");
        let first = DataDir::open(temporary.path()).expect("opened");
        let refused = DataDir::open(temporary.path()).expect_err("in use");
        assert!(
            matches!(refused, DataDirError::InUse { pid: Some(pid), .. } if pid == process::id())
        );
        let user = DataDir::used_by(temporary.path()).expect("readable");
        assert_eq!(user, Some(process::id()));
        drop(first);
        assert_eq!(DataDir::used_by(temporary.path()).expect("readable"), None);
        DataDir::open(temporary.path()).expect("free again");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_in_the_error() {
        let temporary = tempfile::tempdir().expect("a folder");
        let file = temporary.path().join("file");
        fs::write(&file, b"").expect("written");
        let error = DataDir::open(&file.join("data")).expect_err("not a folder");
        assert!(matches!(error, DataDirError::Create { .. }));
        assert!(error.to_string().contains("file/data"));
    }
}
