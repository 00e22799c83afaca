//! The request for a release, and the record that is made from it, or the reason why none is
//! made. Nothing is stored here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::check::ReleaseError;
use super::record::{Component, Parts, Plan, Release};
use super::set::ReleaseSet;
use super::target::{Target, VoteState, serves_now, target, vote_state};
use super::{IdPrefix, ReleaseId, ReleaseKind};
use crate::{AppName, Digest};

/// A node whose wall clock is further ahead of the members' median than this decides nothing.
/// Otherwise its decision would be above all decisions of the others until their clocks get
/// there.
const AHEAD_MAX_MS: i64 = 500;

/// How many of the releases with the same prefix are named.
const CANDIDATES: usize = 8;

/// A request for a release.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be released.
    pub what: What,
    /// The name of the requester, to show to people.
    pub by: String,
    /// The requester's note about it.
    pub note: String,
    /// Refuse unless this component is the target.
    pub expect: Option<Digest>,
    /// Whether a component may be released that was voted down before.
    pub again: bool,
}

/// What is to be released.
#[derive(Clone, Debug)]
pub enum What {
    /// A new component.
    Push {
        /// The component.
        component: Component,
        /// The plan of the rollout.
        plan: Plan,
    },
    /// An earlier release.
    Rollback(RollbackTo),
}

/// What to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// The target before this one that was neither voted down nor rolled back, as far as that
    /// is still known.
    Previous,
    /// To this release.
    Release(IdPrefix),
}

/// Why nothing is released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// This node's clock is ahead of the others'.
    #[error(
        "this machine's clock is {0} ms ahead of the other members', and at most {AHEAD_MAX_MS} ms \
         are allowed, since what it releases would outrank what they release later; \
         set the clock (is NTP running?), or do it on another node"
    )]
    ClockAhead(i64),
    /// The component is the newest release already.
    #[error("this app is already release {0}; there is nothing to do")]
    Same(ReleaseId),
    /// The component was voted down when it was last released.
    #[error(
        "this app was voted down as release {0}: look at `host releases` and the log for the reason; \
         to release it once more, push it with --again"
    )]
    VotedDown(ReleaseId),
    /// The component is the newest release already, with another rollout plan than the
    /// requested one.
    #[error(
        "this app is already release {release}, and goes to {plan}: that plan holds; \
         to change it, roll back and push again"
    )]
    OtherPlan {
        /// The newest release.
        release: ReleaseId,
        /// Its rollout plan.
        plan: Plan,
    },
    /// The target is not the component that the caller expects.
    #[error("the target is not the expected component: it is {}", short(.0))]
    Unexpected(Option<Digest>),
    /// No release has this prefix.
    #[error("no release in the history begins with {0}")]
    Unknown(IdPrefix),
    /// More than one release has this prefix.
    #[error("more than one release begins with {prefix}: {}; give more digits", ids(.found, *.more))]
    Ambiguous {
        /// The prefix.
        prefix: IdPrefix,
        /// The releases with this prefix, the newest first, but only the first few.
        found: Vec<ReleaseId>,
        /// How many more there are.
        more: usize,
    },
    /// There is no earlier release.
    #[error("there is no earlier release to go back to")]
    NothingBefore,
    /// Only signed releases are accepted here.
    #[error(
        "nodes of this cluster take only releases that are signed with the deploy key; \
         push it with `host push --sign-with FILE`"
    )]
    Unsigned,
    /// The parts do not make a release.
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

fn short(digest: &Option<Digest>) -> String {
    match digest {
        Some(digest) => digest.to_string().chars().take(12).collect(),
        None => "none yet, since nothing was released".to_owned(),
    }
}

fn ids(found: &[ReleaseId], more: usize) -> String {
    let mut ids: Vec<String> = found.iter().map(ReleaseId::to_string).collect();
    if more > 0 {
        ids.push(format!("{more} more"));
    }
    ids.join(", ")
}

