//! What of a node the API needs: the seam to the rest of the host, and to the
//! node that the tests make up.

use std::pin::Pin;
use std::sync::Arc;

use cluster::release::{Component, DraftError, Release, Request};
use cluster::{ComponentBytes, Digest};

use super::types::{self as api, Code};

/// Something that takes its time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a node does not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// For programs.
    pub code: Code,
    /// For people, in a sentence.
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
/// What is told is a copy of what is known at that moment, and costs little.
pub trait NodeApi: Send + Sync + 'static {
    /// What it is and does.
    fn status(&self) -> api::Status;

    /// The members that it sees. What they do about the release with this id
    /// may be asked of them; that takes some milliseconds.
    fn nodes(&self, about: Option<&str>) -> Later<'_, Vec<api::Member>>;

    /// The releases, the greatest first.
    fn releases(&self) -> Vec<api::Release>;

    /// Ends when anything of this may have changed after this call.
    fn changed(&self) -> Later<'static, ()>;

    /// Stores a component, and makes sure that it could serve here. Nothing serves it
    /// before it is released.
    fn store(&self, component: ComponentBytes) -> Later<'_, Result<(), Refused>>;

    /// What a record says of a component that is stored.
    fn find(&self, digest: Digest) -> Later<'_, Result<Option<Component>, Refused>>;

    /// Makes a release. Nothing changes before it is published.
    fn draft(
        &self,
        request: Request,
    ) -> Later<'_, Result<Result<Arc<Release>, DraftError>, Refused>>;

    /// Publishes a release, signed or not. When this ends, it is stored here
    /// and was told to the members; or it was refused for want of a signature.
    fn publish(&self, release: Arc<Release>) -> Later<'_, Result<(), Refused>>;
}
