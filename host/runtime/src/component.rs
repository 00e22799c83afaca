//! The bytes of a component, before anything is known of them but their digest.

use std::path::PathBuf;

use cluster::Digest;

/// The bytes of an app, and what they are known by.
#[derive(Clone, Debug)]
pub struct AppBytes {
    /// The file they came from.
    pub path: PathBuf,
    /// The bytes.
    pub bytes: bytes::Bytes,
    /// Their SHA-256.
    pub digest: Digest,
}
