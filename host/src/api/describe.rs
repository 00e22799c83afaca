//! Shows values of the core and the runtime in the terms of the API.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use cluster::release::{Listed, ReleaseId, Verdict};
use cluster::{NodeId, NodeName};

use super::types as api;
use runtime::capacity::PlacesNow;

/// All digits of a release id.
pub fn id(id: &ReleaseId) -> String {
    format!("{id:.32}")
}

/// Milliseconds since 1970-01-01 UTC by the clock of this machine.
pub fn now_ms() -> u64 {
    since_1970(SystemTime::now())
}

/// A point in time as milliseconds since 1970-01-01 UTC.
pub fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// All releases, what has become of each, and who has voted on it. A node is shown by its IP if it
/// is one of these or has decided a release, else by its node id.
pub fn releases<'a>(
    listed: &'a [Listed],
    nodes: impl IntoIterator<Item = &'a NodeName>,
) -> Vec<api::ReleaseInfo> {
    let deciders = listed.iter().map(|it| &it.release.stamp().node);
    let known = deciders.chain(nodes).map(|name| (name.id(), name.ip()));
    let known: BTreeMap<NodeId, Ipv4Addr> = known.collect();
    let show = |node: NodeId| match known.get(&node) {
        Some(ip) => ip.to_string(),
        None => node.to_string(),
    };
    listed.iter().map(|it| release(it, show)).collect()
}

/// How much of the room of a node is used.
pub fn load(now: &PlacesNow) -> api::Load {
    api::Load {
        requests: now.calls.into(),
        requests_max: now.most.calls.into(),
        streams: now.streams.into(),
        streams_max: now.most.streams.into(),
        idle: now.idle.into(),
        memory: now.memory,
        memory_max: now.most.budget,
        turned_away: now.turned_away,
    }
}

fn release(listed: &Listed, show: impl Fn(NodeId) -> String) -> api::ReleaseInfo {
    let (release, votes) = (&listed.release, &listed.votes);
    let voted = |wanted| {
        let votes = votes.iter().filter(move |(_, verdict)| *verdict == wanted);
        votes.map(|(node, _)| show(*node)).collect()
    };
    let canaries = release.plan().canaries.iter();
    api::ReleaseInfo {
        id: id(&release.id()),
        kind: release.kind(),
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
        drop_streams: release.plan().drop_streams,
        signed: release.signature().is_some(),
        votes_for: voted(Verdict::Ok),
        votes_against: voted(Verdict::Failed),
    }
}
