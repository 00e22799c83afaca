//! What goes over the API, in both directions. Stable: fields may be added,
//! and whoever reads leaves out those it does not know; nothing else changes
//! while [`API`] stays the same. docs/api.md has an example of each, and a test
//! holds it to this.
//!
//! Digests, keys of releases and names of nodes are text here, as people see
//! them. Points in time are milliseconds since 1970-01-01 UTC by the clock of
//! the node that answers, and come with what that clock shows (`now_ms`).

mod counts;
mod node;
mod progress;
mod release;

use serde::{Deserialize, Serialize};

pub use cluster::release::ReleaseStatus;
pub use counts::{
    Callers, Datagrams, Fetches, Left, Publications, RefusedCallers, RefusedDatagrams,
    RefusedRecords,
};
pub use node::{
    AppFile, Doing, Draining, Failed, Member, MemberCookie, Nodes, Serving, Status, Step, Steps,
    Stored, Target,
};
pub use progress::{NodeState, Outcome, Progress};
pub use release::{Canaries, Draft, Kind, Record, Release, Released, Releases, Rollback, Wanted};

/// The version of all this.
pub const API: u32 = 1;

/// `PUT /v1/components/DIGEST` and `GET` of the same: a component that the node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// [`API`].
    pub api: u32,
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// How many they are.
    pub size: u64,
}

/// Any answer whose status is not 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`API`].
    pub api: u32,
    /// What is wrong, for programs.
    pub code: Code,
    /// The same for people, in a sentence.
    pub reason: String,
    /// The release that it is about, if it is about one.
    pub release: Option<String>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request cannot be understood.
    BadRequest,
    /// There is nothing at this path.
    NotFound,
    /// This cannot be done to what is at this path.
    BadMethod,
    /// The component is larger than may be.
    TooLarge,
    /// The bytes are not those of the digest.
    WrongDigest,
    /// The node does not have the component: upload it first.
    NoComponent,
    /// The component cannot serve.
    BadComponent,
    /// The app is the greatest release already.
    Same,
    /// It is the greatest release already, and is rolled out otherwise.
    OtherPlan,
    /// Another component is the target than was expected.
    Unexpected,
    /// The node's clock is ahead of the others'.
    ClockAhead,
    /// Only signed releases are taken.
    Unsigned,
    /// There is no such release.
    UnknownRelease,
    /// More than one release begins so.
    Ambiguous,
    /// There is nothing to go back to.
    NothingBefore,
    /// The node sees fewer members than were asked for.
    TooFewNodes,
    /// The release cannot be made of these parts.
    BadRelease,
    /// The disk is full, or fails.
    Storage,
    /// Too many ask at once.
    Busy,
    /// The node is stopping.
    Stopping,
    /// A code of a later program.
    #[serde(other)]
    Other,
}

/// One line of `GET /v1/logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts the lines since the start of the node. Where numbers are missing,
    /// lines were lost because more came than are kept.
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// How grave it is.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// What belongs to it, in order.
    pub fields: Vec<(String, String)>,
}

/// How grave a line of the log is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something is odd.
    Warn,
    /// What happens.
    Info,
    /// More of it.
    Debug,
    /// All of it.
    Trace,
}
