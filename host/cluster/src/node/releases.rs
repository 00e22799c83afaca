//! Release agreement among nodes: records and votes are told to everyone at
//! once, relayed a little, asked for where a beacon shows that one is missing,
//! and whatever is still missing comes by push-pull.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use crate::message::Message;
use crate::release::{
    AppFile, DraftError, Hlc, Learnt, Listed, News, Release, ReleaseId, ReleaseSet, Request,
    Target, Verdict, Vote, VoteState, ahead_of_members, beyond, listing, median,
};
use crate::{Effect, NodeId, Refusal, Time};

/// How long between two tellings of what is new: one may be lost.
const AGAIN: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(120)];

/// What is told again at a time; of more, the oldest waits for push-pull.
const TELLING_MAX: usize = 32;

/// To how many members a new record is passed on, once.
const RELAY: usize = 4;

/// How many records are asked for at a time.
const WANTS_MAX: usize = 16;

/// How often a record is asked for: at first, and at most while it does not
/// come (because it is forgotten, or not signed).
const WANT_FIRST: Duration = Duration::from_millis(50);
pub(super) const WANT_MOST: Duration = Duration::from_secs(5);

/// For how long a release must have been the head before one that it has
/// followed is no news any more, whoever tells of it: until then two pushes
/// in a row may still be on their way.
pub(super) const SETTLED: Duration = Duration::from_secs(2);

/// How long votes of others may wait to be stored.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// How long a node that has just started listens before it says what its app
/// file means, for it may have missed what was decided about that file: in any
/// case, alone, and while members know other releases than it does.
const LISTEN_LEAST: Duration = Duration::from_millis(500);
const LISTEN: Duration = Duration::from_secs(2);
const LISTEN_MOST: Duration = Duration::from_secs(10);

/// How far ahead of all clocks a new record may be. One from later than that would
/// end all releasing: what follows it has to be later still.
const AHEAD_MOST_MS: u64 = 10 * 60 * 1000;

/// How often what was set aside for that is looked at again.
const ASIDE_AGAIN: Duration = Duration::from_secs(60);

/// When what has changed is to be stored.
#[derive(Clone, Copy, Debug)]
enum Store {
    /// Before anybody hears of it: it is this node's own.
    First,
    /// It is a record of another node.
    Soon,
    /// It is votes of other nodes, of which many come together.
    Later,
}

/// What is being told and asked for.
#[derive(Debug, Default)]
pub(super) struct Rumours {
    telling: VecDeque<Telling>,
    wants: VecDeque<Asked>,
    store: Option<Time>,
    /// When to look again at what was set aside.
    aside: Option<Time>,
    /// The head, and since when it is.
    head: Option<(ReleaseId, Time)>,
    /// The app file of which it is to be said what it means.
    file: Option<AppFile>,
}

#[derive(Debug)]
struct Telling {
    what: Rumour,
    said: usize,
    next: Time,
}

#[derive(Clone, Debug)]
enum Rumour {
    Record(Arc<Release>),
    Vote(Vote),
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    id: ReleaseId,
    /// When it was asked for last.
    asked: Time,
    next: Time,
    wait: Duration,
}

impl Rumours {
    /// That of a node that starts that knows these releases.
    pub(super) fn starting(releases: &ReleaseSet, now: Time) -> Self {
        Self {
            head: releases.history().head().map(|head| (head.id(), now)),
            ..Self::default()
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        let telling = self.telling.iter().map(|telling| telling.next);
        telling.chain(self.store).chain(self.aside).min()
    }
}

impl Node {
    /// Makes a release of what somebody wants, to be given to
    /// [`Input::Publish`](crate::Input::Publish), signed or as it is. Nothing
    /// changes before that.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn draft(
        &self,
        now: Time,
        wall_ms: u64,
        request: Request,
    ) -> Result<Arc<Release>, DraftError> {
        self.releases
            .draft(request, wall_ms, self.ahead_ms(now, wall_ms))
    }

    /// What this node is to serve, by all that it knows; none while nothing
    /// was released.
    pub fn target(&self) -> Option<Target> {
        self.releases.target()
    }

