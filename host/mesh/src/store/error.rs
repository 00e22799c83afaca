//! Why the store could not do what it was asked, each with what to do. What the
//! system says about space is told apart from all else it may say.

use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use cluster::Digest;

/// Why a component could not be stored or read. Nothing half done is left.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room.
    #[error(
        "there is no room for the component of {} on the disk of {}; \
         make room there, or move the data folder with --data-dir",
        ByteSize(*size), path.display()
    )]
    Full {
        /// The file that was to be written.
        path: PathBuf,
        /// How large the component is, in bytes.
        size: u64,
    },
    /// The disk has room, but a quota of the user or of the folder does not.
    #[error(
        "the component of {} is more than the disk quota still lets this node write to {}; \
         make room there, raise the quota, or move the data folder with --data-dir",
        ByteSize(*size), path.display()
    )]
    Quota {
        /// The file that was to be written.
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
        /// The most, in bytes.
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
    /// A chunk is not the one that the manifest names.
    #[error(
        "chunk {index} of component {digest} is not what its manifest says; ask another member for it"
    )]
    Chunk {
        /// The component.
        digest: Digest,
        /// Which chunk, from 0.
        index: usize,
    },
    /// There are chunks missing still.
    #[error("{missing} chunks of component {digest} are missing still")]
    Unfinished {
        /// The component.
        digest: Digest,
        /// How many.
        missing: usize,
    },
    /// All chunks are what the manifest says, and the component is another one.
    #[error(
        "what the manifest of component {0} describes is another one; \
         whoever released it made an error: push it again"
    )]
    OtherComponent(Digest),
    /// The download was removed, for a newer one or for lack of room.
    #[error("the download of component {0} was given up; begin it again")]
    Gone(Digest),
}

impl StoreError {
    /// Whether it lies in this node alone, so that it says nothing about the component.
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

    /// A file or folder could not be made, renamed or removed, which takes room, too.
    pub(super) fn change(path: &Path, error: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            error,
        }
    }

    /// What it means that this file could not be written for an app of this size.
    pub(super) fn write(path: &Path, size: u64, error: io::Error) -> Self {
        let to = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull => Self::Full { path: to, size },
            io::ErrorKind::QuotaExceeded => Self::Quota { path: to, size },
            _ => Self::change(path, error),
        }
    }
}
