//! What has become of each release, to be shown to people.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::force::{Force, Standing, standing};
use super::history::History;
use super::votes::Votes;
use super::{Release, ReleaseKey, Verdict};

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
    let superseded: BTreeSet<ReleaseKey> = history.superseded().iter().map(|it| it.key()).collect();
    let hindsight = history.hindsight();
    let head = history.head().map(|head| head.key());
    let status = |release: &Release| {
        let key = release.key();
        let said = standing(release, votes);
        if said == Standing::Baking && head == Some(key) {
            Status::Baking
        } else if force.is_some_and(|force| force.key == key) {
            Status::InForce
        } else if hindsight.undone_by(&key).is_some() {
            Status::RolledBack
        } else if superseded.contains(&key) {
            Status::Superseded
        } else if said == Standing::VotedDown {
            Status::VotedDown
        } else {
            Status::Earlier
        }
    };
    let listed = |release: &Arc<Release>| Listed {
        status: status(release),
        votes: votes.of(&release.key()).collect(),
        release: release.clone(),
    };
    history.newest().map(listed).collect()
}
