//! What a changed app file means. For each path a node keeps a mark: the digest that it last
//! saw there, and the head of the releases at that moment. If a file differs from its mark,
//! somebody has changed it. That is a push, unless its digest has been released since then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::history::History;
use super::{Component, ReleaseStamp};
use crate::Digest;

/// The most paths with a mark; beyond that, the least recently used one is dropped.
const MARKS_MAX: usize = 16;

/// Stands for the path of an app file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PathId([u8; 16]);

impl PathId {
    /// The id of an absolute path, as its bytes.
    pub fn of(path: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(path)[..16]);
        Self(id)
    }
}

/// An app file as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppFile {
    /// The id of its path.
    pub path: PathId,
    /// The component in it.
    pub component: Component,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    digest: Digest,
    head: Option<ReleaseStamp>,
    used: u64,
}

/// What a file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is as it was last seen.
    Unchanged,
    /// It was never seen here before.
    First,
    /// Somebody changed it.
    Changed,
    /// It was changed to a component that has been released since it was last seen.
    Released,
}

/// The marks of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    by_path: BTreeMap<PathId, Mark>,
    used: u64,
}

impl Marks {
    /// What a file means.
    pub(crate) fn meaning(&self, file: &AppFile, history: &History) -> Meaning {
        match self.by_path.get(&file.path) {
            None => Meaning::First,
            Some(mark) if mark.digest == file.component.digest => match history.head() {
                // The file was seen, but the node ended before it decided what the file means.
                None => Meaning::First,
                Some(_) => Meaning::Unchanged,
            },
            Some(mark) if history.has_since(&file.component.digest, mark.head.as_ref()) => {
                Meaning::Released
            }
            Some(_) => Meaning::Changed,
        }
    }

    /// Whether there is a mark for this path.
    pub(crate) fn has(&self, path: &PathId) -> bool {
        self.by_path.contains_key(path)
    }

    /// Notes that a file was seen.
    pub(crate) fn set(&mut self, file: &AppFile, history: &History) {
        self.used = self.used.saturating_add(1);
        let mark = Mark {
            digest: file.component.digest,
            head: history.head().map(|head| head.stamp().clone()),
            used: self.used,
        };
        self.by_path.insert(file.path, mark);
        if self.by_path.len() > MARKS_MAX {
            let oldest = self.by_path.iter().min_by_key(|(_, mark)| mark.used);
            if let Some(path) = oldest.map(|(path, _)| *path) {
                self.by_path.remove(&path);
            }
        }
    }

    /// Whether there are no more marks than are kept.
    pub(crate) fn is_bounded(&self) -> bool {
        self.by_path.len() <= MARKS_MAX
    }
}
