//! Release agreement among nodes: what is released here, what other nodes tell, and the target.
//! A new record or vote goes out as a rumour; the list of members flows in.

mod aside;
mod file;
mod replicated;
mod rumours;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;

use self::replicated::Knows;
pub(crate) use self::replicated::{FromMember, RecordData, VoteData};
use self::rumours::{Rumour, Rumours};
use crate::me::Me;
use crate::membership::Roster;
use crate::message::{Beacon, Message};
use crate::outbox::Outbox;
use crate::release::{
    AppFile, DraftError, Learnt, Listed, News, Release, ReleaseId, ReleaseSet, Request, Skew,
    Verdict, Vote, VoteState, ahead_of_members, beyond, listing,
};
use crate::stall::Moment;
use crate::{Boot, Effect, NodeId, Refusal, Time};

#[cfg(test)]
pub(crate) use self::rumours::WANT_MOST;

/// If a release has been the head for this long, the releases before it are no news any more,
/// whoever sends them. Until then, two pushes in a row may still be on their way.
pub(crate) const SETTLED: Duration = Duration::from_secs(2);

/// How long votes of others may wait before they are stored.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// When a change is to be stored.
#[derive(Clone, Copy, Debug)]
enum StoreWhen {
    /// Before any other node hears of it: it is this node's own.
    First,
    /// Soon: it is a record of another node.
    Soon,
    /// Later: it is votes of other nodes, of which many come together.
    Later,
}

/// What is released, and the target.
pub(crate) struct Agreement {
    releases: ReleaseSet,
    rumours: Rumours,
    /// When votes of others are to be stored.
    store: Option<Time>,
    /// When to look again at the records that were set aside.
    aside: Option<Time>,
    /// The head, and since when it is the head.
    head: Option<(ReleaseId, Time)>,
    /// The app file whose meaning is still to be decided.
    file: Option<AppFile>,
    /// What the members said of themselves.
    members: BTreeMap<NodeId, Told>,
}

/// What a member said in its beacons.
#[derive(Debug)]
struct Told {
    boot: Boot,
    /// What its wall clock shows.
    skew: Skew,
    /// The hash of all releases and votes that it knows.
    hash: Option<u64>,
    /// Its hybrid clock.
    clock_ms: u64,
}

impl Agreement {
    /// The agreement of a node that starts with what it has stored.
    pub(crate) fn new(me: &Me, now: Time, rng: StdRng, out: &mut Outbox) -> Self {
        let config = &me.config;
        let stored = config.releases_stored.as_deref();
        let mut releases = ReleaseSet::begin(&config.name, config.deploy_key.clone(), stored);
        while let Some(news) = releases.poll() {
            out.push(Effect::Release(news));
        }
        Self {
            head: releases.history().head().map(|head| (head.id(), now)),
            releases,
            rumours: Rumours::new(rng),
            store: None,
            aside: None,
            file: None,
            members: BTreeMap::new(),
        }
    }

    /// Records and votes, and what follows from them.
    pub(crate) fn releases(&self) -> &ReleaseSet {
        &self.releases
    }

    /// When to call [`Agreement::timer`] next.
    pub(crate) fn due(&self) -> Option<Time> {
        let rumours = self.rumours.due().into_iter();
        rumours.chain(self.store).chain(self.aside).min()
    }

    /// Repeats the rumours that are due, and stores what waits.
    pub(crate) fn timer(&mut self, at: Moment<'_>, roster: &Roster, out: &mut Outbox) {
        self.rumours.timer(at, roster, out);
        if self.store.is_some_and(|store| store <= at.now) {
            self.store(false, out);
        }
        if self.aside.is_some_and(|again| again <= at.now) {
            self.look_at_aside(at, out);
        }
    }

    /// Makes a release from a draft.
    ///
    /// # Errors
    /// Says why the draft is refused.
    pub(crate) fn draft(
        &self,
        clock: Time,
        wall_ms: u64,
        roster: &Roster,
        request: Request,
    ) -> Result<Arc<Release>, DraftError> {
        let ahead_ms = self.ahead_ms(clock, wall_ms, roster);
        self.releases.draft(request, wall_ms, ahead_ms)
    }

