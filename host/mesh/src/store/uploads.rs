//! Uploads: components that no release has yet. Most are released a moment later. Those that
//! are not are removed, and while they are here, no other component goes for them.

use std::time::{Duration, Instant};

use cluster::{ComponentBytes, Digest};
use parking_lot::MutexGuard;

use super::keep::{Came, KeptComponent};
use super::{Store, StoreError};

/// How many uploads wait for their release; a new one replaces the oldest.
pub(super) const UPLOADS_MAX: usize = 4;

impl Store {
    /// Stores an upload, like [`Store::store`]. It is to be released soon.
    ///
    /// # Errors
    /// Those of [`Store::store`].
    pub fn store_upload(&self, component: &ComponentBytes) -> Result<(), StoreError> {
        self.write(component, Came::Uploaded(Instant::now()))
    }

    /// Removes an upload that came to nothing. Does nothing if a release has the component.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn forget_upload(&self, digest: &Digest) -> Result<(), StoreError> {
        let is_it = |it: &KeptComponent| it.digest == *digest && it.came.is_upload();
        self.remove_where(&self.change(), is_it).map(drop)
    }

    /// Keeps the uploads that have been released, and removes those that have waited longer
    /// than this for their release. Returns how many were removed.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn settle_uploads(
        &self,
        released: &[Digest],
        longest: Duration,
    ) -> Result<usize, StoreError> {
        let changing = self.change();
        for it in &mut self.known().whole {
            if it.came.is_upload() && released.contains(&it.digest) {
                it.came = Came::Stored;
            }
        }
        self.remove_where(&changing, |it| match it.came {
            Came::Uploaded(at) => at.elapsed() >= longest,
            Came::Earlier | Came::Stored => false,
        })
    }

    /// Removes what an earlier process has left, except for these. Returns how many were
    /// removed.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn forget_earlier(&self, except: &[Digest]) -> Result<usize, StoreError> {
        self.remove_where(&self.change(), |it| {
            it.came == Came::Earlier && !except.contains(&it.digest)
        })
    }

    /// Removes the oldest uploads, so that no more than `most` are left.
    pub(super) fn drop_uploads(
        &self,
        changing: &MutexGuard<'_, ()>,
        most: usize,
    ) -> Result<usize, StoreError> {
        let over: Vec<Digest> = {
            let known = self.known();
            let uploads = known.whole.iter().filter(|it| it.came.is_upload());
            let uploads: Vec<Digest> = uploads.map(|it| it.digest).collect();
            let over = uploads.len().saturating_sub(most);
            uploads.into_iter().take(over).collect()
        };
        self.remove_all(changing, &over)
    }

    fn remove_where(
        &self,
        changing: &MutexGuard<'_, ()>,
        goes: impl Fn(&KeptComponent) -> bool,
    ) -> Result<usize, StoreError> {
        let gone: Vec<Digest> = {
            let known = self.known();
            let gone = known.whole.iter().filter(|it| goes(it));
            gone.map(|it| it.digest).collect()
        };
        self.remove_all(changing, &gone)
    }
}
