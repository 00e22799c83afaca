//! What the store knows without a look at the disk, and how that and the files
//! change together: an app comes, is put aside, or has to go.
//!
//! Who calls one of these holds `change`, and shows it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use cluster::Digest;

use super::partial::Download;
use super::{Store, StoreError, files};

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The one that was put in last is the last.
    pub(super) whole: Vec<Whole>,
    /// The one that was begun last is the last.
    pub(super) partials: Vec<Begun>,
    /// What [`Store::collect`] was told last; nothing is removed before.
    pub(super) keep: Option<Vec<Digest>>,
}

#[derive(Debug)]
pub(super) struct Whole {
    pub(super) digest: Digest,
    /// Made when it is first asked for.
    pub(super) manifest: Option<Bytes>,
}

#[derive(Debug)]
pub(super) struct Begun {
    pub(super) digest: Digest,
    /// None if it is of an earlier process, and was not gone on with yet.
    pub(super) download: Option<Arc<Download>>,
}

impl Store {
    /// Puts a damaged app aside, or removes it if there is no room for that; unless
    /// a good one has come meanwhile: that is given then.
    pub(super) fn put_aside(
        &self,
        _changing: &MutexGuard<'_, ()>,
        digest: &Digest,
    ) -> Result<Option<Bytes>, StoreError> {
        match self.read(digest)? {
            Some(content) if Digest::of(&content) == *digest => return Ok(Some(content)),
            Some(_) => {}
            None => return Ok(None),
        }
        let aside = self.0.files.put_aside(digest);
        let aside =
            aside.map_err(|error| StoreError::change(&self.0.files.whole(digest), error))?;
        self.known().whole.retain(|app| app.digest != *digest);
        self.0.quarantined.fetch_add(1, Ordering::Relaxed);
        match aside {
            Some(aside) => tracing::error!(
                aside = %aside.display(),
                "the stored app {digest} is damaged: it was put aside, and is fetched again when it is needed; \
                 look at the disk of this machine",
            ),
            None => tracing::error!(
                "the stored app {digest} is damaged: it was removed, since there is no room to put it aside, and is \
                 fetched again when it is needed; make room on the disk of this machine, and look at it",
            ),
        }
        Ok(None)
    }

    /// A whole app came, or was asked to be kept again. That an older one cannot be
    /// removed is no reason to refuse it.
    pub(super) fn came(
        &self,
        changing: &MutexGuard<'_, ()>,
        digest: Digest,
        manifest: Option<Bytes>,
    ) {
        {
            let mut known = self.known();
            let at = known.whole.iter().position(|app| app.digest == digest);
            let mut app = match at {
                Some(at) => known.whole.remove(at),
                None => Whole {
                    digest,
                    manifest: None,
                },
            };
            app.manifest = app.manifest.or(manifest);
            known.whole.push(app);
        }
        if let Err(error) = self.prune(changing, Some(digest)) {
            tracing::warn!("old apps are not removed: {error}");
        }
    }

    /// Removes what is too many, but never what came just now. One that cannot be
    /// removed does not keep the others.
    pub(super) fn prune(
        &self,
        _changing: &MutexGuard<'_, ()>,
        new: Option<Digest>,
    ) -> Result<usize, StoreError> {
        let surplus: Vec<Digest> = {
            let known = self.known();
            let Some(keep) = &known.keep else {
                return Ok(0);
            };
            let wanted = |digest: &Digest| keep.contains(digest) || new == Some(*digest);
            let digests = known.whole.iter().map(|app| app.digest);
            let others = digests.filter(|digest| !wanted(digest));
            let over = known.whole.len().saturating_sub(self.0.limits.blobs);
            others.take(over).collect()
        };
        let mut failed = None;
        for digest in &surplus {
            let path = self.0.files.whole(digest);
            if let Err(error) = files::remove(&path) {
                failed = failed.or(Some(StoreError::change(&path, error)));
                continue;
            }
            fault::point("store: app collected");
            self.known().whole.retain(|app| app.digest != *digest);
        }
        failed.map_or(Ok(surplus.len()), Err)
    }

    /// Removes the oldest downloads, so that no more than these are left.
    pub(super) fn drop_partials(
        &self,
        changing: &MutexGuard<'_, ()>,
        most: usize,
    ) -> Result<(), StoreError> {
        loop {
            let oldest = {
                let known = self.known();
                let over = known.partials.len() > most;
                let oldest = known.partials.first().filter(|_| over);
                oldest.map(|oldest| oldest.digest)
            };
            let Some(digest) = oldest else {
                return Ok(());
            };
            self.forget_partial(changing, &digest, true)?;
        }
    }

    /// Forgets a download, and removes its files too if it is told to.
    pub(super) fn forget_partial(
        &self,
        _changing: &MutexGuard<'_, ()>,
        digest: &Digest,
        remove: bool,
    ) -> Result<(), StoreError> {
        let forgotten = {
            let mut known = self.known();
            let at = known.partials.iter().position(|it| it.digest == *digest);
            at.map(|at| known.partials.remove(at))
        };
        let Some(begun) = forgotten else {
            return Ok(());
        };
        if let Some(download) = begun.download {
            download.is_gone();
        }
        if remove {
            let removed = self.0.files.remove_partial(digest);
            removed.map_err(|error| StoreError::change(&self.0.files.partial(digest), error))?;
        }
        Ok(())
    }
}
