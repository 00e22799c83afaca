//! Releases: what is known of them, and what is asked for to make one.

use super::ReleaseStatus;
use serde::{Deserialize, Serialize};

/// `GET /v1/releases`: what is known of releases, the greatest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// [`API`](super::API).
    pub api: u32,
    /// What the node's clock shows.
    pub now_ms: u64,
    /// The releases.
    pub releases: Vec<Release>,
}

/// A release, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What it is called: 32 hex digits, of which people see the first ten.
    pub id: String,
    /// How it came about.
    pub kind: Kind,
    /// What has become of it.
    pub status: ReleaseStatus,
    /// The app.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was decided, by the clock of the node that decided.
    pub at_ms: u64,
    /// Which node that was.
    pub node: String,
    /// Who wanted it; empty if it was a file.
    pub by: String,
    /// What they say about it.
    pub note: String,
    /// The release that it follows; none for the first.
    pub parent: Option<String>,
    /// The nodes that serve it first, by IP; none if all do at once.
    pub canaries: Vec<String>,
    /// How long it is watched before a node votes for it, in milliseconds.
    pub bake_ms: u32,
    /// Whether it has a signature.
    pub signed: bool,
    /// Who voted for it, by IP.
    pub votes_for: Vec<String>,
    /// Who voted against it.
    pub votes_against: Vec<String>,
}

/// How a release came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A node started with an app file where nothing was decided yet.
    Bootstrap,
    /// An app was pushed, or a file changed.
    Push,
    /// Somebody went back.
    Rollback,
}

/// `POST /v1/releases` and `POST /v1/drafts`: what is to be released. Either
/// `component` or `rollback` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// The digest of a component that the node has.
    pub component: Option<String>,
    /// What to go back to.
    pub rollback: Option<Rollback>,
    /// Who wants it.
    pub by: String,
    /// What they say about it.
    pub note: String,
    /// Refuse unless this component is the target.
    pub expect: Option<String>,
    /// Refuse unless the node sees so many members, itself included.
    pub min_nodes: usize,
    /// The nodes that serve it first; none for all at once.
    pub canaries: Option<Canaries>,
    /// How long it is watched before a node votes for it, in milliseconds.
    pub bake_ms: u32,
}

/// What to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// What was the target before, and was neither voted down nor rolled back.
    Previous,
    /// The release whose id begins so.
    To(String),
}

/// How many nodes serve a release first. The node chooses them: those with the
/// lowest addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Canaries {
    /// So many.
    Count(u32),
    /// So many of a hundred members, and at least one.
    Percent(u32),
}

/// What `POST /v1/drafts` answers: a record to be signed, and to be given to
/// `POST /v1/records`. Nothing has changed before that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// [`API`](super::API).
    pub api: u32,
    /// Its bytes in hex.
    pub record: String,
}

/// `POST /v1/records`: a record that is to be released, signed or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its bytes in hex.
    pub record: String,
}

/// What `POST /v1/releases` and `POST /v1/records` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// [`API`](super::API).
    pub api: u32,
    /// The release.
    pub release: Release,
}
