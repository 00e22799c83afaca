//! Converts types of the core to those of the API.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use cluster::release::{Kind, Listed, ReleaseId, Verdict};
use cluster::{NodeId, NodeName};

use super::types as api;

/// All digits of a release id.
pub fn id(id: &ReleaseId) -> String {
    format!("{id:.32}")
}

/// All releases, what has become of each, and who has voted on it. A node is shown by its IP if it
/// is one of these or has decided a release, else by its node id.
pub fn releases<'a>(
    listed: &'a [Listed],
    nodes: impl IntoIterator<Item = &'a NodeName>,
) -> Vec<api::Release> {
    let deciders = listed.iter().map(|it| &it.release.stamp().node);
    let known = deciders.chain(nodes).map(|name| (name.id(), name.ip()));
    let known: BTreeMap<NodeId, Ipv4Addr> = known.collect();
    let show = |node: NodeId| match known.get(&node) {
        Some(ip) => ip.to_string(),
        None => node.to_string(),
    };
    listed.iter().map(|it| release(it, show)).collect()
}

fn release(listed: &Listed, show: impl Fn(NodeId) -> String) -> api::Release {
    let (release, votes) = (&listed.release, &listed.votes);
    let voted = |wanted| {
        let votes = votes.iter().filter(move |(_, verdict)| *verdict == wanted);
        votes.map(|(node, _)| show(*node)).collect()
    };
    let canaries = release.plan().canaries.iter();
    api::Release {
        id: id(&release.id()),
        kind: match release.kind() {
            Kind::Bootstrap => api::Kind::Bootstrap,
            Kind::Push => api::Kind::Push,
            Kind::Rollback => api::Kind::Rollback,
        },
        status: listed.status,
        digest: release.component().digest.to_string(),
        size: release.component().size,
        at_ms: release.stamp().at.ms(),
        node: release.stamp().node.to_string(),
        by: release.by().to_owned(),
        note: release.note().to_owned(),
        parent: release.parent().map(|parent| id(&parent.id)),
        canaries: canaries.map(|node| show(*node)).collect(),
        bake_ms: release.plan().bake_ms,
        signed: release.signature().is_some(),
        votes_for: voted(Verdict::Ok),
        votes_against: voted(Verdict::Failed),
    }
}
