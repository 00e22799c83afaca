//! Releases: what is known of them, and what a request for one says.

use super::{ReleaseKind, ReleaseStatus};
use serde::{Deserialize, Serialize};

/// `GET /v1/apps/APP/releases`: what is known of releases, the greatest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseList {
    /// [`API`](super::API).
    pub api: u32,
    /// The time on the node's clock.
    pub now_ms: u64,
    /// The releases.
    pub releases: Vec<ReleaseInfo>,
}

/// A release, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseInfo {
    /// Its id: 32 hex digits. People see the first ten.
    pub id: String,
    /// How it came about.
    pub kind: ReleaseKind,
    /// What has become of it.
    pub status: ReleaseStatus,
    /// The digest of its component.
    pub digest: String,
    /// The size of the component, in bytes.
    pub size: u64,
    /// When it was decided, by the clock of the node that decided.
    pub at_ms: u64,
    /// The node that decided it.
    pub node: String,
    /// Who made it; empty if it was a file.
    pub by: String,
    /// The note of whoever made it.
    pub note: String,
    /// The release that it follows; none for the first.
    pub parent: Option<String>,
    /// The nodes that serve it first, by IP; none if all do at once.
    pub canaries: Vec<String>,
    /// How long a node watches it before it votes for it, in milliseconds; 0 if each
    /// node's `--revert-on-errors` says it.
    pub bake_ms: u32,
    /// Whether nodes serve it even if it cannot take over their open streams.
    #[serde(default)]
    pub drop_streams: bool,
    /// Whether it has a signature.
    pub signed: bool,
    /// The nodes that voted for it, by IP.
    pub votes_for: Vec<String>,
    /// The nodes that voted against it, by IP.
    pub votes_against: Vec<String>,
}

/// `POST /v1/apps/APP/releases` and `POST /v1/apps/APP/drafts`: the release that is wanted.
/// Either `component` or `rollback` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// The digest of a component that the node has.
    pub component: Option<String>,
    /// What the component is, for a draft of one that is uploaded after the record
    /// was signed.
    pub upload: Option<ToUpload>,
    /// The release to go back to.
    pub rollback: Option<RollbackWanted>,
    /// Who makes it.
    pub by: String,
    /// A note about it.
    pub note: String,
    /// Refuse unless this component is the target.
    pub expect: Option<String>,
    /// Refuse unless the node sees at least this number of members, itself
    /// included.
    pub min_nodes: usize,
    /// The nodes that serve it first; none for all at once.
    pub canaries: Option<Canaries>,
    /// How long a node watches it before it votes for it, in milliseconds; 0 for as long
    /// as each node's `--revert-on-errors` says.
    pub bake_ms: u32,
    /// Release it even if the component was voted down before.
    pub again: bool,
    /// Serve it even if it cannot take over open streams, which end then.
    pub drop_streams: bool,
}

/// A component that is uploaded later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToUpload {
    /// Its size, in bytes.
    pub size: u64,
    /// The digest of its manifest: of the digests of its chunks of 256 KiB, one after
    /// the other.
    pub manifest: String,
}

/// The release to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackWanted {
    /// The earlier target that was neither voted down nor rolled back.
    Previous,
    /// The release whose id begins with this.
    To(String),
}

/// How many nodes serve a release first. The node chooses those with the lowest
/// addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Canaries {
    /// This number of members.
    Count(u32),
    /// This percentage of the members, and at least one.
    Percent(u32),
}

/// The answer of `POST /v1/apps/APP/drafts`: a record to be signed, and to be sent to
/// `POST /v1/apps/APP/records`. Nothing changes before that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// [`API`](super::API).
    pub api: u32,
    /// The bytes of the record, in hex.
    pub record: String,
}

/// `POST /v1/apps/APP/records`: a record to be released, signed or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The bytes of the record, in hex.
    pub record: String,
}

/// The answer of `POST /v1/apps/APP/releases` and `POST /v1/apps/APP/records`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// [`API`](super::API).
    pub api: u32,
    /// The release.
    pub release: ReleaseInfo,
}
