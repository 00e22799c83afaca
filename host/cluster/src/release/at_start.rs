//! What a node can say of releases when it starts, before it has heard anybody:
//! what it stored and its app file in, what it is to serve meanwhile out.

use super::{AppFile, DeployKey, Kind, ReleaseSet, Target};
use crate::NodeName;

/// What a node knows of releases when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtStart {
    /// The target here by all that it knew when it ended; none if nothing
    /// was released. It is what the running node goes on from, too.
    pub target: Option<Target>,
    /// As what the app file will be released, a bootstrap or a push; none if it
    /// is no news. The members may know better: if they have released the file
    /// meanwhile, nothing comes of it, and if they have released anything at all,
    /// nothing comes of a bootstrap.
    pub file: Option<Kind>,
}

/// What a node knows of releases when it starts, by what
/// [`Effect::StoreReleases`](crate::Effect::StoreReleases) gave last, and by its
/// app file. What is stored but [cannot be used](super::check_stored) counts for
/// nothing.
pub fn at_start(
    me: &NodeName,
    deploy_key: Option<DeployKey>,
    stored: Option<&[u8]>,
    file: Option<AppFile>,
) -> AtStart {
    let mut set = ReleaseSet::begin(me, deploy_key, stored);
    let target = set.target();
    // A trial on what is thrown away: so this cannot differ from what the
    // running node does. The time of day decides nothing about a file.
    let made = file.and_then(|file| {
        set.see(&file);
        set.file(file, 0, None)
    });
    AtStart {
        target,
        file: made.map(|release| release.kind()),
    }
}
