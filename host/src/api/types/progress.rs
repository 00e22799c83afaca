//! The lines that follow a release until it is decided.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Release, ReleaseStatus};

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
        status: ReleaseStatus,
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
        /// The target instead.
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
    /// It compiles the app and tries whether it works.
    Compiling,
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
