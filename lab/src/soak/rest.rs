//! What a node uses when nobody asks it: its memory, its handles, its disk.

use crate::process::Process;
use anyhow::{Context, Result};
use std::fmt;
use std::path::Path;

/// So many handles more are no leak: a connection of a tool, one to a member.
const HANDLES_MORE: usize = 16;
/// So much memory more is none: places of instances that were never used before
/// stay mapped, the allocator keeps what was free for a while.
const MEMORY_MORE: u64 = 96 << 20;
/// So much on the disk is none: other components are kept than before, which may be
/// larger.
const DISK_MORE: u64 = 64 << 20;
/// The folder of compiled code, in a data folder. It grows with every component, up to
/// a bound of its own.
const CODE: &str = "code";
/// That bound, in bytes.
const CODE_MAX: u64 = 512 << 20;

/// What a node uses.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// Resident memory, in bytes.
    memory: u64,
    /// Open files and sockets.
    handles: usize,
    /// The files in its data folder, in bytes, without the compiled code.
    disk: u64,
    /// The compiled code that it keeps, in bytes.
    code: u64,
}

impl Rest {
    /// What this node uses now.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub(super) fn of(host: &Process, folder: &Path) -> Result<Self> {
        let all = size(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let code = size(&folder.join(CODE)).unwrap_or(0);
        Ok(Self {
            memory: host.resident_bytes()?,
            handles: host.open_files()?,
            disk: all.saturating_sub(code),
            code,
        })
    }

    /// What it uses more of than before, so much that it is a leak.
    pub(super) fn is_more_than(&self, before: &Self) -> Option<String> {
        let over = |what: &str, before: u64, now: u64, more: u64| {
            (now > before + more).then(|| format!("{what}: {before} before, {now} now"))
        };
        over("memory", before.memory, self.memory, MEMORY_MORE)
            .or_else(|| {
                let [before, now] = [before.handles, self.handles].map(|count| count as u64);
                over("handles", before, now, HANDLES_MORE as u64)
            })
            .or_else(|| over("disk", before.disk, self.disk, DISK_MORE))
            .or_else(|| over("compiled code", 0, self.code, CODE_MAX))
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} MiB of memory, {} handles, {} MiB on the disk and {} MiB of compiled code",
            self.memory >> 20,
            self.handles,
            self.disk >> 20,
            self.code >> 20
        )
    }
}

/// How many bytes the files in a folder and below it have. One that goes meanwhile
/// has none.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()).unwrap_or(0),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_given_back_is_named() {
        let before = Rest {
            memory: 100 << 20,
            handles: 40,
            disk: 1 << 20,
            code: 10 << 20,
        };
        assert_eq!(before.is_more_than(&before), None);
        let little = Rest {
            handles: 50,
            ..before
        };
        assert_eq!(little.is_more_than(&before), None);
        let many = Rest {
            handles: 100,
            ..before
        };
        let named = many.is_more_than(&before).expect("it is a leak");
        assert_eq!(named, "handles: 40 before, 100 now");
    }
}
