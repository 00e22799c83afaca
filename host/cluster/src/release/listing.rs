//! The status of each release, to show to people.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::history::History;
use super::target::{Target, VoteState, vote_state};
use super::votes::Votes;
use super::{Release, ReleaseId, Verdict};
use crate::NodeId;

/// What has become of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseStatus {
    /// Its canaries serve it first.
    Baking,
    /// This node is to serve it.
    Target,
    /// Nodes voted it down, so the release before it is the target.
    VotedDown,
    /// Somebody rolled it back.
    RolledBack,
    /// It lost against a release that was decided without knowledge of it.
    Superseded,
    /// Other releases came after it.
    Earlier,
}

/// A release, its status and its votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The release.
    pub release: Arc<Release>,
    /// The status of the release.
    pub status: ReleaseStatus,
    /// The nodes that voted on it, and how. Votes on old releases are forgotten.
    pub votes: Vec<(NodeId, Verdict)>,
}

/// All known releases, the greatest first.
pub(crate) fn listing(history: &History, votes: &Votes, target: Option<&Target>) -> Vec<Listed> {
    let superseded: BTreeSet<ReleaseId> = history.superseded().iter().map(|it| it.id()).collect();
    let hindsight = history.hindsight();
    let head = history.head().map(|head| head.id());
    let status = |release: &Release| {
        let id = release.id();
        let said = vote_state(release, votes);
        if said == VoteState::Baking && head == Some(id) {
            ReleaseStatus::Baking
        } else if target.is_some_and(|target| target.id == id) {
            ReleaseStatus::Target
        } else if hindsight.undone_by(&id).is_some() {
            ReleaseStatus::RolledBack
        } else if superseded.contains(&id) {
            ReleaseStatus::Superseded
        } else if said == VoteState::VotedDown {
            ReleaseStatus::VotedDown
        } else {
            ReleaseStatus::Earlier
        }
    };
    let listed = |release: &Arc<Release>| Listed {
        status: status(release),
        votes: votes.of(&release.id()).collect(),
        release: release.clone(),
    };
    history.newest().map(listed).collect()
}
