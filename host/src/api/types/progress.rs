//! The lines of the stream that follows a release until it is decided.

use serde::{Deserialize, Serialize};

use super::{ReleaseInfo, ReleaseStatus};

/// One line of `GET /v1/apps/APP/releases/ID/progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Progress {
    /// What one member does about the release now. At first there is a line for
    /// each member, then one whenever this changes.
    Node {
        /// `NAME@IP`.
        node: String,
        /// What it does.
        state: NodeState,
        /// Whether it serves the release and has not voted on it yet.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        bakes: bool,
        /// How many bytes it has fetched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        have: Option<u64>,
        /// How many bytes there are.
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
    /// What has become of the release: at first, and whenever it changes.
    Release {
        /// What has become of it.
        status: ReleaseStatus,
        /// While the release bakes: the canaries that have not voted, by IP.
        waits_for: Vec<String>,
    },
    /// Nothing has changed for a while. This line shows that the node is still
    /// there.
    Waiting,
    /// The last line.
    Done {
        /// How it ended.
        outcome: Outcome,
        /// Members that could not serve it, by name or else by IP, each with
        /// the reason if it is known.
        failed: Vec<(String, Option<String>)>,
        /// The release that is the target instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<ReleaseInfo>,
        /// For how long it still bakes, in milliseconds: all members serve it, and those
        /// that it fails on will vote against it. None once all have voted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bakes_ms: Option<u64>,
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
    /// It fetches the component from other nodes.
    Fetching,
    /// It waits until an earlier generation has drained.
    WaitingForRoom,
    /// It compiles the component and tries whether it works.
    Compiling,
    /// It failed for a reason on that machine, and tries again.
    TryingAgain,
    /// It serves the component.
    Serving,
    /// It cannot serve the component.
    Failed,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every member serves it.
    Served,
    /// It was left: voted down, or rolled back. Or some members cannot serve it, and all
    /// others do.
    Failed,
    /// A greater release took its place.
    Superseded,
}

/// How long a release is followed, unless it is left before: the parameter `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until every member serves it.
    Served,
    /// Until every member that serves it has voted on it.
    Verdict,
}

impl Until {
    /// Its name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Until::Served => "served",
            Until::Verdict => "verdict",
        }
    }
}
