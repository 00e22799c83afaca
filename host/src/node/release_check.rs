//! A release that is tried before it is published, and the part of a member while it bakes.

use std::time::Duration;

use cluster::release::{Listed, Release, ReleaseKind, ReleaseStatus};
use cluster::{Digest, Member};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::running::{RunningNode, stopping, storage};
use crate::api::Refused;
use crate::api::types as api;
use crate::api::types::Code;
use mesh::membership::Overview;

/// How long loading a component may delay its release: far less than a caller waits.
const PREPARE: Duration = Duration::from_secs(5);

impl RunningNode {
    /// Tries whether a release can take over the streams that are open here, before anybody
    /// hears of it. Where that would take long, each node finds out when it is to serve it.
    pub(super) async fn try_states(&self, release: &Release) -> Result<(), Refused> {
        let digest = release.component().digest;
        let is_tried = release.kind() == ReleaseKind::Push && !release.plan().drop_streams;
        if !is_tried || self.app.serving() == Some(digest) {
            return Ok(());
        }
        if !self.app.is_prepared(digest) {
            let store = self.store.clone();
            let found = spawn_blocking(move || store.find(&digest)).await;
            let found = found.map_err(|_| stopping())?.map_err(storage)?;
            let Some(component) = found else {
                return Ok(());
            };
            match timeout(PREPARE, self.app.prepare_upload(component)).await {
                Ok(Err(error)) if !error.is_local() => {
                    return Err(Refused::new(Code::BadComponent, error));
                }
                Ok(Err(_)) | Err(_) => return Ok(()),
                Ok(Ok(())) => {}
            }
        }
        let tried = self.app.try_states(digest).await;
        tried.map_err(|unreadable| Refused::new(Code::OpenStreams, unreadable))
    }
}

/// Which part a member that serves this component has in the newest release, if that bakes.
pub(super) fn bake_role(
    overview: &Overview,
    member: &Member,
    digest: Digest,
) -> Option<api::BakeRole> {
    let bakes = |listed: &&Listed| listed.status == ReleaseStatus::Baking;
    let baking = &overview.releases.first().filter(bakes)?.release;
    let is_canary = baking.plan().has_canary(member.name.id());
    if is_canary && digest == baking.component().digest {
        return Some(api::BakeRole::Canary);
    }
    let base = baking.base().filter(|base| base.digest == digest);
    base.filter(|_| !is_canary).map(|_| api::BakeRole::Waits)
}
