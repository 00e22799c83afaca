//! What a node reports of itself and of the members.

use serde::{Deserialize, Serialize};

use super::{
    Callers, Datagrams, Fetches, Left, LogLines, Publications, RefusedRecords, ReleaseStatus,
    TurnedAway,
};

/// `GET /v1/status`: what a node is and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`API`](super::API).
    pub api: u32,
    /// The time on the node's clock.
    pub now_ms: u64,
    /// `NAME@IP`.
    pub node: String,
    /// The version of the program.
    pub version: String,
    /// Its process number (PID).
    pub pid: u32,
    /// When it was started.
    pub started_ms: u64,
    /// Where it serves the app, for example `http://10.10.10.2:8080`.
    pub url: String,
    /// How many members it sees, itself included.
    pub members: usize,
    /// What serves; none if nothing does.
    pub serving: Option<ServingStatus>,
    /// What served before, and still has exchanges.
    pub draining: Option<Draining>,
    /// What the node is busy with.
    pub doing: Option<Doing>,
    /// What failed last, unless something was activated since.
    pub failed: Option<Failed>,
    /// What the node is to serve; none while nothing was released.
    pub target: Option<TargetStatus>,
    /// The app file, if there is one.
    pub file: Option<AppFileStatus>,
    /// The components that are stored.
    pub store: Stored,
    /// How much of its room is used.
    #[serde(default)]
    pub load: Load,
    /// Datagrams of other nodes, since the start.
    pub datagrams: Datagrams,
    /// Records of releases that were refused, since the start.
    #[serde(default)]
    pub records: RefusedRecords,
    /// Callers on the control channel, since the start.
    pub callers: Callers,
    /// Fetches of components from members, since the start.
    #[serde(default)]
    pub fetches: Fetches,
    /// Publications between nodes, since the start.
    #[serde(default)]
    pub publications: Publications,
    /// Lines of the log, since the start of the process.
    #[serde(default)]
    pub log: LogLines,
    /// The public half of the deploy key, if the node accepts only releases that it
    /// signed.
    pub deploy_key: Option<String>,
}

/// How much of the room of a node is used, and who found none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Requests that the app works on.
    pub requests: u64,
    /// How many there may be.
    pub requests_max: u64,
    /// Streams of a `wasi:http` app, each of which holds an instance.
    pub streams: u64,
    /// How many there may be.
    pub streams_max: u64,
    /// Live instances that wait for their next call.
    #[serde(default)]
    pub idle: u64,
    /// Bytes of memory that belong to the process alone.
    pub memory: u64,
    /// How many there may be.
    pub memory_max: u64,
    /// Requests that were answered with 503 because there was no room, since the start.
    pub turned_away: TurnedAway,
}

/// What serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingStatus {
    /// The digest of its component.
    pub digest: String,
    /// Its release; none if no release of that component is known.
    pub release: Option<String>,
    /// The size of the component, in bytes.
    pub size: u64,
    /// Since when it serves.
    pub since_ms: u64,
    /// What the app exports for requests, such as `ace:raxx/server`.
    pub handler: String,
    /// The number of the generation, counted from the start of the node.
    pub generation: u64,
    /// How many exchanges are on it.
    pub live: u64,
    /// Until when this node checks how it does; none once that is over.
    #[serde(default)]
    pub bakes_until_ms: Option<u64>,
    /// How long the steps of the change took.
    pub steps: Steps,
}

/// How long the steps of a change of code took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// From when the file changed until its bytes were read; none if the component
    /// came in another way.
    pub seen_us: Option<u64>,
    /// Fetching the component from members; none if it was on this node.
    pub fetched_us: Option<u64>,
    /// Waiting for room for another generation.
    pub waited_us: u64,
    /// The compiler, or the cache of compiled code.
    pub compiled_us: u64,
    /// Linking, instantiating, checking.
    pub validated_us: u64,
    /// Putting the generation in.
    pub swapped_us: u64,
    /// Until the last exchange had left the generation before; none as long as one
    /// is there.
    pub drained_us: Option<u64>,
}

