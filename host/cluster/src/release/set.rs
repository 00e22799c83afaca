//! All that this node holds of releases, and all that can happen to it: releases
//! and files of its own, records and votes of others. What changed comes out as
//! news.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::clock::Hlc;
use super::history::History;
use super::mark::{AppFile, Marks, Meaning};
use super::record::{Component, Parts, Plan, Release};
use super::target::{Target, VoteState, target, vote_state};
use super::votes::{VOTED, Verdict, Vote, Votes};
use super::{ClusterName, DeployKey, DraftError, Kind, ReleaseId, Request, Unaccepted, What};
use crate::{AppName, NodeId, NodeName};

/// How many of those that voted against a release are named.
const AGAINST: usize = 8;

/// How many records are set aside at most.
const ASIDE_MAX: usize = 32;

/// What a node finds out about releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This node is to serve something else.
    Target(Target),
    /// A release lost against one that was decided without knowing it, as
    /// happens when two people push at once, or on two sides of a cut.
    Superseded {
        /// The one that lost.
        release: Arc<Release>,
        /// The one that is ahead of it.
        by: Arc<Release>,
    },
    /// The votes on the greatest release say something else now: it bakes, was
    /// accepted after that, or was voted down.
    VoteState {
        /// The release.
        release: Arc<Release>,
        /// What they say.
        state: VoteState,
        /// Nodes that voted against it, the first few.
        against: Vec<NodeId>,
        /// How many voted against it, and for it.
        failed: usize,
        /// How many voted for it.
        ok: usize,
    },
    /// The same app was released after the same release with two plans, here and
    /// elsewhere, which is one release; the plan of the other one holds.
    OtherPlan {
        /// The one that holds.
        holds: Arc<Release>,
        /// The one of this node.
        lost: Arc<Release>,
    },
    /// A record is of a time so far ahead that it is set aside: it is neither kept
    /// nor told on, and looked at again later.
    SetAside(Arc<Release>),
    /// The history that this node stored has releases that are not signed with
    /// the deploy key, which it was given since. It has forgotten them.
    Forgotten {
        /// How many.
        unsigned: u64,
        /// How many are signed, and kept.
        kept: usize,
    },
    /// An app file was looked at.
    File {
        /// Which.
        file: AppFile,
        /// What came of it; none if it is as it was.
        outcome: Result<Option<Arc<Release>>, DraftError>,
    },
}

/// What of that which was learnt is new.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub(crate) releases: Vec<Arc<Release>>,
    pub(crate) votes: Vec<Vote>,
    /// How many records were refused for want of a signature.
    pub(crate) unsigned: u64,
    /// How many were refused because theirs is not that of the deploy key.
    pub(crate) forged: u64,
    /// How many were set aside.
    pub(crate) aside: u64,
}

/// The state of release agreement on one node.
#[derive(Debug)]
pub(crate) struct ReleaseSet {
    pub(super) me: NodeName,
    deploy_key: Option<DeployKey>,
    pub(super) clock: Hlc,
    pub(super) history: History,
    pub(super) votes: Votes,
    marks: Marks,
    /// Of all records, and of all votes.
    hashes: (u64, u64),
    /// The target here, as it was last told.
    target: Option<Target>,
    /// The superseded ones that were told.
    told: BTreeSet<ReleaseId>,
    /// The head and its standing, as they were last told.
    judged: Option<(ReleaseId, VoteState)>,
    /// No record from after this is taken.
    latest: Hlc,
    /// Records from after it, the newest few: time may catch up with them.
    aside: VecDeque<Arc<Release>>,
    news: VecDeque<News>,
    dirty: bool,
}

impl ReleaseSet {
    pub(crate) fn new(me: NodeName, deploy_key: Option<DeployKey>) -> Self {
        Self {
            me,
            deploy_key,
            clock: Hlc::default(),
            history: History::default(),
            votes: Votes::default(),
            marks: Marks::default(),
            hashes: (0, 0),
            target: None,
            told: BTreeSet::new(),
            judged: None,
            latest: Hlc::from_number(u64::MAX),
            aside: VecDeque::new(),
            news: VecDeque::new(),
            dirty: false,
        }
    }

    /// Goes on from what was stored, of which so many records were left out
    /// for want of a signature.
    pub(crate) fn restore(&mut self, clock: Hlc, marks: Marks, unsigned: u64) {
        self.clock = self.clock.max(clock);
        self.marks = marks;
        // What was superseded before is no news.
        self.news.retain(|news| matches!(news, News::Target(_)));
        if unsigned > 0 {
            let kept = self.history.len();
            self.news.push_front(News::Forgotten { unsigned, kept });
        }
        self.dirty = false;
    }

