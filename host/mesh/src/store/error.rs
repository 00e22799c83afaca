//! Why the store failed, and what to do. Errors about disk space are told apart from all other
//! errors of the system.

use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use cluster::Digest;

/// Why a component could not be stored or read. No unfinished file is left.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error(
        "there is no room for the component of {} on the disk of {}; \
         make room there, or move the data folder with --data-dir",
        ByteSize(*size), path.display()
    )]
    Full {
        /// The file to write.
        path: PathBuf,
        /// How large the component is, in bytes.
        size: u64,
    },
    /// The disk has space, but a quota of the user or of the folder is used up.
    #[error(
        "the component of {} is more than the disk quota still lets this node write to {}; \
         make room there, raise the quota, or move the data folder with --data-dir",
        ByteSize(*size), path.display()
    )]
    Quota {
        /// The file to write.
        path: PathBuf,
        /// How large the component is, in bytes.
        size: u64,
    },
    /// The component is larger than this node accepts.
    #[error(
        "the component has {size} bytes, more than the {most} that this node accepts; \
         build it in release mode or strip it, or raise --max-component on every node"
    )]
    TooLarge {
        /// Its size, in bytes.
        size: u64,
        /// The limit, in bytes.
        most: u64,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {error}; give this user the right to, and look at the disk", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file or folder cannot be written, renamed or removed.
    #[error(
        "cannot change {}: {error}; see that this user may, \
         and that the disk has room and is in order",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The manifest is not that of the component.
    #[error("the manifest does not belong to component {0}; ask another member for it")]
    Manifest(Digest),
    /// A chunk does not match the manifest.
    #[error(
        "chunk {index} of component {digest} is not what its manifest says; ask another member for it"
    )]
    Chunk {
        /// The component.
        digest: Digest,
        /// Which chunk, from 0.
        index: usize,
    },
    /// Some chunks are still missing.
    #[error("{missing} chunks of component {digest} are missing still")]
    Unfinished {
        /// The component.
        digest: Digest,
        /// How many are missing.
        missing: usize,
    },
    /// All chunks match the manifest, but the component is another one.
    #[error(
        "what the manifest of component {0} describes is another one; \
         whoever released it made an error: push it again"
    )]
    OtherComponent(Digest),
    /// The download was removed, for a newer one or because the disk is full.
    #[error("the download of component {0} was given up; begin it again")]
    Gone(Digest),
}

impl StoreError {
    /// Whether the cause is in this node alone, so that it says nothing about the component.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Full { .. }
            | Self::Quota { .. }
            | Self::TooLarge { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Unfinished { .. }
            | Self::Gone(_) => true,
            Self::Manifest(_) | Self::Chunk { .. } | Self::OtherComponent(_) => false,
        }
    }

    pub(super) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            error,
        }
    }

    /// A file or folder could not be made, renamed or removed; that may need disk space too.
    pub(super) fn change(path: &Path, error: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            error,
        }
    }

    /// The error for a component of this size whose file could not be written.
    pub(super) fn write(path: &Path, size: u64, error: io::Error) -> Self {
        let to = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull => Self::Full { path: to, size },
            io::ErrorKind::QuotaExceeded => Self::Quota { path: to, size },
            _ => Self::change(path, error),
        }
    }
}