impl ReleaseSet {
    /// Makes a release from a request, without storing it. `ahead_ms`: how far this node's
    /// clock is ahead of the members'.
    pub(crate) fn draft(
        &self,
        request: Request,
        wall_ms: u64,
        ahead_ms: Option<i64>,
    ) -> Result<Arc<Release>, DraftError> {
        if let Some(ahead) = ahead_ms.filter(|ahead| *ahead > AHEAD_MAX_MS) {
            return Err(DraftError::ClockAhead(ahead));
        }
        let target = self.target();
        let serves = target.as_ref().map(|target| target.digest);
        if request.expect.is_some() && request.expect != serves {
            return Err(DraftError::Unexpected(serves));
        }
        let head = self.history.head();
        let (kind, component, plan) = match request.what {
            What::Push { component, plan } => (ReleaseKind::Push, component, plan),
            What::Rollback(to) => (
                ReleaseKind::Rollback,
                self.component_of(&to)?,
                Plan::default(),
            ),
        };
        // A head that was voted down may be tried again, by whoever says so.
        if kind == ReleaseKind::Push
            && !request.again
            && let Some(release) = self.voted_down(&component.digest)
        {
            return Err(DraftError::VotedDown(release));
        }
        let stands = target.is_some_and(|target| target.head_state != VoteState::VotedDown);
        if let Some(head) =
            head.filter(|head| stands && head.component().digest == component.digest)
        {
            let release = head.id();
            let replanned = kind == ReleaseKind::Push && *head.plan() != plan;
            // Once all canaries have voted for it, it goes to all nodes either way.
            let moot =
                plan.canaries.is_empty() && vote_state(head, &self.votes) == VoteState::Accepted;
            return Err(match head.plan().clone() {
                plan if replanned && !moot => DraftError::OtherPlan { release, plan },
                _ => DraftError::Same(release),
            });
        }
        // What the nodes that are no canaries serve, since the bake may fail. A rollback to just
        // that component does not leave it.
        let base = serves_now(&self.history, &self.votes, None)
            .filter(|base| head.is_some_and(|head| head.id() != base.id))
            .filter(|base| kind != ReleaseKind::Rollback || base.digest != component.digest);
        Ok(Release::new(&Parts {
            app: AppName::the_only(),
            cluster: self.cluster(),
            kind,
            at: self.clock.tick(wall_ms),
            node: self.me.clone(),
            parent: head.map(|head| head.as_parent()),
            component,
            by: request.by,
            note: request.note,
            plan,
            base,
        })?)
    }

    /// The newest release of a component, if that was voted down.
    fn voted_down(&self, component: &Digest) -> Option<ReleaseId> {
        let mut newest = self.history.newest();
        let last = newest.find(|release| release.component().digest == *component)?;
        (vote_state(last, &self.votes) == VoteState::VotedDown).then(|| last.id())
    }

    fn component_of(&self, to: &RollbackTo) -> Result<Component, DraftError> {
        match to {
            RollbackTo::Release(prefix) => {
                let found = self.history.newest().filter(|r| prefix.matches(&r.id()));
                let found: Vec<&Arc<Release>> = found.collect();
                match found[..] {
                    [one] => Ok(one.component()),
                    [] => Err(DraftError::Unknown(prefix.clone())),
                    _ => Err(DraftError::Ambiguous {
                        prefix: prefix.clone(),
                        found: found.iter().take(CANDIDATES).map(|r| r.id()).collect(),
                        more: found.len().saturating_sub(CANDIDATES),
                    }),
                }
            }
            RollbackTo::Previous => {
                // Every node must compute the same, so the result does not depend on what this
                // node serves. If the head bakes or was voted down, a rollback goes to what the
                // nodes that are no canaries serve.
                let everyone = target(&self.history, &self.votes, None);
                let Some(Target { release, head, .. }) = everyone else {
                    return Err(DraftError::NothingBefore);
                };
                if let Some(release) = release.filter(|release| release.id() != head.id()) {
                    return Ok(release.component());
                }
                let serves = Some(head.component().digest);
                let mut at = Some(head);
                // The component that is served, and those that rollbacks left for it.
                let mut left: BTreeSet<Digest> = serves.into_iter().collect();
                // Each step goes to an earlier release, so the loop ends. Where votes are
                // forgotten, it takes only a release that was the target when the next one was
                // decided.
                let hindsight = self.history.hindsight();
                let oldest_voted = self.history.oldest_voted();
                let mut is_last = false;
                while let Some(release) = at.filter(|_| !is_last) {
                    let id = release.id();
                    let is_old = Some(release.stamp()) < oldest_voted;
                    let passed = is_old && hindsight.was_passed_over(&id);
                    is_last = is_old && !passed;
                    if release.kind() == ReleaseKind::Rollback {
                        let parent = release.parent();
                        left.extend(parent.map(|parent| parent.digest));
                        left.extend(release.base().map(|base| base.digest));
                    }
                    let good = vote_state(&release, &self.votes) != VoteState::VotedDown
                        && !passed
                        && hindsight.undone_by(&id).is_none();
                    if good && !left.contains(&release.component().digest) {
                        return Ok(release.component());
                    }
                    let base = release.base();
                    at = base.and_then(|base| self.history.get(&base.id).cloned());
                }
                Err(DraftError::NothingBefore)
            }
        }
    }
}