    /// Notes an app file that was never seen before, so that a change of it is
    /// known for one even if this run ends before it has looked at it.
    pub(crate) fn see(&mut self, file: &AppFile) {
        if !self.marks.has(&file.path) {
            self.marks.set(file, &self.history);
            self.dirty = true;
        }
    }

    /// Looks at an app file, at the start or when it has changed. Gives the
    /// release that this makes, if it makes one; the news say the same.
    pub(crate) fn file(
        &mut self,
        file: AppFile,
        wall_ms: u64,
        ahead_ms: Option<i64>,
    ) -> Option<Arc<Release>> {
        let made = match self.marks.meaning(&file, &self.history) {
            Meaning::Unchanged => Ok(None),
            Meaning::Released => Ok(None),
            Meaning::First => self.bootstrap(file.component, wall_ms).map(Some),
            Meaning::Changed => {
                let request = Request {
                    what: What::Push {
                        component: file.component,
                        plan: Plan::default(),
                    },
                    by: String::new(),
                    note: String::new(),
                    expect: None,
                };
                match self.draft(request, wall_ms, ahead_ms) {
                    Err(DraftError::Same(_) | DraftError::OtherPlan { .. }) => Ok(None),
                    made => made.map(Some),
                }
            }
        };
        let made = made.and_then(|made| match made {
            Some(release) if self.learn(vec![release.clone()], Vec::new()).unsigned > 0 => {
                Err(DraftError::Unsigned)
            }
            made => Ok(made),
        });
        if made.is_ok() && self.marks.meaning(&file, &self.history) != Meaning::Unchanged {
            self.marks.set(&file, &self.history);
            self.dirty = true;
        }
        let release = made.as_ref().ok().cloned().flatten();
        self.news.push_back(News::File {
            file,
            outcome: made,
        });
        release
    }

    fn bootstrap(&self, component: Component, wall_ms: u64) -> Result<Arc<Release>, DraftError> {
        Ok(Release::new(&Parts {
            app: AppName::the_only(),
            cluster: self.cluster(),
            kind: Kind::Bootstrap,
            at: self.clock.tick(wall_ms),
            node: self.me.clone(),
            parent: None,
            component,
            by: String::new(),
            note: String::new(),
            plan: Plan::default(),
            base: None,
        })?)
    }

    /// Takes in records and votes, of this node or of others.
    pub(crate) fn learn(&mut self, releases: Vec<Arc<Release>>, votes: Vec<Vote>) -> Learnt {
        let mut learnt = Learnt::default();
        for release in releases {
            // Most are known already: comparing bytes costs less than a signature.
            if self.history.get(&release.id()) == Some(&release) {
                continue;
            }
            match self.deploy_key.as_ref().map(|key| key.check(&release)) {
                None | Some(Ok(())) => {}
                Some(Err(Unaccepted::Unsigned)) => {
                    learnt.unsigned += 1;
                    continue;
                }
                Some(Err(Unaccepted::Forged | Unaccepted::Cluster { .. })) => {
                    learnt.forged += 1;
                    continue;
                }
            }
            if release.stamp().at > self.latest {
                learnt.aside += 1;
                self.set_aside(release);
                continue;
            }
            let before = self.history.get(&release.id()).cloned();
            if self.history.add(release.clone()) {
                if let Some(lost) = before.filter(|before| before.stamp().node == self.me) {
                    self.tell_other_plan(&release, lost);
                }
                self.clock = self.clock.max(release.stamp().at);
                learnt.releases.push(release);
            }
        }
        let voted: BTreeSet<ReleaseId> =
            self.history.newest().take(VOTED).map(|r| r.id()).collect();
        for vote in votes {
            if voted.contains(&vote.release) && self.votes.add(&vote) {
                learnt.votes.push(vote);
            }
        }
        if !learnt.releases.is_empty() || !learnt.votes.is_empty() {
            self.votes.keep(|id| voted.contains(id));
            self.changed();
        }
        learnt
    }

    /// Sets aside a record of a time that cannot be: it is neither kept nor told on.
    fn set_aside(&mut self, release: Arc<Release>) {
        if self.aside.iter().any(|it| it.id() == release.id()) {
            return;
        }
        if self.aside.len() >= ASIDE_MAX {
            self.aside.pop_front();
        }
        self.news.push_back(News::SetAside(release.clone()));
        self.aside.push_back(release);
    }

    /// The cluster that records of this node are for.
    pub(super) fn cluster(&self) -> Option<ClusterName> {
        self.deploy_key.as_ref().map(|key| key.cluster().clone())
    }