    /// Equal on two nodes that know the same releases and votes, and hardly ever
    /// on others; so it tells whether there is anything new.
    pub fn releases_hash(&self) -> u64 {
        self.releases.hash()
    }

    /// The releases that are known and what has become of each, the greatest
    /// first.
    pub fn listing(&self) -> Vec<Listed> {
        let target = self.releases.target();
        listing(
            self.releases.history(),
            self.releases.votes(),
            target.as_ref(),
        )
    }

    /// The releases that are known, the greatest first.
    pub fn releases(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.releases.history().newest()
    }

    /// The votes about a release, by the node that voted.
    pub fn votes(&self, release: &ReleaseId) -> impl Iterator<Item = (NodeId, Verdict)> {
        self.releases.votes().of(release)
    }

    /// How many milliseconds the wall clock is ahead of the members' median.
    fn ahead_ms(&self, now: Time, wall_ms: u64) -> Option<i64> {
        let up = self.roster.entries().filter(|entry| entry.is_up());
        let admitted = up.filter_map(|entry| self.contacts.admitted(entry.run.ip()));
        let mut theirs: Vec<i64> = admitted.filter_map(|it| it.skew.beyond()).collect();
        ahead_of_members(beyond(now.as_ms(), wall_ms), &mut theirs)
    }

    pub(super) fn publish_release(&mut self, now: Time, release: Arc<Release>) {
        self.take_own();
        self.releases.publish(release.clone());
        self.apply_releases(now, Store::First);
        if self.releases.history().get(&release.id()) == Some(&release) {
            self.tell(now, Rumour::Record(release));
        }
    }

    /// An app file is there or has changed. What that means depends on what
    /// was decided, so a node that has just started first hears that.
    pub(super) fn app_file(&mut self, now: Time, file: AppFile) {
        self.releases.see(&file);
        self.apply_releases(now, Store::First);
        self.rumours.file = Some(file);
        self.look_at_file(now);
    }

    /// Says what the file means that waits, if there is one, as soon as may be.
    pub(super) fn look_at_file(&mut self, now: Time) {
        if self.listens() {
            return;
        }
        let Some(file) = self.rumours.file.take() else {
            return;
        };
        let ahead_ms = self.ahead_ms(self.clock, self.wall_ms);
        self.take_own();
        let made = self.releases.file(file, self.wall_ms, ahead_ms);
        self.apply_releases(now, Store::First);
        if let Some(release) = made {
            self.tell(now, Rumour::Record(release));
        }
    }

    /// Whether this node may not know yet what was decided before its start: it
    /// has heard nobody, or a member that knows other releases.
    fn listens(&self) -> bool {
        let age = self.clock.since(self.me.started);
        let me = self.me.run.ip();
        let up = self.roster.entries().filter(|entry| entry.is_up());
        let others = up.filter(|entry| entry.run.ip() != me);
        let mut hashes = others.map(|entry| {
            let admitted = self.contacts.admitted(entry.run.ip());
            admitted.map(|admitted| admitted.releases_hash)
        });
        match hashes.next() {
            _ if age < LISTEN_LEAST => true,
            None => age < LISTEN,
            Some(first) => {
                let differs = |hash| hash != Some(self.releases.hash());
                age < LISTEN_MOST && (differs(first) || hashes.any(differs))
            }
        }
    }

    pub(super) fn vote(&mut self, now: Time, release: ReleaseId, verdict: Verdict) {
        let vote = self.releases.vote(release, verdict);
        self.apply_releases(now, Store::First);
        if let Some(vote) = vote {
            self.tell(now, Rumour::Vote(vote));
        }
    }

    /// A member sent a record.
    pub(super) fn record(&mut self, now: Time, from: SocketAddrV4, release: Arc<Release>) {
        let learnt = self.learn_releases(now, from, vec![release.clone()], Vec::new());
        if learnt.releases.is_empty() {
            let refused = learnt.unsigned + learnt.forged + learnt.aside > 0;
            if !refused && self.is_old(now, &release.id()) {
                self.refusals.counters.records.old += 1;
                self.refuse(now, from, Refusal::Old);
            }
            return;
        }
        // Of what has been followed already, whoever lacks it will ask.
        if self.releases.history().head().map(|head| head.id()) == Some(release.id()) {
            for to in self.some_members(*from.ip(), RELAY) {
                self.send(to, &Message::Release(release.bytes()));
            }
        }
        if let Some(id) = self.releases.history().lacked_by_head() {
            self.want(now, from, id);
        }
    }

