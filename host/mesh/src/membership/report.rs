//! The log lines of membership: one per member that comes or goes, and one per source that is
//! refused.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use cluster::release::{News, Release, ReleaseId, ReleaseKind, Target, VoteState};
use cluster::{Digest, DownReason, Member, NodeId, NodeName, Refusal, SettingNews, UpReason};

/// A member came up.
pub(super) fn up(member: &Member, reason: UpReason) {
    tracing::info!(member = %member.name, url = %member.url, %reason, "member up");
}

/// A member has gone.
pub(super) fn down(member: &Member, reason: DownReason) {
    match reason {
        DownReason::Left => tracing::info!(member = %member.name, %reason, "member down"),
        DownReason::Failed | DownReason::Refused => {
            tracing::warn!(member = %member.name, %reason, "member down");
        }
    }
}

/// Datagrams were refused; the core reports this once per source and minute.
pub(super) fn refused(source: SocketAddrV4, why: Refusal, count: u64) {
    if source.ip().is_unspecified() {
        tracing::warn!(reason = %why, count, "datagrams of many sources refused");
    } else {
        tracing::warn!(%source, reason = %why, count, "datagrams refused");
    }
}

/// There is news about settings. Values are never logged: they may be secrets.
pub(super) fn setting(news: &SettingNews) {
    match news {
        SettingNews::Changed(record) => tracing::info!(
            kind = %record.kind(),
            key = record.key(),
            by = record.by(),
            node = %record.node(),
            "a setting was {}",
            if record.is_removal() { "removed" } else { "set" },
        ),
        SettingNews::SetAside(record) => tracing::warn!(
            kind = %record.kind(),
            key = record.key(),
            node = %record.node(),
            "a setting is from far ahead of all clocks here, and set aside until its time comes; \
             set the clock of that node"
        ),
        SettingNews::Forgotten(count) => tracing::warn!(
            count,
            "stored settings are not signed with the deploy key, and are left out; set them again \
             with --sign-with"
        ),
    }
}

/// There is news about releases.
pub(super) fn release(news: &News, names: &BTreeMap<NodeId, NodeName>) {
    match news {
        News::Target(target) => new_target(target),
        News::Superseded { release, by } => tracing::warn!(
            release = %release.id(),
            digest = short(release.component().digest),
            node = %release.stamp().node,
            "superseded: release {} of {} was decided without knowing this one, and is ahead of it",
            by.id(),
            by.stamp().node,
        ),
        News::VoteState {
            release,
            state,
            against,
            failed,
            ok,
        } => {
            let (canaries, against) = (
                shown(&release.plan().canaries, names),
                shown(against, names),
            );
            vote_state_of(&release.id(), *state, (*failed, *ok), &canaries, &against);
        }
        News::OtherPlan { holds, lost } => tracing::warn!(
            release = %holds.id(),
            "this release goes to {}, as {} decided: the plan given here, {}, does not hold",
            holds.plan(),
            holds.stamp().node,
            lost.plan(),
        ),
        News::SetAside(release) => tracing::warn!(
            release = %release.id(),
            node = %release.stamp().node,
            at_ms = release.stamp().at.ms(),
            "a release is set aside: it is more than ten minutes ahead of every clock known here; \
             set the clock of the node that made it",
        ),
        News::Forgotten { unsigned, kept } => tracing::warn!(
            unsigned,
            kept,
            "the releases stored here that are not signed with the deploy key are forgotten; \
             push the app again with `host push --sign-with FILE`",
        ),
        News::File { outcome, .. } => match outcome {
            Ok(Some(release)) => tracing::info!(
                release = %release.id(),
                digest = short(release.component().digest),
                "released the app file{}",
                match release.kind() {
                    ReleaseKind::Bootstrap => ", as the first of this node",
                    ReleaseKind::Push | ReleaseKind::Rollback => "",
                },
            ),
            Ok(None) => {}
            Err(error) => tracing::warn!("the app file was not released: {error}"),
        },
    }
}

/// The target has changed.
fn new_target(target: &Target) {
    let release = target.id;
    let digest = short(target.digest);
    let by = target.release.as_deref().map_or_else(String::new, by);
    tracing::info!(%release, digest, "new target{by}");
}

/// The app file holds another component than the target, and is not new.
pub(super) fn file_differs(file: Digest, target: &Target) {
    tracing::warn!(
        file = short(file),
        release = %target.id,
        digest = short(target.digest),
        "the app file is not what the cluster has agreed on, and it is not newer: this node serves the release; to serve the file, change it or push it",
    );
}

fn short(digest: Digest) -> String {
    cluster::short(&digest.to_string()).to_owned()
}

fn by(release: &Release) -> String {
    let (kind, node) = (release.kind(), &release.stamp().node);
    match (release.by(), release.note()) {
        ("", "") => format!(": {kind} on {node}"),
        (by, "") => format!(": {kind} by {by} on {node}"),
        ("", note) => format!(": {kind} on {node}: {note}"),
        (by, note) => format!(": {kind} by {by} on {node}: {note}"),
    }
}

/// Nodes by their IPs, or by their ids where nobody knows the IP any more.
fn shown(nodes: &[NodeId], names: &BTreeMap<NodeId, NodeName>) -> String {
    let shown = nodes.iter().map(|node| match names.get(node) {
        Some(name) => name.ip().to_string(),
        None => node.to_string(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn vote_state_of(
    id: &ReleaseId,
    state: VoteState,
    (failed, ok): (usize, usize),
    canaries: &str,
    against: &str,
) {
    match state {
        VoteState::Baking => tracing::info!(
            release = %id,
            canaries,
            "release bakes: only its canaries serve it until all of them have voted for it",
        ),
        VoteState::Accepted => {
            tracing::info!(release = %id, ok, failed, "release accepted by vote");
        }
        VoteState::VotedDown => tracing::warn!(
            release = %id,
            ok,
            failed,
            against,
            "release voted down: the target is the one before it",
        ),
    }
}
