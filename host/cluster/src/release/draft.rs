//! What somebody wants to be released, and the record that is made of it, or why
//! none is. Nothing is taken in here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::{Component, Parts, Plan, Release, ReleaseError};
use super::set::ReleaseSet;
use super::target::{Target, VoteState, serves_now, target, vote_state};
use super::{IdPrefix, Kind, ReleaseId};
use crate::{AppName, Digest};

/// A wall clock that is further ahead of the median of the members' than this
/// decides nothing: what it decided would be above all that the others decide
/// until their clocks are there too.
const AHEAD_MAX_MS: i64 = 500;

/// How many of the releases that begin alike are named.
const CANDIDATES: usize = 8;

/// What somebody wants to be released.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which app.
    pub what: What,
    /// Who wants it, to be shown to people.
    pub by: String,
    /// What they say about it.
    pub note: String,
    /// Refuse unless this component is the target.
    pub expect: Option<Digest>,
}

/// Which app is to be released.
#[derive(Clone, Debug)]
pub enum What {
    /// A new one.
    Push {
        /// The app.
        component: Component,
        /// How it is rolled out.
        plan: Plan,
    },
    /// An earlier one.
    Rollback(RollbackTo),
}

/// What to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// To what was the target before, and was neither voted down nor rolled back, as
    /// far as that is still known.
    Previous,
    /// To this release.
    Release(IdPrefix),
}

/// Why something is not released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The own clock is ahead of the others'.
    #[error(
        "this machine's clock is {0} ms ahead of the other members', and at most {AHEAD_MAX_MS} ms \
         are allowed, since what it releases would outrank what they release later; \
         set the clock (is NTP running?), or do it on another node"
    )]
    ClockAhead(i64),
    /// The app is the newest release already.
    #[error("this app is already release {0}; there is nothing to do")]
    Same(ReleaseId),
    /// The app is the newest release already, and is rolled out otherwise than
    /// was wanted now.
    #[error(
        "this app is already release {release}, and goes to {plan}: that plan holds; \
         to change it, roll back and push again"
    )]
    OtherPlan {
        /// Which.
        release: ReleaseId,
        /// How it is rolled out.
        plan: Plan,
    },
    /// Another component is the target than the caller takes for given.
    #[error("the target is not the expected component: it is {}", short(.0))]
    Unexpected(Option<Digest>),
    /// There is no release that begins so.
    #[error("no release in the history begins with {0}")]
    Unknown(IdPrefix),
    /// More than one release begins so.
    #[error("more than one release begins with {prefix}: {}; give more digits", ids(.found, *.more))]
    Ambiguous {
        /// What was given.
        prefix: IdPrefix,
        /// Those that begin so, the newest first: the first few.
        found: Vec<ReleaseId>,
        /// How many more there are.
        more: usize,
    },
    /// There is nothing to go back to.
    #[error("there is no earlier release to go back to")]
    NothingBefore,
    /// Only signed releases are taken here.
    #[error(
        "nodes of this cluster take only releases that are signed with the deploy key; \
         push it with `host push --sign-with FILE`"
    )]
    Unsigned,
    /// The parts cannot make a release.
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
    /// Makes a release of what somebody wants, without taking it in.
    /// `ahead_ms`: how far the own clock is ahead of the members'.
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
            What::Push { component, plan } => (Kind::Push, component, plan),
            What::Rollback(to) => (Kind::Rollback, self.component_of(&to)?, Plan::default()),
        };
        // A head that was voted down may be tried again.
        let stands = target.is_some_and(|target| target.head_state != VoteState::VotedDown);
        if let Some(head) =
            head.filter(|head| stands && head.component().digest == component.digest)
        {
            let release = head.id();
            let replanned = kind == Kind::Push && *head.plan() != plan;
            // Once all canaries are for it, it goes to all nodes either way.
            let moot =
                plan.canaries.is_empty() && vote_state(head, &self.votes) == VoteState::Accepted;
            return Err(match head.plan().clone() {
                plan if replanned && !moot => DraftError::OtherPlan { release, plan },
                _ => DraftError::Same(release),
            });
        }
        // What the nodes serve that are no canaries, for what bakes may fail. A
        // rollback that goes just there does not leave it.
        let base = serves_now(&self.history, &self.votes, None)
            .filter(|base| head.is_some_and(|head| head.id() != base.id))
            .filter(|base| kind != Kind::Rollback || base.digest != component.digest);
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
                // The same on every node, so it does not go by what this one
                // serves: a head that bakes or was voted down is left for what
                // the nodes serve that are no canaries.
                let everyone = target(&self.history, &self.votes, None);
                let Some(Target { release, head, .. }) = everyone else {
                    return Err(DraftError::NothingBefore);
                };
                if let Some(release) = release.filter(|release| release.id() != head.id()) {
                    return Ok(release.component());
                }
                let serves = Some(head.component().digest);
                let mut at = Some(head);
                // What is served, and what was left for it by rollbacks.
                let mut left: BTreeSet<Digest> = serves.into_iter().collect();
                // Each step goes to an earlier one, so it ends. Of those whose
                // votes are forgotten it takes none but what was the target when
                // the one after it was decided.
                let hindsight = self.history.hindsight();
                let oldest_voted = self.history.oldest_voted();
                let mut is_last = false;
                while let Some(release) = at.filter(|_| !is_last) {
                    let id = release.id();
                    let is_old = Some(release.stamp()) < oldest_voted;
                    let passed = is_old && hindsight.was_passed_over(&id);
                    is_last = is_old && !passed;
                    if release.kind() == Kind::Rollback {
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
