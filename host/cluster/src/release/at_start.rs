//! What a node can know of releases before any other node has told it
//! anything: a pure function of what it stored.

use super::book::Book;
use super::mark::{AppFile, Meaning};
use super::{DeployKey, ReleaseKey};
use crate::{Digest, NodeName};

/// What a node that starts knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtStart {
    /// What was in force when it last ran; none if nothing was released.
    pub in_force: Option<(ReleaseKey, Digest)>,
    /// The app file was changed since it was seen last, or nothing was ever
    /// released: unless the members know better, it becomes a release.
    pub file_is_news: bool,
}

/// What is known from what [`Effect::StoreReleases`](crate::Effect::StoreReleases)
/// gave. What cannot be read counts as nothing.
pub fn at_start(
    stored: Option<&[u8]>,
    me: &NodeName,
    deploy_key: Option<DeployKey>,
    file: Option<&AppFile>,
) -> AtStart {
    let load = |stored| Book::load(me.clone(), deploy_key, stored).ok();
    let book = stored.and_then(load);
    let book = book.unwrap_or_else(|| Book::new(me.clone(), deploy_key));
    let in_force = book.in_force().map(|force| (force.key, force.digest));
    let meaning = file.map(|file| book.marks().meaning(file, book.history()));
    AtStart {
        in_force,
        file_is_news: match meaning {
            Some(Meaning::Changed) => true,
            Some(Meaning::First) => in_force.is_none(),
            Some(Meaning::Unchanged | Meaning::Released) | None => false,
        },
    }
}
