//! Machine code as the compiler gives it back: bytes, and the digest that came with
//! them. An [`Artefact`] exists only if both belong together.

use bytes::Bytes;
use cluster::Digest;

/// Compiled code whose digest was checked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Artefact {
    bytes: Bytes,
    digest: Digest,
    /// Whether it was kept on the disk, perhaps by another version of this program.
    is_kept: bool,
}

impl Artefact {
    /// Code that was made in this process.
    pub(super) fn of(bytes: Bytes) -> Artefact {
        Artefact {
            digest: Digest::of(&bytes),
            bytes,
            is_kept: false,
        }
    }

    /// Code that came from elsewhere, with the digest that its maker gave it. None if
    /// the bytes have another digest.
    pub(super) fn checked(bytes: Bytes, digest: Digest) -> Option<Artefact> {
        (Digest::of(&bytes) == digest).then_some(Artefact {
            bytes,
            digest,
            is_kept: false,
        })
    }

    /// Marks it as kept on the disk.
    pub(super) fn kept(self) -> Artefact {
        Artefact {
            is_kept: true,
            ..self
        }
    }

    /// Whether it was kept on the disk, perhaps by another version of this program.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The code, in the format of the engine.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digest of the code.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl std::fmt::Debug for Artefact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artefact")
            .field("digest", &self.digest)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
