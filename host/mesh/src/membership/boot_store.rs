//! The boot number of this node's last run, on disk. At the start it is stored before anything
//! is sent. Later a thread of its own stores it, while effects that would reveal it to others
//! wait.

use std::sync::Arc;
use std::thread;

use cluster::Boot;
use tokio::sync::oneshot;

use crate::data_dir::{DataDir, DataDirError};

/// The file in the data folder: the number in decimal, and a newline.
const FILE: &str = "boot";

/// Stores the boot number. Cheap to clone.
#[derive(Clone)]
pub(super) struct BootStore {
    folder: Arc<DataDir>,
}

impl BootStore {
    pub(super) fn new(folder: Arc<DataDir>) -> Self {
        Self { folder }
    }

    /// The number that was stored last. None if there is no file, or no number in it: the wall
    /// clock and the members make up for it.
    pub(super) fn load(&self) -> Result<Option<Boot>, DataDirError> {
        let Some(content) = self.folder.read(FILE)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&content).ok();
        let number = text.and_then(|text| text.trim().parse().ok());
        if number.is_none() {
            let file = self.folder.path().join(FILE);
            tracing::warn!(file = %file.display(), "no boot number in this file; starting anew");
        }
        Ok(number.map(Boot::from_number))
    }

    /// Stores a number. When it returns, the number is on the disk.
    pub(super) fn store(&self, boot: Boot) -> Result<(), DataDirError> {
        self.folder
            .write(FILE, format!("{}\n", boot.number()).as_bytes())
    }

    /// Stores a number on a thread of its own, and reports the result. If there is no such
    /// thread, no answer comes.
    pub(super) fn store_apart(&self, boot: Boot) -> oneshot::Receiver<Result<(), DataDirError>> {
        let (done, stored) = oneshot::channel();
        let boots = self.clone();
        let storing = thread::Builder::new().name("boot number".to_owned());
        let storing = storing.spawn(move || {
            // If the node stops, nobody waits for it any more.
            let _ = done.send(boots.store(boot));
        });
        if let Err(error) = storing {
            tracing::error!(%error, "cannot start a thread to store the boot number");
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, BootStore) {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = DataDir::open(temporary.path()).expect("opened");
        (temporary, BootStore::new(Arc::new(folder)))
    }

    #[test]
    fn the_number_survives() {
        let (_folder, boots) = store();
        assert_eq!(boots.load().expect("readable"), None);
        let boot = Boot::from_number(u64::MAX - 1);
        boots.store(boot).expect("written");
        assert_eq!(boots.load().expect("readable"), Some(boot));
    }

    #[test]
    fn a_number_that_is_stored_apart_is_on_the_disk_when_that_is_told() {
        let (_folder, boots) = store();
        let boot = Boot::from_number(7);
        let told = boots.store_apart(boot).blocking_recv();
        told.expect("it is answered").expect("written");
        assert_eq!(boots.load().expect("readable"), Some(boot));
    }

    #[test]
    fn a_file_without_a_number_counts_as_none() {
        for content in [
            &b""[..],
            b"minus one",
            b"\xff\xfe",
            b"99999999999999999999999",
        ] {
            let (_folder, boots) = store();
            boots.folder.write(FILE, content).expect("written");
            assert_eq!(boots.load().expect("readable"), None, "{content:?}");
        }
    }
}
