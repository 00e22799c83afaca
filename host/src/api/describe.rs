//! From the terms of the core to those of the API.

use std::net::Ipv4Addr;

use cluster::release::{Kind, Release, ReleaseKey, Verdict};

use super::types::{self as api, Standing};

/// All digits of a key.
pub fn key(key: &ReleaseKey) -> String {
    format!("{key:.32}")
}

/// A release, what has become of it, and who has voted on it.
pub fn release(
    release: &Release,
    standing: Standing,
    votes: &[(Ipv4Addr, Verdict)],
) -> api::Release {
    let voted = |wanted| {
        let votes = votes.iter().filter(move |(_, verdict)| *verdict == wanted);
        votes.map(|(ip, _)| *ip).collect()
    };
    api::Release {
        key: key(&release.key()),
        kind: match release.kind() {
            Kind::Bootstrap => api::Kind::Bootstrap,
            Kind::Push => api::Kind::Push,
            Kind::Rollback => api::Kind::Rollback,
        },
        standing,
        digest: release.app().digest.to_string(),
        size: release.app().size,
        at_ms: release.id().at.ms(),
        node: release.id().node.to_string(),
        by: release.by().to_owned(),
        note: release.note().to_owned(),
        parent: release.parent().map(|parent| key(&parent.key)),
        canaries: release.plan().canaries.clone(),
        bake_ms: release.plan().bake_ms,
        signed: release.signature().is_some(),
        votes_for: voted(Verdict::Ok),
        votes_against: voted(Verdict::Failed),
    }
}
