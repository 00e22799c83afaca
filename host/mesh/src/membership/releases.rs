//! Releases for the rest of the host. What is known flows out on a watch channel. Requests go
//! to membership's thread, which alone owns the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::release::{AppFile, DraftError, Listed, Release, ReleaseId, Request, Target, Verdict};
use cluster::{NodeId, NodeName, Serving, Setting, SettingChange, SettingError};
use tokio::sync::{mpsc, oneshot, watch};

use super::settings::SettingsLook;

/// How many requests may wait; further callers are held back.
pub(super) const WANTED: usize = 16;

/// All that this node knows of releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// What this node is to serve; none while nothing was released.
    pub target: Option<Target>,
    /// The releases, the greatest first.
    pub releases: Vec<Listed>,
    /// The nodes that canaries and votes may name: the members when this was last told, and those
    /// that were members until not long before.
    pub names: BTreeMap<NodeId, NodeName>,
}

impl Overview {
    /// A release and its status.
    pub fn get(&self, id: &ReleaseId) -> Option<&Listed> {
        self.releases.iter().find(|it| it.release.id() == *id)
    }
}

/// This node is leaving the cluster, or has left it: no request to it would reach the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is leaving the cluster, and nothing was changed; do it on another node")]
pub struct Stopping;

/// A request to membership's thread.
#[derive(Debug)]
pub(super) enum CoreRequest {
    Draft(Request, oneshot::Sender<Result<Arc<Release>, DraftError>>),
    Publish(Arc<Release>, oneshot::Sender<()>),
    Vote(ReleaseId, Verdict),
    File(AppFile, oneshot::Sender<FileOutcome>),
    /// Make the records of these changes, by this person.
    DraftSettings(Vec<SettingChange>, String, oneshot::Sender<Drafted>),
    /// Take in these records of settings.
    PublishSettings(Vec<Arc<Setting>>, oneshot::Sender<Result<(), SettingError>>),
    LookAtSettings(oneshot::Sender<SettingsLook>),
}

/// The records of some changes, or why there are none.
pub(super) type Drafted = Result<Vec<Arc<Setting>>, SettingError>;

/// The result of an app file: a release, or none if the file is not new, or the reason why it
/// was refused.
pub type FileOutcome = Result<Option<Arc<Release>>, DraftError>;

/// Sees and makes releases. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Releases {
    pub(super) wanted: mpsc::Sender<CoreRequest>,
    pub(super) serving: watch::Sender<Option<Serving>>,
    pub(super) target: watch::Receiver<Option<Target>>,
    pub(super) overview: watch::Receiver<Arc<Overview>>,
}

impl Releases {
    /// What the cluster has agreed that this node is to serve; none while nothing was released.
    pub fn target(&self) -> watch::Receiver<Option<Target>> {
        self.target.clone()
    }

    /// All that is known, always the newest.
    pub fn overview(&self) -> watch::Receiver<Arc<Overview>> {
        self.overview.clone()
    }

    /// Tells the members what this node serves from now on.
    pub fn serves(&self, serving: Serving) {
        self.serving.send_replace(Some(serving));
    }

    /// Makes a release from a request. Nothing changes before it is published.
    ///
    /// # Errors
    /// Says why it is refused; [`Stopping`] if the node ends.
    pub async fn draft(
        &self,
        request: Request,
    ) -> Result<Result<Arc<Release>, DraftError>, Stopping> {
        self.ask(|answer| CoreRequest::Draft(request, answer)).await
    }

    /// Publishes a release, signed or not. When this returns, the release is stored here and
    /// the members were told.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn publish(&self, release: Arc<Release>) -> Result<(), Stopping> {
        self.ask(|answer| CoreRequest::Publish(release, answer))
            .await
    }

    /// Says what this node has found out about a release by serving it. Only a node's first
    /// vote on a release counts. The votes of a leaving node do not count.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn vote(&self, release: ReleaseId, verdict: Verdict) -> Result<(), Stopping> {
        let vote = CoreRequest::Vote(release, verdict);
        self.wanted.send(vote).await.map_err(|_| Stopping)
    }

    /// An app file is there or has changed. Unless the component is known already, this makes a
    /// release. A node that has just started answers after it has heard what the others know.
    /// If two files come at once, only the second counts, and the answer for the first is none.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn file(&self, file: AppFile) -> Result<FileOutcome, Stopping> {
        self.ask(|answer| CoreRequest::File(file, answer)).await
    }

    async fn ask<T>(
        &self,
        want: impl FnOnce(oneshot::Sender<T>) -> CoreRequest,
    ) -> Result<T, Stopping> {
        ask(&self.wanted, want).await
    }
}

/// Asks membership's thread, and waits for the answer.
pub(super) async fn ask<T>(
    wanted: &mpsc::Sender<CoreRequest>,
    want: impl FnOnce(oneshot::Sender<T>) -> CoreRequest,
) -> Result<T, Stopping> {
    let (answer, answered) = oneshot::channel();
    wanted.send(want(answer)).await.map_err(|_| Stopping)?;
    answered.await.map_err(|_| Stopping)
}
