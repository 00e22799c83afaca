//! The real [`NodeApi`]: what a node shows of itself, and what can be done to it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cluster::data::DataStore;
use cluster::release::{Component, DeployKey, DraftError, Listed, Release, ReleaseStatus, Request};
use cluster::{ComponentBytes, Counted, Digest, Member, NodeName, Setting, SettingChange, View};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::release_check::bake_role;
use crate::api::types as api;
use crate::api::types::Code;
use crate::api::{Later, NodeApi, Refused, describe, settings};
use crate::app::App;
use crate::app::deploy::Deployment;
use crate::node::log;
use mesh::control::Client;
use mesh::control::routes::STATE;
use mesh::counts::Publications;
use mesh::membership::{
    MembershipCounts, Overview, Releases, SettingsHandle, SettingsLook, Stopping,
};
use mesh::store::{Store, StoreError};
use mesh::transfer::Fetcher;

/// How long after a change the node waits for members that have not answered. It is
/// short, so that a member that is cut off does not delay the answers of the others.
const STRAGGLERS: Duration = Duration::from_millis(50);

/// All parts of a node that it is asked about.
pub(super) struct RunningNode {
    pub(super) name: NodeName,
    pub(super) url: String,
    pub(super) started: SystemTime,
    pub(super) file: Option<PathBuf>,
    pub(super) members: watch::Receiver<Arc<View>>,
    pub(super) app: Arc<App>,
    pub(super) store: Store,
    pub(super) releases: Releases,
    pub(super) settings: SettingsHandle,
    pub(super) data: DataStore,
    pub(super) counting: Arc<Counted<MembershipCounts>>,
    pub(super) client: Client,
    pub(super) fetcher: Fetcher,
    pub(super) published: Arc<Counted<Publications>>,
    pub(super) deploy_key: Option<DeployKey>,
}

/// Removes an upload when it is dropped.
struct Unwanted(Option<(Store, Digest)>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        if let Some((store, digest)) = self.0.take() {
            spawn_blocking(move || {
                if let Err(error) = store.forget_upload(&digest) {
                    tracing::warn!("an upload that came to nothing is not removed: {error}");
                }
            });
        }
    }
}

/// What a node says to another about its own app.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct AppState {
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    doing: Option<api::Doing>,
    #[serde(default)]
    failed: Option<api::Failed>,
}

impl RunningNode {
    fn overview(&self) -> Arc<Overview> {
        self.releases.overview().borrow().clone()
    }

    fn deployment(&self) -> Arc<Deployment> {
        self.app.deployment().borrow().clone()
    }

    /// The answer of this node to [`STATE`].
    pub(super) fn state(&self) -> Bytes {
        let now = self.deployment();
        let state = AppState {
            digest: now.serving.as_ref().map(|it| it.digest.clone()),
            doing: now.doing.clone(),
            failed: now.failed.clone(),
        };
        serde_json::to_vec(&state).unwrap_or_default().into()
    }

    fn serving(&self, now: &Deployment) -> Option<api::ServingStatus> {
        let live = self.app.slot.current().map_or(0, |it| it.stats.live());
        let serving = now.serving.clone()?;
        Some(api::ServingStatus {
            live: live as u64,
            ..serving
        })
    }

    fn draining(&self) -> Option<api::Draining> {
        let draining = self.app.slot.draining()?;
        let stats = &draining.stats;
        (stats.live() > 0).then(|| api::Draining {
            digest: draining.digest.to_string(),
            since_ms: describe::since_1970(SystemTime::now() - draining.since.elapsed()),
            live: stats.live() as u64,
            left: stats.left(),
        })
    }

    fn app_file(&self, now: &Deployment) -> Option<api::AppFileStatus> {
        let given = self.file.as_ref()?;
        let path = now.file_at.as_ref().unwrap_or(given);
        let digest = now.file.map(|digest| digest.to_string());
        let serving = now.serving.as_ref().map(|it| &it.digest);
        Some(api::AppFileStatus {
            path: path.display().to_string(),
            differs: digest.is_some() && digest.as_ref() != serving,
            digest,
        })
    }

