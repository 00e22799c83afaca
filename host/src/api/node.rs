//! What the API needs of a node: the boundary to the rest of the host, and to the
//! node that the tests make.

use std::pin::Pin;
use std::sync::Arc;

use cluster::data::DataStore;
use cluster::release::{Component, DraftError, Release, Request};
use cluster::{ComponentBytes, Digest, Setting, SettingChange};
use mesh::membership::SettingsLook;

use super::types::{self as api, Code};

/// An operation that takes some time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a node refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// The reason for programs.
    pub code: Code,
    /// The reason for people, in a sentence.
    pub reason: String,
}

impl Refused {
    /// A refusal.
    pub fn new(code: Code, reason: impl ToString) -> Refused {
        Refused {
            code,
            reason: reason.to_string(),
        }
    }
}

/// A node, as the API sees it.
///
/// The methods return copies of what is known at that moment. They cost little.
pub trait NodeApi: Send + Sync + 'static {
    /// What the node is and does.
    fn status(&self) -> api::Status;

    /// The members that the node sees. If `about` is the id of a release, members may
    /// be asked what they do about it; that takes some milliseconds.
    fn nodes(&self, about: Option<&str>) -> Later<'_, Vec<api::MemberStatus>>;

    /// The releases, the greatest first.
    fn releases(&self) -> Vec<api::ReleaseInfo>;

    /// Ends when any of this may have changed after this call.
    fn changed(&self) -> Later<'static, ()>;

    /// Stores a component, and checks that it could serve here. Nothing serves it
    /// before it is released.
    fn store(&self, component: ComponentBytes) -> Later<'_, Result<(), Refused>>;

    /// How a record describes a stored component; none if it is not stored.
    fn find(&self, digest: Digest) -> Later<'_, Result<Option<Component>, Refused>>;

    /// Makes a release. Nothing changes before it is published.
    fn draft(
        &self,
        request: Request,
    ) -> Later<'_, Result<Result<Arc<Release>, DraftError>, Refused>>;

    /// Publishes a release, signed or not. When this ends, the release is stored here
    /// and the members were told; or it was refused because a signature is missing.
    fn publish(&self, release: Arc<Release>) -> Later<'_, Result<(), Refused>>;

    /// What is set for the app.
    fn settings(&self) -> Later<'_, Result<SettingsLook, Refused>>;

    /// Makes the records of some changes. Nothing changes before they are published.
    fn draft_settings(
        &self,
        changes: Vec<SettingChange>,
        by: String,
    ) -> Later<'_, Result<Vec<Arc<Setting>>, Refused>>;

    /// Takes in records of settings, signed or not. When this ends, they are stored here and the
    /// members were told; or they were refused.
    fn publish_settings(&self, records: Vec<Arc<Setting>>) -> Later<'_, Result<(), Refused>>;

    /// The key-value data.
    fn data(&self) -> &DataStore;
}
