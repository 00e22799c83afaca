//! The bytes of a component together with their hashes, so that nobody has to hash them again.

use std::fmt;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::Digest;
use crate::release::{CHUNK, Component};

/// The bytes of a component, and what a record says of them. The hashes always match the bytes:
/// only functions that compute or compare hashes make this type. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct ComponentBytes {
    app: Component,
    manifest: Bytes,
    bytes: Bytes,
}

impl ComponentBytes {
    /// Hashes these bytes.
    pub fn of(bytes: Bytes) -> Self {
        let mut hashes = Hashes::default();
        hashes.update(&bytes);
        hashes.finish(bytes)
    }

    /// These bytes as the download of a component. Their chunks were compared with the manifest
    /// as they came. None if they are another component.
    pub fn of_download(app: Component, manifest: Bytes, bytes: Bytes) -> Option<Self> {
        let matches = bytes.len() as u64 == app.size
            && Digest::of(&manifest) == app.manifest
            && Digest::of(&bytes) == app.digest;
        matches.then_some(Self {
            app,
            manifest,
            bytes,
        })
    }

    /// The SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.app.digest
    }

    /// What the record of a release says of the bytes.
    pub fn app(&self) -> Component {
        self.app
    }

    /// The SHA-256 of each [`CHUNK`] in turn.
    pub fn manifest(&self) -> &Bytes {
        &self.manifest
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// There are too many bytes to show.
impl fmt::Debug for ComponentBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ComponentBytes").field(&self.app).finish()
    }
}

/// Collects a component from pieces of any length, and hashes each piece as it comes.
#[derive(Debug, Default)]
pub struct ComponentBuilder {
    bytes: BytesMut,
    hashes: Hashes,
}

impl ComponentBuilder {
    /// Reserves memory for this many bytes at once.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: BytesMut::with_capacity(bytes),
            hashes: Hashes::default(),
        }
    }

    /// Adds the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.hashes.update(piece);
        self.bytes.extend_from_slice(piece);
    }

    /// The component, now that all pieces are there.
    pub fn finish(self) -> ComponentBytes {
        self.hashes.finish(self.bytes.freeze())
    }
}

/// The hashes of a component that is not complete yet.
#[derive(Debug, Default)]
struct Hashes {
    whole: Sha256,
    manifest: BytesMut,
    /// The chunk that is not full yet, and the number of its bytes.
    chunk: Sha256,
    filled: usize,
}

impl Hashes {
    fn update(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (now, rest) = piece.split_at(piece.len().min(CHUNK - self.filled));
            self.whole.update(now);
            self.chunk.update(now);
            self.filled += now.len();
            if self.filled == CHUNK {
                self.end_chunk();
            }
            piece = rest;
        }
    }

    fn end_chunk(&mut self) {
        self.manifest
            .extend_from_slice(&self.chunk.finalize_reset());
        self.filled = 0;
    }

    fn finish(mut self, bytes: Bytes) -> ComponentBytes {
        if self.filled > 0 {
            self.end_chunk();
        }
        let manifest = self.manifest.freeze();
        let app = Component {
            digest: Digest::from_bytes(self.whole.finalize().into()),
            size: bytes.len() as u64,
            manifest: Digest::of(&manifest),
        };
        ComponentBytes {
            app,
            manifest,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_in_pieces_has_the_hashes_of_the_whole() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            let bytes: Bytes = (0..size).map(|at| (at / 1000) as u8).collect();
            let whole = ComponentBytes::of(bytes.clone());
            assert_eq!(whole.app(), Component::of(&bytes), "{size}");
            assert_eq!(**whole.manifest(), Component::manifest(&bytes), "{size}");
            for piece in [1000, CHUNK - 1, CHUNK, 2 * CHUNK + 1] {
                let mut builder = ComponentBuilder::with_capacity(10);
                bytes.chunks(piece).for_each(|piece| builder.push(piece));
                assert_eq!(builder.finish(), whole, "{size} bytes, {piece} at a time");
            }
        }
    }

    #[test]
    fn a_download_is_taken_if_all_of_it_is_as_it_was_said() {
        let bytes: Bytes = vec![7; CHUNK + 5].into();
        let whole = ComponentBytes::of(bytes.clone());
        let manifest = whole.manifest().clone();
        let of = |app, manifest, bytes| ComponentBytes::of_download(app, manifest, bytes);
        let same = of(whole.app(), manifest.clone(), bytes.clone());
        assert_eq!(same, Some(whole.clone()));
        let other: Bytes = vec![8; CHUNK + 5].into();
        assert_eq!(of(whole.app(), manifest.clone(), other.clone()), None);
        assert_eq!(of(whole.app(), manifest.slice(32..), bytes.clone()), None);
        assert_eq!(of(Component::of(&other), manifest, bytes), None);
    }
}
