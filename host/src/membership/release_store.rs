//! What this node knows of releases, on disk: the bytes that the core gives,
//! and gets back at the next start.

use std::sync::Arc;

use bytes::Bytes;
use cluster::release::check_stored;

use crate::data_dir::{DataDir, DataDirError};

/// The file in the data folder.
const FILE: &str = "releases";

/// Where a file that cannot be used is put aside.
const ASIDE: &str = "releases.unusable";

/// Keeps the releases.
pub(super) struct ReleaseStore {
    folder: Arc<DataDir>,
}

impl ReleaseStore {
    pub(super) fn new(folder: Arc<DataDir>) -> Self {
        Self { folder }
    }

    /// What was stored last. None if there is nothing, or nothing that can be
    /// used: it is put aside then, and the members make up for it.
    pub(super) fn load(&self) -> Result<Option<Bytes>, DataDirError> {
        let Some(content) = self.folder.read(FILE)? else {
            return Ok(None);
        };
        let Err(cause) = check_stored(&content) else {
            return Ok(Some(content.into()));
        };
        self.folder.write(ASIDE, &content)?;
        tracing::warn!(
            file = %self.folder.path().join(FILE).display(),
            kept_as = ASIDE,
            "the history of releases cannot be read: {cause}; starting without, until members tell it",
        );
        Ok(None)
    }

    /// Stores it. When this returns, it is on the disk.
    pub(super) fn store(&self, releases: &[u8]) -> Result<(), DataDirError> {
        self.folder.write(FILE, releases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_history_is_put_aside_and_not_used() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = Arc::new(DataDir::open(temporary.path()).expect("opened"));
        let releases = ReleaseStore::new(folder.clone());
        assert_eq!(releases.load().expect("readable"), None);
        releases.store(b"not a history").expect("written");
        assert_eq!(releases.load().expect("readable"), None);
        let aside = folder.read(ASIDE).expect("readable");
        assert_eq!(aside.as_deref(), Some(&b"not a history"[..]));
    }
}
