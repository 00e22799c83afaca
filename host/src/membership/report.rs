//! What membership tells a person: one line per member that comes or goes,
//! and per source that is refused.

use std::net::SocketAddrV4;

use cluster::{DownReason, Member, Refusal, UpReason};

/// A member came up.
pub(super) fn up(member: &Member, reason: UpReason) {
    let url = format_args!("http://{}", member.http);
    tracing::info!(member = %member.name, %url, %reason, "member up");
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
