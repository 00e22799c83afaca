//! What goes over the API, in both directions. It is stable: fields may be added,
//! and a reader ignores fields that it does not know. Nothing else changes as long
//! as [`API`] stays the same. docs/api.md has an example of each type, and a test
//! compares it with this code.
//!
//! Digests, release ids and names of nodes are text here, as people see them. Points
//! in time are milliseconds since 1970-01-01 UTC by the clock of the node that
//! answers. Each answer also has the time on that clock (`now_ms`).

mod counts;
mod data;
mod node;
mod progress;
mod release;
mod setting;

use serde::{Deserialize, Serialize};

use cluster::AppName;
pub use cluster::release::{ReleaseKind, ReleaseStatus};
pub use counts::{
    Callers, Datagrams, Fetches, Left, LogLines, Publications, RefusedCallers, RefusedDatagrams,
    RefusedRecords, TurnedAway,
};
pub use data::{DataInfo, DataList, DataWanted, DataWriteWanted, DataWritten};
pub use node::{
    AppFileStatus, BakeRole, Doing, Draining, Failed, Load, MemberCookie, MemberStatus, Nodes,
    ServingStatus, Status, Step, Steps, Stored, TargetStatus,
};
pub use progress::{NodeState, Outcome, Progress, Until};
pub use release::{
    Canaries, Draft, Record, ReleaseInfo, ReleaseList, Released, RollbackWanted, ToUpload, Wanted,
};
pub use setting::{
    SettingInfo, SettingList, SettingRecords, SettingSort, SettingWanted, SettingsWanted,
};

/// The version of these types.
pub const API: u32 = 1;

/// The path of something that belongs to the app, such as `releases`.
pub fn of_app(what: &str) -> String {
    format!("/v1/apps/{}/{what}", AppName::the_only())
}

/// The answer of `PUT /v1/components/DIGEST` and of `GET` there: a component that
/// the node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredComponent {
    /// [`API`].
    pub api: u32,
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// How many bytes it has.
    pub size: u64,
}

/// Any answer whose status is not 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`API`].
    pub api: u32,
    /// What is wrong, for programs.
    pub code: Code,
    /// The reason for people, in a sentence.
    pub reason: String,
    /// The release that the answer is about, if there is one.
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
    /// The method does not fit this path.
    BadMethod,
    /// The component is larger than the limit.
    TooLarge,
    /// The bytes do not have this digest.
    WrongDigest,
    /// The node does not have the component: upload it first.
    NoComponent,
    /// The component cannot serve.
    BadComponent,
    /// The component is that of the greatest release already.
    Same,
    /// The component is that of the greatest release already, with another rollout
    /// plan.
    OtherPlan,
    /// The component was voted down when it was last released.
    VotedDown,
    /// The component cannot take over streams that are open on the node.
    OpenStreams,
    /// Another component is the target than the request expects.
    Unexpected,
    /// The node's clock is ahead of the others'.
    ClockAhead,
    /// The node accepts only signed releases.
    Unsigned,
    /// There is no such release.
    UnknownRelease,
    /// More than one release id begins with this.
    Ambiguous,
    /// There is nothing to go back to.
    NothingBefore,
    /// The node sees fewer members than the request demands.
    TooFewNodes,
    /// These parts make no valid release.
    BadRelease,
    /// The setting cannot be.
    BadSetting,
    /// Nothing is set under this name, or there is no such key.
    NotSet,
    /// The disk is full, or fails; or the key-value store is full.
    Storage,
    /// Too many requests come at once.
    Busy,
    /// The node is stopping.
    Stopping,
    /// A code of a later version of the program.
    #[serde(other)]
    Other,
}

/// One line of `GET /v1/logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Numbers the lines since the start of the node. If numbers are missing, those
    /// lines were lost because more came than are kept.
    pub seq: u64,
    /// When it was written.
    pub at_ms: u64,
    /// How severe it is.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Its fields, in order.
    pub fields: Vec<(String, String)>,
}

/// How severe a line of the log is; the most severe comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something is odd.
    Warn,
    /// Something normal happens.
    Info,
    /// More details.
    Debug,
    /// All details.
    Trace,
}
