//! All that this node holds of releases, and all that can happen to it: drafts
//! and files of its own, records and votes of others. What changed comes out as
//! news.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::clock::Hlc;
use super::force::{Force, Standing, in_force, standing};
use super::history::History;
use super::mark::{AppFile, Marks, Meaning};
use super::record::{App, Parts, Plan, Release, ReleaseError};
use super::votes::{VOTED, Verdict, Vote, Votes};
use super::{DeployKey, KeyPrefix, Kind, ReleaseKey};
use crate::{Digest, NodeName};

/// A wall clock that is further ahead of the median of the members' than this
/// decides nothing: what it decided would be above all that the others decide
/// until their clocks are there too.
const AHEAD_MAX_MS: i64 = 500;

/// How many of those that voted against a release are named.
const AGAINST: usize = 8;

/// What somebody wants to be released.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which app.
    pub what: What,
    /// Who wants it, to be shown to people.
    pub by: String,
    /// What they say about it.
    pub note: String,
    /// Refuse unless this app is in force.
    pub expect: Option<Digest>,
}

/// Which app is to be released.
#[derive(Clone, Debug)]
pub enum What {
    /// A new one.
    Push {
        /// The app.
        app: App,
        /// How it is rolled out.
        plan: Plan,
    },
    /// An earlier one.
    Rollback(RollbackTo),
}

/// What to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// To what was in force before, and was neither voted down nor rolled back.
    Previous,
    /// To this release.
    Release(KeyPrefix),
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
    Same(ReleaseKey),
    /// Another app is in force than the caller takes for given.
    #[error("the app in force is not the expected one: it is {}", short(.0))]
    Unexpected(Option<Digest>),
    /// There is no release that begins so.
    #[error("no release in the history begins with {0}")]
    Unknown(KeyPrefix),
    /// More than one release begins so.
    #[error("more than one release begins with {0}; give more digits")]
    Ambiguous(KeyPrefix),
    /// There is nothing to go back to.
    #[error("there is no earlier release to go back to")]
    NothingBefore,
    /// Only signed releases are taken here.
    #[error(
        "nodes of this cluster take only releases that are signed with the deploy key; \
         push it with the key"
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

/// What a node finds out about releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This node is to serve something else.
    InForce(Force),
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
    Standing {
        /// The release.
        release: Arc<Release>,
        /// What they say.
        standing: Standing,
        /// Nodes that voted against it, the first few.
        against: Vec<Ipv4Addr>,
        /// How many voted against it, and for it.
        failed: usize,
        /// How many voted for it.
        ok: usize,
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
}

/// The state of release agreement on one node.
#[derive(Debug)]
pub(crate) struct Book {
    me: NodeName,
    deploy_key: Option<DeployKey>,
    clock: Hlc,
    history: History,
    votes: Votes,
    marks: Marks,
    hash: u64,
    /// What is in force here, as it was last told.
    force: Option<Force>,
    /// The superseded ones that were told.
    told: BTreeSet<ReleaseKey>,
    /// The head and its standing, as they were last told.
    judged: Option<(ReleaseKey, Standing)>,
    news: VecDeque<News>,
    dirty: bool,
}

impl Book {
    pub(crate) fn new(me: NodeName, deploy_key: Option<DeployKey>) -> Self {
        Self {
            me,
            deploy_key,
            clock: Hlc::default(),
            history: History::default(),
            votes: Votes::default(),
            marks: Marks::default(),
            hash: 0,
            force: None,
            told: BTreeSet::new(),
            judged: None,
            news: VecDeque::new(),
            dirty: false,
        }
    }