    /// Whether nobody has a reason to tell this node of a release that it knows
    /// or has forgotten: another one has followed long ago, and this node has
    /// not asked.
    fn is_old(&self, now: Time, id: &ReleaseId) -> bool {
        let settled = |since: Time| now.since(since) >= SETTLED;
        let asked = |want: &Asked| want.id == *id && now.since(want.asked) < WANT_MOST;
        self.rumours
            .head
            .is_some_and(|(head, since)| head != *id && settled(since))
            && !self.rumours.wants.iter().any(asked)
    }

    /// A member asks for a record.
    pub(super) fn wanted(&mut self, to: SocketAddrV4, id: ReleaseId) {
        if let Some(release) = self.releases.history().get(&id).cloned() {
            self.send(to, &Message::Release(release.bytes()));
        }
    }

    /// A member sent votes. One that turns the standing of a release is passed
    /// on, the others need no haste.
    pub(super) fn voted(&mut self, now: Time, from: SocketAddrV4, votes: Vec<Vote>) {
        let before = self.head_state();
        self.learn_releases(now, from, Vec::new(), votes.clone());
        if self.head_state() != before {
            for to in self.some_members(*from.ip(), RELAY) {
                self.send(to, &Message::Votes(votes.clone()));
            }
        }
    }

    fn head_state(&self) -> Option<VoteState> {
        self.releases.target().map(|target| target.head_state)
    }

    /// A member's beacon shows what it knows: ask for what is missing here.
    pub(super) fn catch_up(&mut self, now: Time, from: SocketAddrV4, head: Option<ReleaseId>) {
        if let Some(id) = head
            && self.releases.history().get(&id).is_none()
        {
            self.want(now, from, id);
        }
    }

    pub(super) fn want(&mut self, now: Time, from: SocketAddrV4, id: ReleaseId) {
        let asked = self.rumours.wants.iter().position(|want| want.id == id);
        let wait = match asked.and_then(|at| self.rumours.wants.remove(at)) {
            Some(want) if want.next > now => {
                self.rumours.wants.push_back(want);
                return;
            }
            Some(want) => WANT_MOST.min(want.wait * 2),
            None => WANT_FIRST,
        };
        let next = now + wait;
        let asked = now;
        self.rumours.wants.push_back(Asked {
            id,
            asked,
            next,
            wait,
        });
        if self.rumours.wants.len() > WANTS_MAX {
            self.rumours.wants.pop_front();
        }
        self.send(from, &Message::Want(id));
    }

    /// Takes in records and votes.
    pub(super) fn learn_releases(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        releases: Vec<Arc<Release>>,
        votes: Vec<Vote>,
    ) -> Learnt {
        self.releases.set_latest(self.latest());
        let learnt = self.releases.learn(releases, votes);
        if self.releases.has_aside() && self.rumours.aside.is_none() {
            self.rumours.aside = Some(now + ASIDE_AGAIN);
        }
        self.refusals.counters.records.unsigned += learnt.unsigned;
        self.refusals.counters.records.forged += learnt.forged;
        if learnt.unsigned > 0 {
            self.refuse(now, from, Refusal::Unsigned);
        }
        if learnt.forged > 0 {
            self.refuse(now, from, Refusal::Forged);
        }
        let news = !learnt.releases.is_empty();
        self.apply_releases(now, if news { Store::Soon } else { Store::Later });
        learnt
    }

    /// The latest time that a new record may have: a little after the latest that may
    /// be now. A node without members has nobody's clock but the one it stored, which
    /// is ahead of its own where that loses its time with the power.
    fn latest(&self) -> Hlc {
        let me = self.me.run.ip();
        let up = self
            .roster
            .entries()
            .filter(|it| it.is_up() && it.run.ip() != me);
        let theirs = up.filter_map(|it| self.contacts.admitted(it.run.ip()));
        let mut clocks: Vec<u64> = theirs.map(|it| it.clock.ms()).collect();
        let members = median(&mut clocks).unwrap_or(self.releases.clock().ms());
        let now = self.wall_ms.max(self.config.built_ms).max(members);
        Hlc::from_ms(now.saturating_add(AHEAD_MOST_MS))
    }

