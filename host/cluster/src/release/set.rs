//! All that this node knows of releases, and all that can happen to it: releases and files of
//! this node, records and votes of others. Changes flow out as news.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::clock::Hlc;
use super::history::History;
use super::mark::{AppFile, Marks, Meaning};
use super::news::News;
use super::record::{Component, Parts, Plan, Release};
use super::target::{Target, VoteState, target, vote_state};
use super::votes::{VOTED, Verdict, Vote, Votes};
use super::{
    ClusterName, DeployKey, DraftError, ReleaseId, ReleaseKind, Request, Unaccepted, What,
};
use crate::{AppName, NodeId, NodeName};

/// How many of the nodes that voted against a release are named.
const AGAINST: usize = 8;

/// How many records are set aside at most.
const ASIDE_MAX: usize = 32;

/// Which of the records and votes are new.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub(crate) releases: Vec<Arc<Release>>,
    pub(crate) votes: Vec<Vote>,
    /// How many records were refused because they have no signature.
    pub(crate) unsigned: u64,
    /// How many were refused because the deploy key did not make their signature.
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
    /// The hash of all records, and of all votes.
    hashes: (u64, u64),
    /// The target of this node, as last reported.
    target: Option<Target>,
    /// The superseded releases that were reported.
    told: BTreeSet<ReleaseId>,
    /// The head and the state of its votes, as last reported.
    judged: Option<(ReleaseId, VoteState)>,
    /// Later records are set aside.
    latest: Hlc,
    /// The newest few records that are later than that: their time may come.
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

    /// Continues from what was stored. `unsigned` is the number of records that were left out
    /// because they have no signature.
    pub(crate) fn restore(&mut self, clock: Hlc, marks: Marks, unsigned: u64) {
        self.clock = self.clock.max(clock);
        self.marks = marks;
        // Releases that were superseded before are no news.
        self.news.retain(|news| matches!(news, News::Target(_)));
        if unsigned > 0 {
            let kept = self.history.len();
            self.news.push_front(News::Forgotten { unsigned, kept });
        }
        self.dirty = false;
    }

    /// Notes an app file that was never seen before. So a change of it is noticed even if this
    /// run ends before it has looked at the file.
    pub(crate) fn see(&mut self, file: &AppFile) {
        if !self.marks.has(&file.path) {
            self.marks.set(file, &self.history);
            self.dirty = true;
        }
    }

    /// Looks at an app file, at the start or when it has changed. Returns the release that this
    /// makes, if any; the news say the same.
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
                    again: false,
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
            kind: ReleaseKind::Bootstrap,
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
            // Most records are known already, and comparing bytes is cheaper than checking a
            // signature.
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

    /// Sets aside a record whose time cannot be right: it is neither stored nor passed on.
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

    /// The cluster that is written into this node's records.
    pub(super) fn cluster(&self) -> Option<ClusterName> {
        self.deploy_key.as_ref().map(|key| key.cluster().clone())
    }

    /// Sets the time after which records are set aside.
    pub(crate) fn set_latest(&mut self, latest: Hlc) {
        self.latest = latest;
    }

    /// Takes out the records that were set aside and whose time has come, to be learnt now.
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
        if lost.kind() == ReleaseKind::Push && lost.plan() != holds.plan() {
            let holds = holds.clone();
            self.news.push_back(News::OtherPlan { holds, lost });
        }
    }

    /// This node has found out how a release does. None if it has voted already, or if the
    /// release is not voted on.
    pub(crate) fn vote(&mut self, release: ReleaseId, verdict: Verdict) -> Option<Vote> {
        let node = self.me.id();
        // A vote for a release may be followed by one against it.
        if self
            .votes
            .by(&release, node)
            .is_some_and(|voted| voted >= verdict)
        {
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
        // A new release that is accepted becomes the target, which is news of its own.
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

    /// A hash that is equal on two nodes that know the same records.
    pub(crate) fn records_hash(&self) -> u64 {
        self.hashes.0
    }

    /// A hash that is equal on two nodes that know the same votes.
    pub(crate) fn votes_hash(&self) -> u64 {
        self.hashes.1
    }

    /// A hash that is equal on two nodes that know the same records and votes.
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

    /// Whether anything changed since the last store; resets that.
    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// The next piece of news.
    pub(crate) fn poll(&mut self) -> Option<News> {
        self.news.pop_front()
    }
}