    /// The known releases and the status of each, the greatest first.
    pub(crate) fn listing(&self) -> Vec<Listed> {
        let target = self.releases.target();
        listing(
            self.releases.history(),
            self.releases.votes(),
            target.as_ref(),
        )
    }

    /// How many milliseconds the wall clock is ahead of the members' median.
    pub(crate) fn ahead_ms(&self, clock: Time, wall_ms: u64, roster: &Roster) -> Option<i64> {
        let up = self
            .members
            .iter()
            .filter(|(id, _)| roster.up(**id).is_some());
        let mut theirs: Vec<i64> = up.filter_map(|(_, told)| told.skew.beyond()).collect();
        ahead_of_members(beyond(clock.as_ms(), wall_ms), &mut theirs)
    }

    /// Notes what a member says of itself, and asks for what is missing here.
    pub(crate) fn note_beacon(
        &mut self,
        at: Moment<'_>,
        from: SocketAddrV4,
        about: &Beacon,
        out: &mut Outbox,
    ) {
        let boot = about.run.boot;
        let mut told = match self.members.remove(&about.run.id()) {
            Some(told) if told.boot == boot => told,
            _ => Told {
                boot,
                skew: Skew::default(),
                hash: None,
                clock_ms: 0,
            },
        };
        told.clock_ms = about.wall_ms.saturating_add(about.ahead_ms);
        told.skew.note(at.clock.as_ms(), about.wall_ms);
        let knows = Knows::read(&about.summaries);
        told.hash = knows.as_ref().map(|knows| knows.hash);
        self.members.insert(about.run.id(), told);
        if let Some(id) = knows.and_then(|knows| knows.head)
            && self.releases.history().get(&id).is_none()
        {
            self.rumours.want(at, from, id, out);
        }
    }

    /// Forgets what nodes said that are no longer members.
    pub(crate) fn forget(&mut self, roster: &Roster) {
        self.members.retain(|id, _| roster.up(*id).is_some());
    }

    /// Takes in a release that was decided here.
    pub(crate) fn publish(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        release: Arc<Release>,
        out: &mut Outbox,
    ) {
        self.take_own(at);
        self.releases.publish(release.clone());
        self.apply_releases(at.now, StoreWhen::First, out);
        if self.releases.history().get(&release.id()) == Some(&release) {
            self.rumours.tell(at, roster, Rumour::Record(release), out);
        }
    }

    /// This node has found out how a release does.
    pub(crate) fn vote(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        (release, verdict): (ReleaseId, Verdict),
        out: &mut Outbox,
    ) {
        let vote = self.releases.vote(release, verdict);
        self.apply_releases(at.now, StoreWhen::First, out);
        if let Some(vote) = vote {
            self.rumours.tell(at, roster, Rumour::Vote(vote), out);
        }
    }

    /// A member has sent a record.
    pub(crate) fn record(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        from: SocketAddrV4,
        record: &[u8],
        out: &mut Outbox,
    ) {
        let release = match Release::read(record) {
            Ok(release) => release,
            Err(error) => {
                out.count().records.unreadable += 1;
                return out.refuse(at.now, from, error.refusal());
            }
        };
        let learnt = self.learn(at, from, vec![release.clone()], Vec::new(), out);
        if learnt.releases.is_empty() {
            let refused = learnt.unsigned + learnt.forged + learnt.aside > 0;
            if !refused && self.is_old(at.now, &release.id()) {
                out.count().records.old += 1;
                out.refuse(at.now, from, Refusal::Old);
            }
            return;
        }
        // A release that another has followed is not relayed: a node that lacks it will ask.
        let history = self.releases.history();
        if history.head().map(|head| head.id()) == Some(release.id()) {
            let message = Message::Release(release.bytes());
            self.rumours
                .relay(at, roster, NodeId::of(*from.ip()), &message, out);
        }
        if let Some(id) = history.lacked_by_head() {
            self.rumours.want(at, from, id, out);
        }
    }

