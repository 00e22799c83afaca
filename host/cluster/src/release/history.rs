//! The known releases, in their order. Records flow in; the greatest is the head. The history
//! is bounded: when it is full, the lowest is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::votes::VOTED;
use super::{Release, ReleaseId, ReleaseStamp};
use crate::Digest;

/// How many releases are remembered.
pub(crate) const HISTORY_MAX: usize = 1000;

/// The set of known releases, at most one for each id.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    by_id: BTreeMap<ReleaseId, Arc<Release>>,
    order: BTreeSet<(ReleaseStamp, ReleaseId)>,
}

/// What later releases say of earlier ones.
pub(crate) struct Hindsight<'a> {
    undone: BTreeMap<ReleaseId, &'a Arc<Release>>,
    passed: BTreeSet<ReleaseId>,
}

impl<'a> Hindsight<'a> {
    /// The latest rollback that left this release.
    pub(crate) fn undone_by(&self, id: &ReleaseId) -> Option<&'a Arc<Release>> {
        self.undone.get(id).copied()
    }

    /// Whether another release was the target when this one got its follower, and no release
    /// with another parent was decided while this one was the target. Then it had been voted
    /// down, as far as anybody knows.
    pub(crate) fn was_passed_over(&self, id: &ReleaseId) -> bool {
        self.passed.contains(id)
    }
}

impl History {
    /// Takes in a record. False if it changes nothing.
    pub(crate) fn add(&mut self, release: Arc<Release>) -> bool {
        let id = release.id();
        if let Some(known) = self.by_id.get(&id) {
            // If a copy with an earlier time would be dropped at once, it does not replace the
            // later copy: nodes that never saw it keep the later one.
            if !release.stays_before(known) || self.is_full() && self.is_lowest(release.stamp()) {
                return false;
            }
            self.order.remove(&(known.stamp().clone(), id));
        }
        self.order.insert((release.stamp().clone(), id));
        self.by_id.insert(id, release);
        if self.order.len() > HISTORY_MAX
            && let Some((_, lowest)) = self.order.pop_first()
        {
            self.by_id.remove(&lowest);
            return lowest != id;
        }
        true
    }

    fn is_full(&self) -> bool {
        self.order.len() >= HISTORY_MAX
    }

    fn is_lowest(&self, stamp: &ReleaseStamp) -> bool {
        self.order.first().is_some_and(|(lowest, _)| stamp < lowest)
    }

    /// The greatest release.
    pub(crate) fn head(&self) -> Option<&Arc<Release>> {
        let (_, id) = self.order.last()?;
        self.by_id.get(id)
    }

    /// The record of a release.
    pub(crate) fn get(&self, id: &ReleaseId) -> Option<&Arc<Release>> {
        self.by_id.get(id)
    }

    /// All releases, the greatest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Arc<Release>> {
        let ids = self.order.iter().rev();
        ids.filter_map(|(_, id)| self.by_id.get(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What later releases say of earlier ones.
    pub(crate) fn hindsight(&self) -> Hindsight<'_> {
        let (mut undone, mut passed) = (BTreeMap::new(), BTreeSet::new());
        for release in self.newest() {
            if let Some(base) = release.other_base() {
                passed.extend(release.parent().map(|parent| (parent.id, base.id)));
            }
            for left in release.leaves() {
                // The latest comes first.
                undone.entry(left.id).or_insert(release);
            }
        }
        let bases: BTreeSet<ReleaseId> = passed.iter().map(|(_, base)| *base).collect();
        Hindsight {
            undone,
            passed: passed
                .into_iter()
                .map(|(parent, _)| parent)
                .filter(|parent| !bases.contains(parent))
                .collect(),
        }
    }

    /// The lowest release whose votes are kept, or the lowest of all.
    pub(crate) fn oldest_voted(&self) -> Option<&ReleaseStamp> {
        let mut voted = self.order.iter().rev().take(VOTED);
        voted.next_back().map(|(stamp, _)| stamp)
    }

    /// Whether this digest was released after that release.
    pub(crate) fn has_since(&self, digest: &Digest, mark: Option<&ReleaseStamp>) -> bool {
        self.newest()
            .take_while(|release| mark.is_none_or(|mark| release.stamp() > mark))
            .any(|release| release.stamp().digest == *digest)
    }

    /// The releases that are no ancestors of the head, as far as the records between are known.
    pub(crate) fn superseded(&self) -> Vec<Arc<Release>> {
        let mut followed = BTreeSet::new();
        let mut unknown_until = None;
        let mut at = self.head();
        while let Some(release) = at {
            followed.insert(release.id());
            at = release.parent().and_then(|parent| {
                let known = self.get(&parent.id);
                if known.is_none() {
                    unknown_until = Some(parent.at);
                }
                known
            });
        }
        let known = |stamp: &ReleaseStamp| unknown_until.is_none_or(|until| stamp.at > until);
        let superseded = self
            .order
            .iter()
            .filter(|(stamp, id)| !followed.contains(id) && known(stamp));
        superseded
            .filter_map(|(_, id)| self.by_id.get(id).cloned())
            .collect()
    }

    /// The release that the head follows or goes back to, if that is unknown and was not
    /// dropped.
    pub(crate) fn lacked_by_head(&self) -> Option<ReleaseId> {
        let head = self.head().filter(|_| !self.is_full())?;
        let named = [head.parent(), head.base()].into_iter().flatten();
        named
            .map(|named| named.id)
            .find(|id| self.get(id).is_none())
    }
}
