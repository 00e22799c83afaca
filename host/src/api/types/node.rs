//! What a node says of itself and of the members.

use serde::{Deserialize, Serialize};

use super::{Callers, Datagrams, Fetches, Left, Publications, RefusedRecords, ReleaseStatus};

/// `GET /v1/status`: what a node is and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`API`](super::API).
    pub api: u32,
    /// What the node's clock shows.
    pub now_ms: u64,
    /// `NAME@IP`.
    pub node: String,
    /// The version of the program.
    pub version: String,
    /// The number of its process.
    pub pid: u32,
    /// When it was started.
    pub started_ms: u64,
    /// Where it serves the app, for example `http://10.10.10.2:8080`.
    pub url: String,
    /// How many members it sees, itself included.
    pub members: usize,
    /// What serves; none while nothing does.
    pub serving: Option<Serving>,
    /// What served before and still has exchanges.
    pub draining: Option<Draining>,
    /// What the node is busy with.
    pub doing: Option<Doing>,
    /// What failed last, unless something was activated since.
    pub failed: Option<Failed>,
    /// What the node is to serve; none while nothing was released.
    pub target: Option<Target>,
    /// The file of `--app`, if there is one.
    pub file: Option<AppFile>,
    /// Apps that are stored.
    pub store: Stored,
    /// Datagrams of other nodes, since the start.
    pub datagrams: Datagrams,
    /// Records of releases that were refused, since the start.
    #[serde(default)]
    pub records: RefusedRecords,
    /// Callers on the control channel, since the start.
    pub callers: Callers,
    /// Apps that were fetched from members, since the start.
    #[serde(default)]
    pub fetches: Fetches,
    /// What apps published, between nodes, since the start.
    #[serde(default)]
    pub publications: Publications,
    /// The public half of the deploy key, if only releases that it signed are
    /// taken.
    pub deploy_key: Option<String>,
}

/// What serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The app.
    pub digest: String,
    /// Its release; none if it is known as none.
    pub release: Option<String>,
    /// The size of the app, in bytes.
    pub size: u64,
    /// Since when.
    pub since_ms: u64,
    /// What the app exports for requests, such as `ace:raxx/server`.
    pub handler: String,
    /// The how-manieth app it is since the start.
    pub generation: u64,
    /// How many exchanges are on it now.
    pub live: u64,
    /// What the change to it took.
    pub steps: Steps,
}

/// How long the steps of a change of code took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// From when the file changed, until its bytes were read; none if it came in
    /// another way.
    pub seen_us: Option<u64>,
    /// Getting it from members; none if it was on this node.
    pub fetched_us: Option<u64>,
    /// Until there was room for another generation.
    pub waited_us: u64,
    /// The compiler, or the cache of compiled code.
    pub compiled_us: u64,
    /// Linking, instantiating, checking.
    pub validated_us: u64,
    /// The change itself.
    pub swapped_us: u64,
    /// Until the last exchange had left the code before; none until then.
    pub drained_us: Option<u64>,
}

/// An app that new exchanges do not go to any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// The app.
    pub digest: String,
    /// Since when.
    pub since_ms: u64,
    /// How many exchanges are on it still.
    pub live: u64,
    /// What became of the others.
    #[serde(flatten)]
    pub left: Left,
}

/// What a node is busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// How far it is.
    pub step: Step,
    /// The app.
    pub digest: String,
    /// Its release; none if it is a file that may become one.
    pub release: Option<String>,
    /// Bytes that are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<u64>,
    /// Bytes that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

/// How far a node is with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It gets the app from other nodes.
    Fetching,
    /// It waits until an earlier app has drained.
    WaitingForRoom,
    /// It compiles the app and tries whether it works.
    Compiling,
    /// It failed for a reason on that machine, and tries again.
    TryingAgain,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub at_ms: u64,
    /// Why, in a sentence.
    pub reason: String,
    /// The app, if it is known.
    pub digest: Option<String>,
    /// The release; none if it was a file.
    pub release: Option<String>,
    /// Whether the node tries again.
    pub again: bool,
}

/// What a node is to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The release.
    pub release: String,
    /// Its app.
    pub digest: String,
    /// The greatest release: another one while that bakes elsewhere, or was
    /// voted down.
    pub head: String,
    /// What has become of the head.
    pub head_status: ReleaseStatus,
}

/// The file of `--app`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFile {
    /// Where it is.
    pub path: String,
    /// What was in it when it was last read; none if it could not be read.
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
    /// What the node's clock shows.
    pub now_ms: u64,
    /// In the order of their addresses.
    pub nodes: Vec<Member>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `NAME@IP`.
    pub node: String,
    /// Whether it is the node that answers.
    pub me: bool,
    /// Where it serves the app, for example `http://10.10.10.2:8080`.
    pub url: String,
    /// The number of its run.
    pub boot: u64,
    /// Since when it is seen up without a break.
    pub since_ms: u64,
    /// What it serves; none while nothing, or while that is not known.
    pub digest: Option<String>,
    /// The newest release of that app, if one is known.
    pub release: Option<String>,
    /// Whether that is the app which the node that answers is to serve.
    pub on_target: bool,
    /// Whether it was asked what it does, and has answered; only then the two
    /// that follow are known.
    #[serde(default)]
    pub answered: bool,
    /// What it is busy with.
    pub doing: Option<Doing>,
    /// What failed there last.
    pub failed: Option<Failed>,
    /// Which cookies it uses; none until that is known.
    #[serde(default)]
    pub cookie: Option<MemberCookie>,
}

/// Which cookies a member uses, by their key ids: 8 hex digits, which are no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCookie {
    /// The one that it sends with. It accepts this one too.
    pub sends: String,
    /// The second one that it accepts, while the cluster changes its cookie.
    pub also: Option<String>,
}
