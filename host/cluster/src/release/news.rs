//! What a node finds out about releases, for its log and for what it serves.

use std::sync::Arc;

use super::DraftError;
use super::mark::AppFile;
use super::record::Release;
use super::target::{Target, VoteState};
use crate::NodeId;

/// What a node finds out about releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This node is to serve something else.
    Target(Target),
    /// A release lost against one that was decided without knowledge of it. That happens when
    /// two people push at once, or on two sides of a network split.
    Superseded {
        /// The release that lost.
        release: Arc<Release>,
        /// The release that won.
        by: Arc<Release>,
    },
    /// The votes on the greatest release changed its state: it bakes, was accepted after a
    /// bake, or was voted down.
    VoteState {
        /// The release.
        release: Arc<Release>,
        /// The new state.
        state: VoteState,
        /// The first few nodes that voted against it.
        against: Vec<NodeId>,
        /// How many nodes voted against it.
        failed: usize,
        /// How many nodes voted for it.
        ok: usize,
    },
    /// The same component was released after the same release with two plans, here and
    /// elsewhere. That is one release, and the plan of the other node wins.
    OtherPlan {
        /// The record with the winning plan.
        holds: Arc<Release>,
        /// The record of this node.
        lost: Arc<Release>,
    },
    /// The time of a record is so far ahead that it is set aside: it is neither stored nor
    /// passed on, and looked at again later.
    SetAside(Arc<Release>),
    /// The stored history has releases that are not signed with the deploy key, which was set
    /// later. This node has forgotten them.
    Forgotten {
        /// How many releases it has forgotten.
        unsigned: u64,
        /// How many releases are signed, and kept.
        kept: usize,
    },
    /// An app file was looked at.
    File {
        /// The file.
        file: AppFile,
        /// The release that it became; none if it is unchanged.
        outcome: Result<Option<Arc<Release>>, DraftError>,
    },
}
