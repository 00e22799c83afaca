//! What goes over the API, in both directions. Stable: fields may be added,
//! and whoever reads leaves out those it does not know; nothing else changes
//! while [`API`] stays the same. docs/api.md has an example of each, and a test
//! holds it to this.
//!
//! Digests, keys of releases and names of nodes are text here, as people see
//! them. Points in time are milliseconds since 1970-01-01 UTC by the clock of
//! the node that answers, and come with what that clock shows (`now_ms`).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The version of all this.
pub const API: u32 = 1;

/// `GET /v1/status`: what a node is and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`API`].
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
    /// Where it serves the app, as `ADDR:PORT`.
    pub http: String,
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
    pub in_force: Option<InForce>,
    /// The file of `--app`, if there is one.
    pub file: Option<AppFile>,
    /// Apps that are stored.
    pub store: Stored,
    /// Datagrams of other nodes, since the start.
    pub datagrams: Datagrams,
    /// Callers on the control channel, since the start.
    pub callers: Callers,
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
    /// From when the file changed or the release came, until its bytes were
    /// read; none where that was not measured.
    pub seen_us: Option<u64>,
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
    /// How many went over to the new code.
    pub carried: u64,
    /// How many could not, and were asked to end.
    pub refused: u64,
    /// How many were ended because their time was over.
    pub cut: u64,
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
    /// It compiles the app.
    Compiling,
    /// It tries whether the app works.
    Validating,
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
pub struct InForce {
    /// The release.
    pub release: String,
    /// Its app.
    pub digest: String,
    /// The greatest release: another one while that bakes elsewhere, or was
    /// voted down.
    pub head: String,
    /// What has become of the head.
    pub head_standing: Standing,
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

/// Apps that are stored on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// How many.
    pub apps: u64,
    /// How many bytes they have together.
    pub bytes: u64,
    /// How many were found damaged and put aside, since the start.
    pub quarantined: u64,
}

/// Datagrams that came in, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    /// Accepted.
    pub accepted: u64,
    /// From nodes that had not proven to be live.
    pub probation: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
    /// Refused for another cookie, or forged.
    pub wrong_cookie: u64,
    /// Seen before.
    pub replayed: u64,
    /// Releases that the deploy key has not signed.
    pub unsigned: u64,
    /// Not sent, since the system did not take them.
    pub unsent: u64,
}

/// Callers on the control channel, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callers {
    /// They proved that they know the cookie.
    pub admitted: u64,
    /// The rest.
    pub refused: u64,
}

/// `GET /v1/nodes`: the members, as the node that answers sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// [`API`].
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
    /// Where it serves the app, as `ADDR:PORT`.
    pub http: String,
    /// The number of its run.
    pub boot: u64,
    /// Since when it is seen up without a break.
    pub since_ms: u64,
    /// What it serves; none while nothing, or while that is not known.
    pub digest: Option<String>,
    /// The newest release of that app, if one is known.
    pub release: Option<String>,
    /// Whether that is the app which the node that answers is to serve.
    pub in_force: bool,
    /// What it is busy with, as far as is known.
    pub doing: Option<Doing>,
    /// What failed there last, as far as is known.
    pub failed: Option<Failed>,
}

/// `GET /v1/releases`: what is known of releases, the greatest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// [`API`].
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
    pub key: String,
    /// How it came about.
    pub kind: Kind,
    /// What has become of it.
    pub standing: Standing,
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
    pub canaries: Vec<Ipv4Addr>,
    /// How long it is watched before a node votes for it, in milliseconds.
    pub bake_ms: u32,
    /// Whether it has a signature.
    pub signed: bool,
    /// Who voted for it, by IP.
    pub votes_for: Vec<Ipv4Addr>,
    /// Who voted against it.
    pub votes_against: Vec<Ipv4Addr>,
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

/// What has become of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The node that answers is to serve it.
    InForce,
    /// Its canaries try it out.
    Baking,
    /// Nodes voted it down: what it follows is in force.
    VotedDown,
    /// Somebody went back from it.
    RolledBack,
    /// It lost against one that was decided without knowing it.
    Superseded,
    /// Others came after it.
    Earlier,
}

/// `PUT /v1/apps/DIGEST` and `GET` of the same: an app that the node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// [`API`].
    pub api: u32,
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// How many they are.
    pub size: u64,
}

/// `POST /v1/releases` and `POST /v1/drafts`: what is to be released. Either
/// `app` or `rollback` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// The digest of an app that the node has.
    pub app: Option<String>,
    /// What to go back to.
    pub rollback: Option<Rollback>,
    /// Who wants it.
    pub by: String,
    /// What they say about it.
    pub note: String,
    /// Refuse unless this app is in force.
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
    /// What was in force before, and was neither voted down nor rolled back.
    Previous,
    /// The release whose key begins so.
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
    /// [`API`].
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
    /// [`API`].
    pub api: u32,
    /// The release.
    pub release: Release,
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
    /// The app is larger than may be.
    TooLarge,
    /// The bytes are not those of the digest.
    WrongDigest,
    /// The node does not have the app: upload it first.
    NoApp,
    /// The app cannot serve.
    BadApp,
    /// The app is the greatest release already.
    Same,
    /// It is the greatest release already, and is rolled out otherwise.
    OtherPlan,
    /// Another app is in force than was expected.
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

/// One line of `GET /v1/releases/KEY/progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Progress {
    /// What one member does about the release now. Each member comes at
    /// first, and again whenever this changes.
    Node {
        /// `NAME@IP`.
        node: String,
        /// What it does.
        state: NodeState,
        /// Bytes that are fetched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        have: Option<u64>,
        /// Bytes that there are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A member is gone.
    Gone {
        /// `NAME@IP`.
        node: String,
    },
    /// What has become of the release, at first and whenever it changes.
    Release {
        /// What has become of it.
        standing: Standing,
        /// While it bakes: the canaries that have not voted, by IP.
        waits_for: Vec<Ipv4Addr>,
    },
    /// Nothing has changed for a while; it says that the node is there.
    Waiting,
    /// The last line.
    Done {
        /// How it ended.
        outcome: Outcome,
        /// Members that could not take it, by name or else IP, each with the
        /// reason if it is known.
        failed: Vec<(String, Option<String>)>,
        /// What is in force instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<Release>,
    },
}

/// What a member does about a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It has not said anything about it yet.
    Waiting,
    /// It is no canary: it serves what it served until the canaries have voted.
    NotYet,
    /// It gets the app from other nodes.
    Fetching,
    /// It waits until an earlier app has drained.
    WaitingForRoom,
    /// It compiles the app.
    Compiling,
    /// It tries whether the app works.
    Validating,
    /// It failed for a reason on that machine, and tries again.
    TryingAgain,
    /// It serves it.
    Serving,
    /// It cannot serve it.
    Failed,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every member serves it.
    Served,
    /// It was voted down, or some members cannot serve it and the rest does.
    Failed,
    /// Another release is ahead of it.
    Superseded,
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