    /// A member as the view has it, and what it says of itself if that is known.
    fn member(
        &self,
        member: &Member,
        overview: &Overview,
        said: Option<AppState>,
    ) -> api::MemberStatus {
        let answered = said.is_some();
        let said = said.unwrap_or_default();
        let own_word = said.digest.and_then(|digest| digest.parse::<Digest>().ok());
        let digest = own_word.or(member.component());
        let of_app = |listed: &&Listed| Some(listed.release.component().digest) == digest;
        let release = overview.releases.iter().find(of_app);
        let target = overview.target.as_ref().map(|target| target.digest);
        api::MemberStatus {
            node: member.name.to_string(),
            me: member.name == self.name,
            url: member.url.to_string(),
            boot: member.boot.number(),
            since_ms: member.since_ms,
            release: release.map(|listed| describe::id(&listed.release.id())),
            on_target: digest.is_some() && target == digest,
            bake: digest.and_then(|digest| bake_role(overview, member, digest)),
            digest: digest.map(|digest| digest.to_string()),
            answered,
            doing: said.doing,
            failed: said.failed,
            cookie: member.keys.map(|keys| api::MemberCookie {
                sends: keys.sends.to_string(),
                also: keys.accepts.map(|also| also.to_string()),
            }),
        }
    }

    /// Asks a member what it does.
    async fn ask(client: Client, member: NodeName) -> (NodeName, Option<AppState>) {
        let said = match client.call(&member, &STATE, Bytes::new()).await {
            Ok((StatusCode::OK, said)) => serde_json::from_slice(&said).ok(),
            Ok(_) | Err(_) => None,
        };
        (member, said)
    }

    /// Asks these members what they do. Ends early if something changes meanwhile.
    async fn ask_all(&self, members: Vec<NodeName>) -> HashMap<NodeName, AppState> {
        let mut asking = JoinSet::new();
        for member in members {
            asking.spawn(Self::ask(self.client.clone(), member));
        }
        let mut said = HashMap::new();
        let mut changed = self.changed();
        let mut until = None;
        loop {
            tokio::select! {
                answer = asking.join_next() => match answer {
                    Some(Ok((member, Some(state)))) => drop(said.insert(member, state)),
                    // It did not answer.
                    Some(_) => {}
                    None => return said,
                },
                () = &mut changed, if until.is_none() => {
                    until = Some(Instant::now() + STRAGGLERS);
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    return said;
                }
            }
        }
    }

    async fn store_and_prepare(&self, component: ComponentBytes) -> Result<(), Refused> {
        // An upload that is refused, or that its client gives up, is removed.
        let mut unwanted = Unwanted(Some((self.store.clone(), component.digest())));
        let (store, it) = (self.store.clone(), component.clone());
        let stored = spawn_blocking(move || store.store_upload(&it));
        stored.await.map_err(|_| stopping())?.map_err(storage)?;
        let prepared = self.app.prepare_upload(component).await;
        if prepared.is_ok() {
            unwanted.0 = None;
        }
        prepared.map_err(|error| {
            let code = match error.is_local() {
                true => Code::Busy,
                false => Code::BadComponent,
            };
            Refused::new(code, error)
        })
    }
}

impl NodeApi for RunningNode {
    fn status(&self) -> api::Status {
        let now = self.deployment();
        let overview = self.overview();
        let counters = self.counting.now();
        let datagrams = &counters.datagrams;
        let stored = self.store.components();
        api::Status {
            api: api::API,
            now_ms: describe::now_ms(),
            node: self.name.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_ms: describe::since_1970(self.started),
            url: self.url.clone(),
            members: self.members.borrow().members.len(),
            serving: self.serving(&now),
            draining: self.draining(),
            doing: now.doing.clone(),
            failed: now.failed.clone(),
            target: overview.target.as_ref().map(|target| api::TargetStatus {
                release: describe::id(&target.id),
                digest: target.digest.to_string(),
                head: describe::id(&target.head.id()),
                head_status: overview
                    .get(&target.head.id())
                    .map_or(ReleaseStatus::Target, |listed| listed.status),
            }),
            file: self.app_file(&now),
            store: api::Stored {
                components: stored.len() as u64,
                bytes: self.store.bytes(),
                quarantined: self.store.quarantined(),
            },
            load: describe::load(&self.app.loader.runtime().places().now()),
            datagrams: api::Datagrams {
                accepted: datagrams.accepted,
                probation: datagrams.probation,
                refused: datagrams.refused.total(),
                refused_by: datagrams.refused,
                unsent: counters.unsent,
            },
            records: datagrams.records,
            callers: counters.callers,
            fetches: self.fetcher.fetches(),
            publications: self.published.now(),
            log: api::LogLines { lost: log::lost() },
            deploy_key: self.deploy_key.as_ref().map(ToString::to_string),
        }
    }

