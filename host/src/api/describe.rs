//! From the terms of the core to those of the API.

use std::net::Ipv4Addr;

use cluster::release::{Kind, Release, ReleaseId, Verdict};

use super::types::{self as api, ReleaseStatus};

/// All digits of a key.
pub fn id(id: &ReleaseId) -> String {
    format!("{id:.32}")
}

/// A release, what has become of it, and who has voted on it.
pub fn release(
    release: &Release,
    status: ReleaseStatus,
    votes: &[(Ipv4Addr, Verdict)],
) -> api::Release {
    let voted = |wanted| {
        let votes = votes.iter().filter(move |(_, verdict)| *verdict == wanted);
        votes.map(|(ip, _)| *ip).collect()
    };
    api::Release {
        id: id(&release.id()),
        kind: match release.kind() {
            Kind::Bootstrap => api::Kind::Bootstrap,
            Kind::Push => api::Kind::Push,
            Kind::Rollback => api::Kind::Rollback,
        },
        status,
        digest: release.component().digest.to_string(),
        size: release.component().size,
        at_ms: release.stamp().at.ms(),
        node: release.stamp().node.to_string(),
        by: release.by().to_owned(),
        note: release.note().to_owned(),
        parent: release.parent().map(|parent| id(&parent.id)),
        canaries: release.plan().canaries.clone(),
        bake_ms: release.plan().bake_ms,
        signed: release.signature().is_some(),
        votes_for: voted(Verdict::Ok),
        votes_against: voted(Verdict::Failed),
    }
}