    /// From here on a record from after this is set aside.
    pub(crate) fn set_latest(&mut self, latest: Hlc) {
        self.latest = latest;
    }

    /// Those that were set aside and are not from too far ahead any more; they are
    /// learnt now.
    pub(crate) fn look_at_aside(&mut self) -> Vec<Arc<Release>> {
        let latest = self.latest;
        let aside = std::mem::take(&mut self.aside).into_iter();
        let (later, now) = aside.partition(|it| it.stamp().at > latest);
        self.aside = later;
        now.into_iter().collect()
    }

    /// Whether any record is set aside.
    pub(crate) fn has_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// Takes in a release that was decided here.
    pub(crate) fn publish(&mut self, release: Arc<Release>) {
        self.learn(vec![release.clone()], Vec::new());
        if let Some(holds) = self.history.get(&release.id()).cloned() {
            self.tell_other_plan(&holds, release);
        }
    }

    fn tell_other_plan(&mut self, holds: &Arc<Release>, lost: Arc<Release>) {
        if lost.kind() == Kind::Push && lost.plan() != holds.plan() {
            let holds = holds.clone();
            self.news.push_back(News::OtherPlan { holds, lost });
        }
    }

    /// This node has found out how a release does. None if it has voted, or if
    /// the release is none to vote on.
    pub(crate) fn vote(&mut self, release: ReleaseId, verdict: Verdict) -> Option<Vote> {
        let node = self.me.id();
        if self.votes.by(&release, node).is_some() {
            return None;
        }
        let vote = Vote {
            release,
            node,
            verdict,
        };
        self.learn(Vec::new(), vec![vote]).votes.pop()
    }

    fn changed(&mut self) {
        self.dirty = true;
        self.hashes = self.hashes_now();
        self.tell_superseded();
        self.tell_vote_state();
        let target = target(&self.history, &self.votes, Some(self.me.id()));
        let serves = |target: &Option<Target>| target.as_ref().map(|f| (f.id, f.digest));
        if serves(&target) != serves(&self.target)
            && let Some(target) = &target
        {
            self.news.push_back(News::Target(target.clone()));
        }
        self.target = target;
    }

    fn tell_superseded(&mut self) {
        let Some(head) = self.history.head().cloned() else {
            return;
        };
        for release in self.history.superseded() {
            if self.told.insert(release.id()) {
                let by = head.clone();
                self.news.push_back(News::Superseded { release, by });
            }
        }
        let history = &self.history;
        self.told.retain(|id| history.get(id).is_some());
    }

    fn tell_vote_state(&mut self) {
        let Some(head) = self.history.head().cloned() else {
            return;
        };
        let judged = (head.id(), vote_state(&head, &self.votes));
        let before = self.judged.replace(judged);
        // A new release that is accepted becomes the target, which says it.
        let new = before.is_none_or(|(id, _)| id != head.id());
        if before == Some(judged) || new && judged.1 == VoteState::Accepted {
            return;
        }
        let votes: Vec<_> = self.votes.of(&head.id()).collect();
        let failed = votes.iter().filter(|(_, v)| *v == Verdict::Failed);
        let against: Vec<NodeId> = failed.map(|(node, _)| *node).collect();
        self.news.push_back(News::VoteState {
            release: head,
            state: judged.1,
            failed: against.len(),
            ok: votes.len() - against.len(),
            against: against.into_iter().take(AGAINST).collect(),
        });
    }

    fn hashes_now(&self) -> (u64, u64) {
        let records = self.history.newest().map(|release| release.fingerprint());
        let votes = self.votes.iter().map(|vote| vote.fingerprint());
        let sum = u64::wrapping_add;
        (records.fold(0, sum), votes.fold(0, sum))
    }

    /// Equal on two nodes that know the same records.
    pub(crate) fn records_hash(&self) -> u64 {
        self.hashes.0
    }

    /// Equal on two nodes that know the same votes.
    pub(crate) fn votes_hash(&self) -> u64 {
        self.hashes.1
    }

    /// Equal on two nodes that know the same records and votes.
    pub(crate) fn hash(&self) -> u64 {
        self.hashes.0.wrapping_add(self.hashes.1)
    }

    /// The target on this node.
    pub(crate) fn target(&self) -> Option<Target> {
        target(&self.history, &self.votes, Some(self.me.id()))
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn votes(&self) -> &Votes {
        &self.votes
    }

    pub(crate) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(crate) fn clock(&self) -> Hlc {
        self.clock
    }

    /// Whether there is anything to store that was not before; asking clears it.
    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// The next piece of news.
    pub(crate) fn poll(&mut self) -> Option<News> {
        self.news.pop_front()
    }
}