    fn nodes(&self, about: Option<&str>) -> Later<'_, Vec<api::MemberStatus>> {
        let about = about.map(str::to_owned);
        Box::pin(async move {
            // A member that serves the target has nothing to add.
            let settled = |member: &Member, overview: &Overview| {
                let Some(about) = &about else { return true };
                let mut releases = overview.releases.iter();
                let about = releases.find(|it| describe::id(&it.release.id()) == *about);
                about.is_some_and(|about| {
                    about.status == ReleaseStatus::Target
                        && member.component() == Some(about.release.component().digest)
                })
            };
            let (view, overview) = (self.members.borrow().clone(), self.overview());
            let others = view.members.iter();
            let others = others.filter(|it| it.name != self.name && !settled(it, &overview));
            let mut said = self
                .ask_all(others.map(|member| member.name.clone()).collect())
                .await;
            // The view may be newer than the answers of the members.
            let (view, overview) = (self.members.borrow().clone(), self.overview());
            for member in view.members.iter().filter(|it| settled(it, &overview)) {
                said.remove(&member.name);
            }
            if let Ok(me) = serde_json::from_slice(&self.state()) {
                said.insert(self.name.clone(), me);
            }
            let members = view.members.iter();
            members
                .map(|member| self.member(member, &overview, said.remove(&member.name)))
                .collect()
        })
    }

    fn releases(&self) -> Vec<api::ReleaseInfo> {
        let view = self.members.borrow().clone();
        let overview = self.overview();
        let members = view.members.iter().map(|member| &member.name);
        describe::releases(&overview.releases, members.chain(overview.names.values()))
    }

    fn changed(&self) -> Later<'static, ()> {
        let (mut releases, mut members) = (self.releases.overview(), self.members.clone());
        let mut report = self.app.deployment();
        releases.mark_unchanged();
        members.mark_unchanged();
        report.mark_unchanged();
        Box::pin(async move {
            tokio::select! {
                _ = releases.changed() => {}
                _ = members.changed() => {}
                _ = report.changed() => {}
            }
        })
    }

    fn store(&self, component: ComponentBytes) -> Later<'_, Result<(), Refused>> {
        Box::pin(self.store_and_prepare(component))
    }

    fn find(&self, digest: Digest) -> Later<'_, Result<Option<Component>, Refused>> {
        let store = self.store.clone();
        Box::pin(async move {
            let found = spawn_blocking(move || store.describe(&digest)).await;
            found.map_err(|_| stopping())?.map_err(storage)
        })
    }

    fn draft(
        &self,
        request: Request,
    ) -> Later<'_, Result<Result<Arc<Release>, DraftError>, Refused>> {
        Box::pin(async move { self.releases.draft(request).await.map_err(stops) })
    }

    fn publish(&self, release: Arc<Release>) -> Later<'_, Result<(), Refused>> {
        Box::pin(async move {
            self.try_states(&release).await?;
            self.releases.publish(release).await.map_err(stops)
        })
    }

    fn settings(&self) -> Later<'_, Result<SettingsLook, Refused>> {
        Box::pin(async move { self.settings.look().await.map_err(stops) })
    }

    fn draft_settings(
        &self,
        changes: Vec<SettingChange>,
        by: String,
    ) -> Later<'_, Result<Vec<Arc<Setting>>, Refused>> {
        Box::pin(async move {
            let draft = self.settings.draft(changes, by).await.map_err(stops)?;
            draft.map_err(settings::refused)
        })
    }

    fn publish_settings(&self, records: Vec<Arc<Setting>>) -> Later<'_, Result<(), Refused>> {
        Box::pin(async move {
            let published = self.settings.publish(records).await.map_err(stops)?;
            published.map_err(settings::refused)
        })
    }

    fn data(&self) -> &DataStore {
        &self.data
    }
}

fn stops(Stopping: Stopping) -> Refused {
    stopping()
}

pub(super) fn stopping() -> Refused {
    Refused::new(Code::Stopping, Stopping)
}

pub(super) fn storage(error: StoreError) -> Refused {
    let code = match error {
        StoreError::TooLarge { .. } => Code::TooLarge,
        _ => Code::Storage,
    };
    Refused::new(code, error)
}
