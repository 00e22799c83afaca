//! What follows if a release cannot take over the streams that are open on this node.
//!
//! The node votes against it. A canary's vote is enough to keep the release from all;
//! elsewhere it stands if more nodes are for it. If it stands, this node serves it too:
//! the streams that it cannot take over end as after any change of code.

use std::time::Duration;

use cluster::release::{ReleaseKind, Target, Verdict};
use runtime::exchange::UnreadableStates;
use tokio::time::sleep;

use super::{Deploy, consequence};
use cluster::short;

/// How long the votes have to make another release the target.
const DECIDED: Duration = Duration::from_secs(3);

/// Whether this target may be refused because of open streams. What people or votes go
/// back to is not, nor is the first release.
pub(super) fn may_refuse(target: &Target) -> bool {
    target.id == target.head.id()
        && target.release.as_ref().is_some_and(|release| {
            let is_push = release.kind() == ReleaseKind::Push && release.parent().is_some();
            is_push && !release.plan().drop_streams
        })
}

impl Deploy {
    /// Votes against the target, and waits for what follows. This is dropped if another
    /// release becomes the target.
    pub(super) async fn streams_refused(&self, target: &Target, unreadable: &UnreadableStates) {
        let reason = unreadable.to_string();
        tracing::error!(
            release = %target.id,
            digest = short(&target.digest.to_string()),
            "{reason}; {}",
            consequence(target),
        );
        self.app.report.failed(Some(target), reason, false);
        // This fails only if the node stops.
        let _ = self.releases.vote(target.id, Verdict::Failed).await;
        sleep(DECIDED).await;
        tracing::warn!(
            release = %target.id,
            "the release stands by the votes of others, so this node serves it too, and the \
             streams that it cannot take over end",
        );
    }
}
