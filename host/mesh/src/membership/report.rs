//! What membership tells a person: one line per member that comes or goes,
//! and per source that is refused.

use std::net::SocketAddrV4;

use cluster::release::{Force, Kind, News, Release, Standing};
use cluster::{Digest, DownReason, Member, Refusal, UpReason};

/// A member came up.
pub(super) fn up(member: &Member, reason: UpReason) {
    tracing::info!(member = %member.name, url = %member.url, %reason, "member up");
}

/// A member is gone.
pub(super) fn down(member: &Member, reason: DownReason) {
    match reason {
        DownReason::Left => tracing::info!(member = %member.name, %reason, "member down"),
        DownReason::Failed | DownReason::Refused => {
            tracing::warn!(member = %member.name, %reason, "member down");
        }
    }
}

/// Datagrams were refused; the core says it once per source and minute.
pub(super) fn refused(source: SocketAddrV4, why: Refusal, count: u64) {
    if source.ip().is_unspecified() {
        tracing::warn!(reason = %why, count, "datagrams of many sources refused");
    } else {
        tracing::warn!(%source, reason = %why, count, "datagrams refused");
    }
}

/// Something is new about releases.
pub(super) fn release(news: &News) {
    match news {
        News::InForce(force) => in_force(force),
        News::Superseded { release, by } => tracing::warn!(
            release = %release.key(),
            digest = short(release.app().digest),
            node = %release.id().node,
            "superseded: release {} of {} was decided without knowing this one, and is ahead of it",
            by.key(),
            by.id().node,
        ),
        News::Standing {
            release,
            standing,
            against,
            failed,
            ok,
        } => standing_of(release, *standing, (*failed, *ok), against),
        News::OtherPlan { holds, lost } => tracing::warn!(
            release = %holds.key(),
            "this release goes to {}, as {} decided: the plan given here, {}, does not hold",
            holds.plan(),
            holds.id().node,
            lost.plan(),
        ),
        News::Forgotten { unsigned, kept } => tracing::warn!(
            unsigned,
            kept,
            "the releases stored here that are not signed with the deploy key are forgotten; \
             push the app again with `host push --sign-with FILE`",
        ),
        News::File { outcome, .. } => match outcome {
            Ok(Some(release)) => tracing::info!(
                release = %release.key(),
                digest = short(release.app().digest),
                "released the app file{}",
                match release.kind() {
                    Kind::Bootstrap => ", as the first of this node",
                    Kind::Push | Kind::Rollback => "",
                },
            ),
            Ok(None) => {}
            Err(error) => tracing::warn!("the app file was not released: {error}"),
        },
    }
}

/// What is in force.
fn in_force(force: &Force) {
    let release = force.key;
    let digest = short(force.digest);
    let by = force.release.as_deref().map_or_else(String::new, by);
    tracing::info!(%release, digest, "release in force{by}");
}

/// The app file holds another app than is in force, and is no news.
pub(super) fn file_differs(file: Digest, force: &Force) {
    tracing::warn!(
        file = short(file),
        release = %force.key,
        digest = short(force.digest),
        "the app file is not what the cluster has agreed on, and it is not newer: this node serves the release; to serve the file, change it or push it",
    );
}

fn short(digest: Digest) -> String {
    cluster::short(&digest.to_string()).to_owned()
}

fn by(release: &Release) -> String {
    let (kind, node) = (release.kind(), &release.id().node);
    match (release.by(), release.note()) {
        ("", "") => format!(": {kind} on {node}"),
        (by, "") => format!(": {kind} by {by} on {node}"),
        ("", note) => format!(": {kind} on {node}: {note}"),
        (by, note) => format!(": {kind} by {by} on {node}: {note}"),
    }
}

fn standing_of(
    release: &Release,
    standing: Standing,
    (failed, ok): (usize, usize),
    against: &[std::net::Ipv4Addr],
) {
    let key = release.key();
    match standing {
        Standing::Baking => tracing::info!(
            release = %key,
            canaries = ?release.plan().canaries,
            "release bakes: only its canaries serve it until all of them have voted for it",
        ),
        Standing::Accepted => {
            tracing::info!(release = %key, ok, failed, "release accepted by vote");
        }
        Standing::VotedDown => tracing::warn!(
            release = %key,
            ok,
            failed,
            ?against,
            "release voted down: the one before it is in force",
        ),
    }
}
