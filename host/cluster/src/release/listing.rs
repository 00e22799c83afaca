//! What has become of each release, to be shown to people.

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
    /// Its canaries try it out.
    Baking,
    /// This node is to serve it.
    Target,
    /// Nodes voted it down, so what it follows is the target.
    VotedDown,
    /// Somebody went back from it.
    RolledBack,
    /// It lost against a release that was decided without knowing it.
    Superseded,
    /// Others came after it.
    Earlier,
}

/// A release, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The release.
    pub release: Arc<Release>,
    /// What has become of it.
    pub status: ReleaseStatus,
    /// Who has voted on it. Votes on old releases are forgotten.
    pub votes: Vec<(NodeId, Verdict)>,
}

/// All releases that are known, the greatest first.
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
