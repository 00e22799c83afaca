//! The members at one moment, as everything outside of membership sees them.

use serde::{Deserialize, Serialize};

use crate::release::ReleaseId;
use crate::{AppName, Boot, Digest, HttpUrl, KeyIds, NodeName};

/// An app, and the release and component of it that a node serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The app.
    pub app: AppName,
    /// The release under which the component serves.
    pub release: ReleaseId,
    /// The component.
    pub digest: Digest,
}

/// A node in the cluster as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `NAME@IP`.
    pub name: NodeName,
    /// The boot number of its present run.
    pub boot: Boot,
    /// The URL where it serves the app.
    pub url: HttpUrl,
    /// Since when this node has seen it up without a break, in milliseconds since 1970-01-01
    /// UTC by this node's own clock.
    pub since_ms: u64,
    /// What it serves; none while unknown.
    pub serving: Option<Serving>,
    /// The keys that it uses; none while unknown.
    pub keys: Option<KeyIds>,
}

/// The members at one moment, this node included. Immutable: a change makes a new view, with a
/// greater version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Counts the changes that this node has seen since it started. It means nothing to other
    /// nodes.
    pub version: u64,
    /// Sorted by IP, then by name.
    pub members: Vec<Member>,
}

impl Serving {
    /// This component of the only app, under this release.
    pub fn the_only(release: ReleaseId, digest: Digest) -> Self {
        Self {
            app: AppName::the_only(),
            release,
            digest,
        }
    }

    /// This component of the only app, before any release of it is known: under the release
    /// that a node makes if it bootstraps the cluster with it.
    pub fn bootstrap(digest: Digest) -> Self {
        let release = ReleaseId::new(&AppName::the_only(), None, &digest);
        Self::the_only(release, digest)
    }
}

impl Member {
    /// The component that it serves; none while unknown.
    pub fn component(&self) -> Option<Digest> {
        self.serving.as_ref().map(|serving| serving.digest)
    }
}

impl View {
    /// The member with this name, if it is up.
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        let at = self
            .members
            .binary_search_by(|member| member.name.cmp(name))
            .ok()?;
        self.members.get(at)
    }
}