    /// What is decided here may follow what is known here, whatever the time is.
    fn take_own(&mut self) {
        let next = self.releases.clock().tick(0);
        self.releases.set_latest(self.latest().max(next));
    }

    /// Looks again at the records that were set aside.
    fn look_at_aside(&mut self, now: Time) {
        self.rumours.aside = None;
        self.releases.set_latest(self.latest());
        let releases = self.releases.look_at_aside();
        let from = self.me.run.address();
        self.learn_releases(now, from, releases, Vec::new());
        if self.releases.has_aside() {
            self.rumours.aside = Some(now + ASIDE_AGAIN);
        }
    }

    /// Says the target, stores what has changed, and says what else is new,
    /// in this order. So what a node serves does not wait for its disk, while
    /// whatever it has told others, or called released, it knows after a crash.
    fn apply_releases(&mut self, now: Time, store: Store) {
        let is_changed = self.releases.take_dirty();
        let head = self.releases.history().head().map(|head| head.id());
        if head != self.rumours.head.map(|(id, _)| id) {
            self.rumours.head = head.map(|id| (id, now));
        }
        let mut rest = Vec::new();
        while let Some(news) = self.releases.poll() {
            match news {
                News::Target(_) => self.effects.push_back(Effect::Release(news)),
                _ => rest.push(Effect::Release(news)),
            }
        }
        match store {
            _ if !is_changed => {}
            Store::First => self.store_releases(true),
            Store::Soon => self.store_releases(false),
            Store::Later if self.rumours.store.is_none() => {
                self.rumours.store = Some(now + STORE_WAIT);
            }
            Store::Later => {}
        }
        self.effects.extend(rest);
    }

    fn store_releases(&mut self, first: bool) {
        self.rumours.store = None;
        if let Some(bytes) = self.releases.store() {
            self.effects
                .push_back(Effect::StoreReleases { bytes, first });
        }
    }

    /// Tells everyone what is new, now and twice more.
    fn tell(&mut self, now: Time, what: Rumour) {
        self.say(&what);
        self.rumours.telling.push_back(Telling {
            what,
            said: 0,
            next: now + AGAIN[0],
        });
        if self.rumours.telling.len() > TELLING_MAX {
            self.rumours.telling.pop_front();
        }
    }

    fn say(&mut self, what: &Rumour) {
        let to = self.some_members(self.me.run.ip(), RELAY);
        let message = match what {
            Rumour::Record(release) => Message::Release(release.bytes()),
            Rumour::Vote(vote) => Message::Votes(vec![*vote]),
        };
        self.broadcast(&message);
        for to in to {
            self.send(to, &message);
        }
    }

    /// Says again what was not said often enough, and stores what waits.
    pub(super) fn run_rumours(&mut self, now: Time) {
        for mut telling in std::mem::take(&mut self.rumours.telling) {
            if telling.next <= now {
                self.say(&telling.what);
                telling.said += 1;
                match AGAIN.get(telling.said) {
                    Some(&wait) => telling.next = now + wait,
                    None => continue,
                }
            }
            self.rumours.telling.push_back(telling);
        }
        if self.rumours.store.is_some_and(|at| at <= now) {
            self.store_releases(false);
        }
        if self.rumours.aside.is_some_and(|at| at <= now) {
            self.look_at_aside(now);
        }
    }

    /// Some members, chosen by chance.
    fn some_members(&mut self, but: Ipv4Addr, most: usize) -> Vec<SocketAddrV4> {
        let me = self.me.run.ip();
        let others = self
            .roster
            .entries()
            .filter(|entry| entry.is_up() && entry.run.ip() != me && entry.run.ip() != but);
        let mut to: Vec<SocketAddrV4> = others.map(|entry| entry.run.address()).collect();
        for chosen in 0..to.len().min(most) {
            let other = self.rng.random_range(chosen..to.len());
            to.swap(chosen, other);
        }
        to.truncate(most);
        to
    }
}
