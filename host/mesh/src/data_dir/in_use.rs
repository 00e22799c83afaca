//! The data folders that hosts of this machine use now, wherever they are. The system knows who
//! has which file locked, so nothing has to be registered, and nothing is left over from a host
//! that was killed.
//!
//! ```text
//! /proc/locks -> processes with a lock -> /proc/PID/fd -> DATA/lock
//! ```
//!
//! A user sees the files of the own processes, and root those of all.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{DataDir, LOCK};

/// The most processes that are looked at.
const PROCESSES_MAX: usize = 10_000;

/// A data folder that a host uses now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedFolder {
    /// Its path, as the host has it.
    pub path: PathBuf,
    /// A path by which this process gets there. It is another one if the host sees other file
    /// systems, as in a container.
    pub reachable: PathBuf,
    /// The process id of the host.
    pub pid: u32,
    /// The number of its user.
    pub uid: u32,
}

impl DataDir {
    /// All data folders that hosts use, as far as this user may see them. A folder of another
    /// program that keeps a file of the same name locked can be among them.
    ///
    /// # Errors
    /// The error of the system if the locks cannot be listed.
    pub fn all_in_use() -> io::Result<Vec<UsedFolder>> {
        let mut pids = lock_holders(&fs::read_to_string("/proc/locks")?);
        pids.truncate(PROCESSES_MAX);
        Ok(pids.into_iter().flat_map(used_by_process).collect())
    }
}

/// The processes that hold a lock of the kind that a host takes.
fn lock_holders(locks: &str) -> Vec<u32> {
    let holder = |line: &str| {
        // NUMBER: FLOCK ADVISORY WRITE PID DEVICE:INODE 0 EOF; those who wait have an arrow.
        let mut words = line.split_whitespace().skip(1);
        let kind = (words.next()?, words.next()?, words.next()?);
        (kind == ("FLOCK", "ADVISORY", "WRITE")).then(|| words.next()?.parse().ok())?
    };
    let mut pids: Vec<u32> = locks.lines().filter_map(holder).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The folders in which this process has the lock open. None if this user may not look.
fn used_by_process(pid: u32) -> Vec<UsedFolder> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(owner) = fs::metadata(&process) else {
        return Vec::new();
    };
    let open = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let mut used: Vec<UsedFolder> = open
        .filter_map(|file| {
            let (link, lock) = (file.path(), fs::read_link(file.path()).ok()?);
            let path = lock.parent().filter(|_| lock.ends_with(LOCK))?;
            Some(UsedFolder {
                reachable: reachable(&process, &link, &lock)?,
                path: path.to_owned(),
                pid,
                uid: owner.uid(),
            })
        })
        .collect();
    used.sort_by(|a, b| a.path.cmp(&b.path));
    used.dedup();
    used
}

/// A path of the folder of this lock that leads to the same file as the open one.
fn reachable(process: &Path, open: &Path, lock: &Path) -> Option<PathBuf> {
    let same = |path: &Path| {
        let (a, b) = (fs::metadata(path).ok()?, fs::metadata(open).ok()?);
        ((a.dev(), a.ino()) == (b.dev(), b.ino())).then(|| path.parent().map(Path::to_owned))?
    };
    let inside = process.join("root").join(lock.strip_prefix("/").ok()?);
    same(lock).or_else(|| same(&inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_any_place_is_found_while_it_is_used() {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().join("any name");
        let folder = DataDir::open(&path).expect("opened");
        let found = || {
            let all = DataDir::all_in_use().expect("listed").into_iter();
            all.filter(|used| used.path == path).collect::<Vec<_>>()
        };
        let used = UsedFolder {
            path: path.clone(),
            reachable: path.clone(),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
        };
        assert_eq!(found(), [used]);
        drop(folder);
        assert_eq!(found(), []);
    }

    #[test]
    fn only_who_holds_a_lock_of_the_kind_counts() {
        let locks = "1: FLOCK  ADVISORY  WRITE 846 fe:00:5357916 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 847 fe:00:5357916 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 848 fe:00:1 0 EOF\n\
                     3: FLOCK  ADVISORY  READ 849 fe:00:1 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 12 fe:00:9 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 846 fe:00:7 0 EOF\n\
                     6: FLOCK\n";
        assert_eq!(lock_holders(locks), [12, 846]);
    }
}
