//! Votes: what each node has found out about a release by serving it. A node votes once for
//! each release, or for it and then against it. If two of its votes become known, the worse one counts. So the set only grows,
//! and nodes that merge their votes agree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ReleaseId;
use crate::NodeId;
use crate::hash::mix;

/// How many of the newest releases keep their votes. To go back further would need a component
/// that no node keeps.
pub(crate) const VOTED: usize = 32;

/// The most votes of one release that are kept: as many as admission has contacts.
pub(crate) const VOTERS_MAX: usize = crate::admission::CONTACTS_MAX;

/// What a node has found out. `Failed` is greater than `Ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// The node served the release for the whole bake without fault.
    Ok,
    /// The node could not load it, or it failed too often.
    Failed,
}

/// The vote of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vote {
    pub(crate) release: ReleaseId,
    pub(crate) node: NodeId,
    pub(crate) verdict: Verdict,
}

impl Vote {
    /// Its share in the hash of all that a node knows.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut half = [0; 8];
        half.copy_from_slice(&self.release.as_bytes()[..8]);
        [
            u64::from_le_bytes(*self.node.as_bytes()),
            self.verdict as u64,
        ]
        .into_iter()
        .fold(u64::from_le_bytes(half), |hash, word| mix(hash ^ word))
    }
}

/// The votes about one release, as they are sent and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ballot {
    release: ReleaseId,
    votes: Vec<(NodeId, Verdict)>,
}

impl Ballot {
    /// Whether it has no more votes than are kept.
    pub(crate) fn is_bounded(&self) -> bool {
        self.votes.len() <= VOTERS_MAX
    }

    /// A hash that is equal on two nodes that know the same votes about this release.
    pub(crate) fn fingerprint(&self) -> u64 {
        let votes = self.votes().map(|vote| vote.fingerprint());
        votes.fold(0, u64::wrapping_add)
    }

    /// Its votes, one by one.
    pub(crate) fn votes(&self) -> impl Iterator<Item = Vote> {
        let release = self.release;
        self.votes.iter().map(move |&(node, verdict)| Vote {
            release,
            node,
            verdict,
        })
    }
}

/// All votes that are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Votes {
    by_release: BTreeMap<ReleaseId, BTreeMap<NodeId, Verdict>>,
}

impl Votes {
    /// Takes in a vote. Returns whether it is new. If there are too many voters, those with the
    /// lowest ids stay, so that nodes that merge their votes agree.
    pub(crate) fn add(&mut self, vote: &Vote) -> bool {
        let votes = self.by_release.entry(vote.release).or_default();
        let known = votes.get(&vote.node).copied();
        if known.is_some_and(|known| known >= vote.verdict) {
            return false;
        }
        votes.insert(vote.node, vote.verdict);
        if votes.len() > VOTERS_MAX {
            return votes.pop_last().is_some_and(|(node, _)| node != vote.node);
        }
        true
    }

    /// The votes about a release.
    pub(crate) fn of(&self, release: &ReleaseId) -> impl Iterator<Item = (NodeId, Verdict)> {
        let votes = self.by_release.get(release).into_iter().flatten();
        votes.map(|(&node, &verdict)| (node, verdict))
    }

    /// How this node voted.
    pub(crate) fn by(&self, release: &ReleaseId, node: NodeId) -> Option<Verdict> {
        self.by_release.get(release)?.get(&node).copied()
    }

    /// Forgets the votes about all other releases.
    pub(crate) fn keep(&mut self, kept: impl Fn(&ReleaseId) -> bool) {
        self.by_release.retain(|id, _| kept(id));
    }

    /// All votes, to be sent or stored.
    pub(crate) fn ballots(&self) -> Vec<Ballot> {
        let ballot = |(&release, votes): (_, &BTreeMap<_, _>)| Ballot {
            release,
            votes: votes
                .iter()
                .map(|(&node, &verdict)| (node, verdict))
                .collect(),
        };
        self.by_release.iter().map(ballot).collect()
    }

    /// All votes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Vote> {
        self.by_release.iter().flat_map(|(&release, votes)| {
            votes.iter().map(move |(&node, &verdict)| Vote {
                release,
                node,
                verdict,
            })
        })
    }
}
