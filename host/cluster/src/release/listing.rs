//! What has become of each release, to be shown to people.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::force::{Force, Standing, standing};
use super::history::History;
use super::votes::Votes;
use super::{Release, ReleaseId, Verdict};

/// What has become of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its canaries try it out.
    Baking,
    /// This node is to serve it.
    InForce,
    /// Nodes voted it down, so what it follows is in force.
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
    pub status: Status,
    /// Who has voted on it. Votes on old releases are forgotten.
    pub votes: Vec<(Ipv4Addr, Verdict)>,
}

/// All releases that are known, the greatest first.
pub(crate) fn listing(history: &History, votes: &Votes, force: Option<&Force>) -> Vec<Listed> {
    let superseded: BTreeSet<ReleaseId> = history.superseded().iter().map(|it| it.id()).collect();
    let hindsight = history.hindsight();
    let head = history.head().map(|head| head.id());
    let status = |release: &Release| {
        let id = release.id();
        let said = standing(release, votes);
        if said == Standing::Baking && head == Some(id) {
            Status::Baking
        } else if force.is_some_and(|force| force.id == id) {
            Status::InForce
        } else if hindsight.undone_by(&id).is_some() {
            Status::RolledBack
        } else if superseded.contains(&id) {
            Status::Superseded
        } else if said == Standing::VotedDown {
            Status::VotedDown
        } else {
            Status::Earlier
        }
    };
    let listed = |release: &Arc<Release>| Listed {
        status: status(release),
        votes: votes.of(&release.id()).collect(),
        release: release.clone(),
    };
    history.newest().map(listed).collect()
}
