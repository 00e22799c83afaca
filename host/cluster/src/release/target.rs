//! The target of a node: a pure function of the records, the votes and the node. A revert is no
//! release of its own; it follows from the votes.

use std::sync::Arc;

use super::history::{Hindsight, History};
use super::record::Parent;
use super::votes::Votes;
use super::{Release, ReleaseId, ReleaseKind, Verdict};
use crate::{Digest, NodeId};

/// The state of a release by its votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteState {
    /// No vote is against it.
    Accepted,
    /// Its canaries have not all voted for it yet.
    Baking,
    /// It was voted down, so the target is the release before it.
    VotedDown,
}

/// What a node is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The release.
    pub id: ReleaseId,
    /// The digest of its component.
    pub digest: Digest,
    /// Its record, if this node has it.
    pub release: Option<Arc<Release>>,
    /// The greatest release. It is not the target while it bakes elsewhere or when it was voted
    /// down.
    pub head: Arc<Release>,
    /// The state of the head by its votes.
    pub head_state: VoteState,
}

/// The state of a release by its votes. Rollbacks are not voted on, since people decided them.
/// A release without a base is not either, since there would be nothing better.
pub(crate) fn vote_state(release: &Release, votes: &Votes) -> VoteState {
    if release.kind() == ReleaseKind::Rollback || release.parent().is_none() {
        return VoteState::Accepted;
    }
    let plan = release.plan();
    let (mut ok, mut failed, mut canaries_ok) = (0, 0, 0);
    for (node, verdict) in votes.of(&release.id()) {
        let canary = plan.has_canary(node);
        match verdict {
            Verdict::Failed if canary => return VoteState::VotedDown,
            Verdict::Failed => failed += 1,
            Verdict::Ok => {
                ok += 1;
                canaries_ok += usize::from(canary);
            }
        }
    }
    if canaries_ok < plan.canaries.len() {
        VoteState::Baking
    } else if failed > ok {
        VoteState::VotedDown
    } else {
        VoteState::Accepted
    }
}

/// What this node, or one that is no canary, is to serve; none while no release is known.
pub(crate) fn target(history: &History, votes: &Votes, node: Option<NodeId>) -> Option<Target> {
    let head = history.head()?;
    let (serves, release) = walk(history, votes, node)?;
    Some(Target {
        id: serves.id,
        digest: serves.digest,
        release: release.cloned(),
        head: head.clone(),
        head_state: vote_state(head, votes),
    })
}

/// Like `target`, in the form in which a follower of the head names it.
pub(crate) fn serves_now(history: &History, votes: &Votes, node: Option<NodeId>) -> Option<Parent> {
    walk(history, votes, node).map(|(serves, _)| serves)
}

/// Walks from the head to the target. Returns its record too, if that is known.
fn walk<'a>(
    history: &'a History,
    votes: &Votes,
    node: Option<NodeId>,
) -> Option<(Parent, Option<&'a Arc<Release>>)> {
    let mut at = history.head()?;
    let (hindsight, oldest_voted) = (history.hindsight(), history.oldest_voted());
    // Each step goes to an earlier release, or from one that was rolled back up to the
    // rollback, where the walk ends. So there are hardly ever this many steps.
    for _ in 0..=2 * history.len() {
        if let Some(rollback) = hindsight.undone_by(&at.id()) {
            // Somebody decided to leave this release, and no vote brings it back.
            at = rollback;
            continue;
        }
        let serves = match vote_state(at, votes) {
            // Votes on earlier releases are forgotten, but their result is not.
            _ if oldest_voted.is_some_and(|oldest| at.stamp() < oldest) => {
                !hindsight.was_passed_over(&at.id())
            }
            VoteState::Accepted => true,
            VoteState::Baking => node.is_some_and(|node| at.plan().has_canary(node)),
            VoteState::VotedDown => false,
        };
        let base = at.base().filter(|_| !serves);
        let Some(base) = base else { break };
        if let Some(rollback) = left_on_the_way(history, &hindsight, at, &base) {
            at = rollback;
            continue;
        }
        let Some(known) = history.get(&base.id) else {
            // Its record is on its way, or was dropped. Its digest is known.
            return Some((base, None));
        };
        at = known;
    }
    Some((at.as_parent(), Some(at)))
}

/// The latest rollback from a release between this one and its base, or from the base: somebody
/// on the other side of a network split may have gone back further.
fn left_on_the_way<'a>(
    history: &History,
    hindsight: &Hindsight<'a>,
    from: &Release,
    base: &Parent,
) -> Option<&'a Arc<Release>> {
    let mut latest = hindsight.undone_by(&base.id);
    let mut parent = from.parent();
    for _ in 0..history.len() {
        let Some(at) = parent.filter(|parent| parent.at > base.at) else {
            break;
        };
        let undone = hindsight.undone_by(&at.id);
        latest = latest.into_iter().chain(undone).max_by_key(|it| it.stamp());
        parent = history.get(&at.id).and_then(|release| release.parent());
    }
    latest
}