/// A generation that gets no new exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// The digest of its component.
    pub digest: String,
    /// Since when it drains.
    pub since_ms: u64,
    /// How many exchanges are still on it.
    pub live: u64,
    /// What became of its other exchanges.
    #[serde(flatten)]
    pub left: Left,
}

/// What a node is busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// How far the node is.
    pub step: Step,
    /// The digest of the component.
    pub digest: String,
    /// Its release; none if it is an app file that may become one.
    pub release: Option<String>,
    /// How many bytes were fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<u64>,
    /// How many bytes there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

/// How far a node is with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It fetches the component from other nodes.
    Fetching,
    /// It waits until an earlier generation has drained.
    WaitingForRoom,
    /// It compiles the component and tries whether it works.
    Compiling,
    /// It failed for a reason on that machine, and tries again.
    TryingAgain,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When it failed.
    pub at_ms: u64,
    /// Why, in a sentence.
    pub reason: String,
    /// The digest of the component, if it is known.
    pub digest: Option<String>,
    /// The release; none if it was an app file.
    pub release: Option<String>,
    /// Whether the node tries again.
    pub again: bool,
}

/// What a node is to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The release.
    pub release: String,
    /// The digest of its component.
    pub digest: String,
    /// The greatest release. It is not the target if it bakes on other nodes, or was
    /// voted down.
    pub head: String,
    /// What has become of the head.
    pub head_status: ReleaseStatus,
}

/// The app file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFileStatus {
    /// Where it is.
    pub path: String,
    /// The digest of its content when it was last read; none if it could not be
    /// read.
    pub digest: Option<String>,
    /// Whether the node serves something else.
    pub differs: bool,
}

/// Components that are stored on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// How many.
    pub components: u64,
    /// How many bytes they have together.
    pub bytes: u64,
    /// How many were found damaged and put aside, since the start.
    pub quarantined: u64,
}

/// `GET /v1/nodes`: the members, as the node that answers sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// [`API`](super::API).
    pub api: u32,
    /// The time on the node's clock.
    pub now_ms: u64,
    /// The members, in the order of their addresses.
    pub nodes: Vec<MemberStatus>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// `NAME@IP`.
    pub node: String,
    /// Whether it is the node that answered the request.
    pub me: bool,
    /// Where it serves the app, for example `http://10.10.10.2:8080`.
    pub url: String,
    /// The boot number of its run.
    pub boot: u64,
    /// Since when it has been up without a break.
    pub since_ms: u64,
    /// The digest of what it serves; none if it serves nothing, or if that is not
    /// known.
    pub digest: Option<String>,
    /// The newest release of that component, if one is known.
    pub release: Option<String>,
    /// Whether that is the component that the answering node is to serve.
    pub on_target: bool,
    /// Which part the member has in a release that bakes; none if none bakes.
    #[serde(default)]
    pub bake: Option<BakeRole>,
    /// Whether the member was asked what it does, and has answered. Only then the
    /// next two fields are known.
    #[serde(default)]
    pub answered: bool,
    /// What it is busy with.
    pub doing: Option<Doing>,
    /// What failed last on it.
    pub failed: Option<Failed>,
    /// Which cookies it uses; none until that is known.
    #[serde(default)]
    pub cookie: Option<MemberCookie>,
}

/// Which part a member has in a release that bakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BakeRole {
    /// It is a canary, and serves the release.
    Canary,
    /// It serves the release before until the canaries have voted.
    Waits,
    /// Another part, of a later version of the program, or none.
    #[serde(other)]
    Other,
}

/// Which cookies a member uses, by their key ids: 8 hex digits, which are no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCookie {
    /// The key id of the cookie that it sends with, and also accepts.
    pub sends: String,
    /// The key id of the second cookie that it accepts, while the cluster changes
    /// its cookie.
    pub also: Option<String>,
}