    /// Goes on from what was stored.
    pub(crate) fn restore(&mut self, clock: Hlc, marks: Marks) {
        self.clock = self.clock.max(clock);
        self.marks = marks;
        // What was superseded before is no news.
        self.news.retain(|news| matches!(news, News::InForce(_)));
        self.dirty = false;
    }

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
        let in_force = self.in_force();
        let serves = in_force.as_ref().map(|force| force.digest);
        if request.expect.is_some() && request.expect != serves {
            return Err(DraftError::Unexpected(serves));
        }
        let head = self.history.head();
        let (kind, app, plan) = match request.what {
            What::Push { app, plan } => (Kind::Push, app, plan),
            What::Rollback(to) => (Kind::Rollback, self.target(&to)?, Plan::default()),
        };
        // A head that was voted down may be tried again.
        let stands = in_force.is_some_and(|force| force.head_standing != Standing::VotedDown);
        if let Some(head) = head.filter(|head| stands && head.app().digest == app.digest) {
            return Err(DraftError::Same(head.key()));
        }
        Ok(Release::new(&Parts {
            kind,
            at: self.clock.tick(wall_ms),
            node: self.me.clone(),
            parent: head.map(|head| head.as_parent()),
            app,
            by: request.by,
            note: request.note,
            plan,
        })?)
    }

    fn target(&self, to: &RollbackTo) -> Result<App, DraftError> {
        match to {
            RollbackTo::Release(prefix) => {
                let mut found = self.history.newest().filter(|r| prefix.matches(&r.key()));
                match (found.next(), found.next()) {
                    (Some(one), None) => Ok(one.app()),
                    (None, _) => Err(DraftError::Unknown(prefix.clone())),
                    (Some(_), Some(_)) => Err(DraftError::Ambiguous(prefix.clone())),
                }
            }
            RollbackTo::Previous => {
                // The same on every node, so it does not go by what this one
                // serves: a head that bakes or was voted down is left for what
                // the nodes serve that are no canaries.
                let everyone = in_force(&self.history, &self.votes, Ipv4Addr::UNSPECIFIED);
                let Some(Force { release, head, .. }) = everyone else {
                    return Err(DraftError::NothingBefore);
                };
                if let Some(release) = release.filter(|release| release.key() != head.key()) {
                    return Ok(release.app());
                }
                let serves = Some(head.app().digest);
                let mut at = Some(head);
                // What is served, and what was left for it by rollbacks.
                let mut left: BTreeSet<Digest> = serves.into_iter().collect();
                // Each step goes to a parent, so it ends; where votes are
                // forgotten, nobody knows what was good.
                while let Some(release) = at {
                    if Some(release.id()) < self.history.oldest_voted() {
                        break;
                    }
                    let parent = release.parent();
                    if release.kind() == Kind::Rollback {
                        left.extend(parent.map(|parent| parent.digest));
                    }
                    let good = standing(&release, &self.votes) != Standing::VotedDown
                        && self.history.undone_by(&release.key()).is_none();
                    if good && !left.contains(&release.app().digest) {
                        return Ok(release.app());
                    }
                    at = parent.and_then(|parent| self.history.get(&parent.key).cloned());
                }
                Err(DraftError::NothingBefore)
            }
        }
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
            Meaning::First => self.bootstrap(file.app, wall_ms).map(Some),
            Meaning::Changed => {
                let request = Request {
                    what: What::Push {
                        app: file.app,
                        plan: Plan::default(),
                    },
                    by: String::new(),
                    note: String::new(),
                    expect: None,
                };
                match self.draft(request, wall_ms, ahead_ms) {
                    Err(DraftError::Same(_)) => Ok(None),
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

    fn bootstrap(&self, app: App, wall_ms: u64) -> Result<Arc<Release>, DraftError> {
        Ok(Release::new(&Parts {
            kind: Kind::Bootstrap,
            at: self.clock.tick(wall_ms),
            node: self.me.clone(),
            parent: None,
            app,
            by: String::new(),
            note: String::new(),
            plan: Plan::default(),
        })?)
    }

    /// Takes in records and votes, of this node or of others.
    pub(crate) fn learn(&mut self, releases: Vec<Arc<Release>>, votes: Vec<Vote>) -> Learnt {
        let mut learnt = Learnt::default();
        for release in releases {
            let key = self.deploy_key.as_ref();
            if key.is_some_and(|key| !key.signed(&release)) {
                learnt.unsigned += 1;
                continue;
            }
            if self.history.add(release.clone()) {
                self.clock = self.clock.max(release.id().at);
                learnt.releases.push(release);
            }
        }
        let voted: BTreeSet<ReleaseKey> =
            self.history.newest().take(VOTED).map(|r| r.key()).collect();
        for vote in votes {
            if voted.contains(&vote.release) && self.votes.add(&vote) {
                learnt.votes.push(vote);
            }
        }
        if !learnt.releases.is_empty() || !learnt.votes.is_empty() {
            self.votes.keep(|key| voted.contains(key));
            self.changed();
        }
        learnt
    }

    /// This node has found out how a release does. None if it has voted, or if
    /// the release is none to vote on.
    pub(crate) fn vote(&mut self, release: ReleaseKey, verdict: Verdict) -> Option<Vote> {
        let node = self.me.ip();
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
        self.hash = self.hash_now();
        self.tell_superseded();
        self.tell_standing();
        let force = in_force(&self.history, &self.votes, self.me.ip());
        let serves = |force: &Option<Force>| force.as_ref().map(|f| (f.key, f.digest));
        if serves(&force) != serves(&self.force)
            && let Some(force) = &force
        {
            self.news.push_back(News::InForce(force.clone()));
        }
        self.force = force;
    }

    fn tell_superseded(&mut self) {
        let Some(head) = self.history.head().cloned() else {
            return;
        };
        for release in self.history.superseded() {
            if self.told.insert(release.key()) {
                let by = head.clone();
                self.news.push_back(News::Superseded { release, by });
            }
        }
        let history = &self.history;
        self.told.retain(|key| history.get(key).is_some());
    }

    fn tell_standing(&mut self) {
        let Some(head) = self.history.head().cloned() else {
            return;
        };
        let judged = (head.key(), standing(&head, &self.votes));
        let before = self.judged.replace(judged);
        // That a new release is accepted shows in its being in force.
        let new = before.is_none_or(|(key, _)| key != head.key());
        if before == Some(judged) || new && judged.1 == Standing::Accepted {
            return;
        }
        let votes: Vec<_> = self.votes.of(&head.key()).collect();
        let failed = votes.iter().filter(|(_, v)| *v == Verdict::Failed);
        let against: Vec<Ipv4Addr> = failed.map(|(ip, _)| *ip).collect();
        self.news.push_back(News::Standing {
            release: head,
            standing: judged.1,
            failed: against.len(),
            ok: votes.len() - against.len(),
            against: against.into_iter().take(AGAINST).collect(),
        });
    }

    fn hash_now(&self) -> u64 {
        let records = self.history.newest().map(|release| release.fingerprint());
        let votes = self.votes.iter().map(|vote| vote.fingerprint());
        records.chain(votes).fold(0, u64::wrapping_add)
    }

    /// Equal on two nodes that know the same records and votes.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// What is in force on this node.
    pub(crate) fn in_force(&self) -> Option<Force> {
        in_force(&self.history, &self.votes, self.me.ip())
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