    /// Whether no node has a reason to send this node a release that it knows or has forgotten:
    /// another one followed long ago, and this node has not asked.
    fn is_old(&self, now: Time, id: &ReleaseId) -> bool {
        let settled = |since: Time| now.since(since) >= SETTLED;
        let followed = self
            .head
            .is_some_and(|(head, since)| head != *id && settled(since));
        followed && !self.rumours.has_asked(now, id)
    }

    /// A member asks for a record.
    pub(crate) fn wanted(&self, at: Moment<'_>, to: SocketAddrV4, id: ReleaseId, out: &mut Outbox) {
        if let Some(release) = self.releases.history().get(&id) {
            out.send(at.me, to, &Message::Release(release.bytes()));
        }
    }

    /// A member has sent votes. A vote that changes the status of a release is passed on at
    /// once; the others are not urgent.
    pub(crate) fn voted(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        from: SocketAddrV4,
        votes: Vec<Vote>,
        out: &mut Outbox,
    ) {
        let before = self.head_state();
        self.learn(at, from, Vec::new(), votes.clone(), out);
        if self.head_state() != before {
            let message = Message::Votes(votes);
            self.rumours
                .relay(at, roster, NodeId::of(*from.ip()), &message, out);
        }
    }

    fn head_state(&self) -> Option<VoteState> {
        self.releases.target().map(|target| target.head_state)
    }

    /// Takes in records and votes.
    pub(crate) fn learn(
        &mut self,
        at: Moment<'_>,
        from: SocketAddrV4,
        releases: Vec<Arc<Release>>,
        votes: Vec<Vote>,
        out: &mut Outbox,
    ) -> Learnt {
        self.releases.set_latest(self.latest(at));
        let learnt = self.releases.learn(releases, votes);
        self.look_again_later(at.now);
        out.refuse_records(at.now, from, learnt.unsigned, learnt.forged);
        let news = !learnt.releases.is_empty();
        let store = if news {
            StoreWhen::Soon
        } else {
            StoreWhen::Later
        };
        self.apply_releases(at.now, store, out);
        learnt
    }

    /// Publishes the target, stores what has changed, and reports what else is new, in this
    /// order. So what a node serves does not wait for its disk, and after a crash a node still
    /// knows what it has told others or called released.
    fn apply_releases(&mut self, now: Time, store: StoreWhen, out: &mut Outbox) {
        let is_changed = self.releases.take_dirty();
        let head = self.releases.history().head().map(|head| head.id());
        if head != self.head.map(|(id, _)| id) {
            self.head = head.map(|id| (id, now));
        }
        let mut rest = Vec::new();
        while let Some(news) = self.releases.poll() {
            match news {
                News::Target(_) => out.push(Effect::Release(news)),
                _ => rest.push(Effect::Release(news)),
            }
        }
        match store {
            _ if !is_changed => {}
            StoreWhen::First => self.store(true, out),
            StoreWhen::Soon => self.store(false, out),
            StoreWhen::Later if self.store.is_none() => self.store = Some(now + STORE_WAIT),
            StoreWhen::Later => {}
        }
        rest.into_iter().for_each(|effect| out.push(effect));
    }

    fn store(&mut self, first: bool, out: &mut Outbox) {
        self.store = None;
        if let Some(bytes) = self.releases.store() {
            out.push(Effect::StoreReleases { bytes, first });
        }
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            releases,
            rumours,
            store,
            aside,
            head,
            file,
            members,
        } = self;
        let rumours = rumours.fingerprint();
        format!(
            "releases {releases:?}\n{rumours}store {store:?} {aside:?}\nhead {head:?}\nfile {file:?}\n\
             told {members:?}\n"
        )
    }
}

#[cfg(test)]
impl Agreement {
    /// Asks for a record, as if a beacon had named it.
    pub(crate) fn want(
        &mut self,
        at: Moment<'_>,
        of: SocketAddrV4,
        id: ReleaseId,
        out: &mut Outbox,
    ) {
        self.rumours.want(at, of, id, out);
    }
}
