//! What the store knows without reading the disk, and how that changes together with the files:
//! a component is added, quarantined or removed.
//!
//! The caller of these functions holds the lock `change`, and passes the guard as proof.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use cluster::release::Component;
use cluster::{ComponentBytes, Digest};
use parking_lot::MutexGuard;

use super::partial::Partial;
use super::uploads::UPLOADS_MAX;
use super::{Store, StoreError, files};

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The component that was stored last is the last.
    pub(super) whole: Vec<KeptComponent>,
    /// The download that was begun last is the last.
    pub(super) partials: Vec<Arc<Partial>>,
    /// The last argument of [`Store::collect`]; before the first call nothing is removed.
    pub(super) keep: Option<Vec<Digest>>,
}

#[derive(Debug)]
pub(super) struct KeptComponent {
    pub(super) digest: Digest,
    /// The size of its file, in bytes.
    pub(super) size: u64,
    /// Its digests and its manifest, once this process has stored or read it.
    pub(super) described: Option<(Component, Bytes)>,
    pub(super) came: Came,
}

/// How a whole component came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// An earlier process has left it.
    Earlier,
    /// This process has stored it, or a release has it.
    Stored,
    /// It was uploaded then, and no release has it yet.
    Uploaded(Instant),
}

impl Came {
    pub(super) fn is_upload(self) -> bool {
        matches!(self, Came::Uploaded(_))
    }
}

impl Store {
    /// Quarantines a damaged component, or removes it if the disk has no space for that. If a
    /// good one has been stored meanwhile, returns that instead.
    pub(super) fn put_aside(
        &self,
        _changing: &MutexGuard<'_, ()>,
        digest: &Digest,
    ) -> Result<Option<ComponentBytes>, StoreError> {
        match self.read(digest)? {
            Some(component) if component.digest() == *digest => return Ok(Some(component)),
            Some(_) => {}
            None => return Ok(None),
        }
        let aside = self.0.files.put_aside(digest);
        let aside =
            aside.map_err(|error| StoreError::change(&self.0.files.whole(digest), error))?;
        self.known().whole.retain(|it| it.digest != *digest);
        self.0.quarantined.fetch_add(1, Ordering::Relaxed);
        match aside {
            Some(aside) => tracing::error!(
                aside = %aside.display(),
                "the stored component {digest} is damaged: it was put aside, and is fetched again when it is needed; \
                 look at the disk of this machine",
            ),
            None => tracing::error!(
                "the stored component {digest} is damaged: it was removed, since there is no room to put it aside, and is \
                 fetched again when it is needed; make room on the disk of this machine, and look at it",
            ),
        }
        Ok(None)
    }

    /// A whole component was stored, or was to be stored again. A failure to remove an older
    /// one is no reason to refuse it.
    pub(super) fn came(
        &self,
        changing: &MutexGuard<'_, ()>,
        component: &ComponentBytes,
        came: Came,
    ) {
        let digest = component.digest();
        let came = {
            let mut known = self.known();
            let before = known.whole.iter().find(|it| it.digest == digest);
            let came = match before.map(|it| it.came) {
                // An upload of what is here already changes nothing.
                Some(before) if came.is_upload() => before,
                _ => came,
            };
            known.whole.retain(|it| it.digest != digest);
            known.whole.push(KeptComponent {
                digest,
                size: component.app().size,
                described: Some((component.app(), component.manifest().clone())),
                came,
            });
            came
        };
        // An upload takes nobody's place.
        let pruned = match came.is_upload() {
            true => self.drop_uploads(changing, UPLOADS_MAX),
            false => self.prune(changing, Some(digest)),
        };
        if let Err(error) = pruned {
            tracing::warn!("old components are not removed: {error}");
        }
    }

    /// Remembers the hashes of a stored component.
    pub(super) fn remember(&self, component: &ComponentBytes) {
        let mut known = self.known();
        let digest = component.digest();
        if let Some(whole) = known.whole.iter_mut().find(|it| it.digest == digest) {
            whole.described = Some((component.app(), component.manifest().clone()));
        }
    }

    /// Removes surplus components, but never the newest. Uploads do not count.
    pub(super) fn prune(
        &self,
        changing: &MutexGuard<'_, ()>,
        new: Option<Digest>,
    ) -> Result<usize, StoreError> {
        let surplus: Vec<Digest> = {
            let known = self.known();
            let Some(keep) = &known.keep else {
                return Ok(0);
            };
            let wanted = |digest: &Digest| keep.contains(digest) || new == Some(*digest);
            let kept = known.whole.iter().filter(|it| !it.came.is_upload());
            let digests: Vec<Digest> = kept.map(|it| it.digest).collect();
            let over = digests.len().saturating_sub(self.0.limits.components);
            let others = digests.into_iter().filter(|digest| !wanted(digest));
            others.take(over).collect()
        };
        self.remove_all(changing, &surplus)
    }

    /// Removes these components, and returns how many. One that cannot be removed does not
    /// stop the removal of others.
    pub(super) fn remove_all(
        &self,
        _changing: &MutexGuard<'_, ()>,
        surplus: &[Digest],
    ) -> Result<usize, StoreError> {
        let mut failed = None;
        for digest in surplus {
            let path = self.0.files.whole(digest);
            if let Err(error) = files::remove(&path) {
                failed = failed.or(Some(StoreError::change(&path, error)));
                continue;
            }
            fault::point("store: component collected");
            self.known().whole.retain(|it| it.digest != *digest);
        }
        failed.map_or(Ok(surplus.len()), Err)
    }

    /// Removes the oldest downloads, so that no more than `most` are left.
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
                oldest.map(|oldest| oldest.digest())
            };
            let Some(digest) = oldest else {
                return Ok(());
            };
            self.forget_partial(changing, &digest)?;
        }
    }

    /// Forgets a download, and removes its file.
    pub(super) fn forget_partial(
        &self,
        _changing: &MutexGuard<'_, ()>,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let forgotten = {
            let mut known = self.known();
            let at = known.partials.iter().position(|it| it.digest() == *digest);
            at.map(|at| known.partials.remove(at))
        };
        let Some(partial) = forgotten else {
            return Ok(());
        };
        partial.is_gone();
        let path = self.0.files.partial(digest);
        files::remove(&path).map_err(|error| StoreError::change(&path, error))
    }
}
