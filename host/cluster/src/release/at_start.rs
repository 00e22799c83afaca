//! What a node knows of releases when it starts, before it has heard anybody. What it stored
//! and its app file flow in; what it is to serve meanwhile flows out.

use super::{AppFile, DeployKey, Parent, ReleaseId, ReleaseKind, ReleaseSet, Target};
use crate::NodeName;

/// How many earlier targets are told.
const BEFORE_MAX: usize = 8;

/// What a node knows of releases when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtStart {
    /// The target of this node by all that it knew when it ended; none if nothing was released.
    /// The running node starts from it too.
    pub target: Option<Target>,
    /// What was the target before it, the latest first, as far as it is known.
    pub before: Vec<Parent>,
    /// The kind of release that the app file will become, a bootstrap or a push; none if the
    /// file is not new. The members may know better: if they have released the file meanwhile,
    /// nothing is released; if they have released anything at all, no bootstrap is.
    pub file: Option<ReleaseKind>,
}

/// What a node knows of releases when it starts, from the last
/// [`Effect::StoreReleases`](crate::Effect::StoreReleases) and its app file. Stored bytes that
/// [cannot be used](super::check_stored) are ignored.
pub fn at_start(
    me: &NodeName,
    deploy_key: Option<DeployKey>,
    stored: Option<&[u8]>,
    file: Option<AppFile>,
) -> AtStart {
    let mut set = ReleaseSet::begin(me, deploy_key, stored);
    let target = set.target();
    let before = target
        .as_ref()
        .map_or_else(Vec::new, |it| before(&set, &it.id));
    // This works on a set that is thrown away, so the result cannot differ from what the
    // running node does. The time of day decides nothing about a file.
    let made = file.and_then(|file| {
        set.see(&file);
        set.file(file, 0, None)
    });
    AtStart {
        target,
        before,
        file: made.map(|release| release.kind()),
    }
}

/// What was the target before this release, the latest first.
fn before(set: &ReleaseSet, id: &ReleaseId) -> Vec<Parent> {
    let base = |id: &ReleaseId| set.history().get(id).and_then(|release| release.base());
    let chain = std::iter::successors(base(id), |earlier| base(&earlier.id));
    chain.take(BEFORE_MAX).collect()
}
