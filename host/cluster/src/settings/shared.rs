//! The part of a node that holds its settings: it tells changes on, takes in those of others, stores
//! them, and publishes what is set.
//!
//! A change goes to the members over the control channel, which is encrypted: a datagram is not,
//! and a value may not fit one. So it is told to 32 members at once, who tell four others each if
//! there are more. Push-pull brings whatever is still missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use super::draft::{SettingChange, SettingError};
use super::lines::ConfigLines;
use super::record::Setting;
use super::set::SettingSet;
use super::snapshot::Settings;
use crate::me::Me;
use crate::membership::Roster;
use crate::message::Beacon;
use crate::outbox::Outbox;
use crate::release::Hlc;
use crate::replicate::{self, DataKind, KindPart};
use crate::run::Run;
use crate::stall::Moment;
use crate::sync::State;
use crate::{Effect, NodeId, Time};

/// To how many members a change is told at once.
const TOLD_MAX: usize = 32;

/// To how many others a member tells it on, if there are more.
const TOLD_ON: usize = 4;

/// The pauses before a change is told again to those that have not shown that they know it.
const TOLD_AGAIN: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(450)];

/// How many changes are told again at a time; beyond that, the oldest waits for push-pull.
const TELLING_MAX: usize = 32;

/// How often the records that were set aside are looked at again.
const ASIDE_AGAIN: Duration = Duration::from_secs(60);

/// How long a node that has just started waits for the settings of others: while it hears nobody,
/// and at most.
const ALONE_AFTER: Duration = Duration::from_millis(300);
const MERGED_AFTER: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a node finds out about settings, for its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingNews {
    /// A name was set or removed.
    Changed(Arc<Setting>),
    /// The time of a record is so far ahead that it is set aside: it is neither stored nor passed on,
    /// and looked at again later.
    SetAside(Arc<Setting>),
    /// So many stored records are not signed with the deploy key, which was set later. This node has
    /// forgotten them.
    Forgotten(u64),
}

/// The settings that a node shares with the others.
pub(crate) struct SharedSettings {
    set: SettingSet,
    /// What is set on this node alone.
    own: ConfigLines,
    snapshot: Arc<Settings>,
    telling: VecDeque<ToldChange>,
    /// What was learnt and is to be told on.
    learnt: Vec<Arc<Setting>>,
    /// When to look again at the records that were set aside.
    aside: Option<Time>,
    /// The summary in the last beacon of each member.
    members: BTreeMap<NodeId, Bytes>,
    /// Members that run for so long that they know what the others know.
    settled: BTreeSet<NodeId>,
    /// Whether this node knows what the others know.
    is_merged: bool,
    /// When to look whether it is to wait for that any longer.
    merged_due: Time,
    rng: StdRng,
}

/// Changes that are told again.
#[derive(Debug)]
struct ToldChange {
    records: Vec<Arc<Setting>>,
    said: usize,
    next: Time,
}

impl SharedSettings {
    /// The settings of a node that starts with what it has stored.
    pub(crate) fn new(me: &Me, rng: StdRng, out: &mut Outbox) -> Self {
        let config = &me.config;
        let stored = config.settings_stored.as_deref();
        let (set, unsigned) = SettingSet::begin(&config.name, config.deploy_key.clone(), stored);
        if unsigned > 0 {
            out.push(Effect::SettingNews(SettingNews::Forgotten(unsigned)));
        }
        Self {
            snapshot: Settings::of(&set, &config.app_config),
            set,
            own: config.app_config.clone(),
            telling: VecDeque::new(),
            learnt: Vec::new(),
            aside: None,
            members: BTreeMap::new(),
            settled: BTreeSet::new(),
            is_merged: false,
            merged_due: me.started() + ALONE_AFTER,
            rng,
        }
    }

    /// What is set now.
    pub(crate) fn snapshot(&self) -> &Arc<Settings> {
        &self.snapshot
    }

    pub(super) fn set(&self) -> &SettingSet {
        &self.set
    }

    /// The latest time of any change that is known here.
    pub(crate) fn clock(&self) -> Hlc {
        self.set.clock()
    }

    /// Whether this node knows what the others know, or there seem to be no others.
    pub(crate) fn is_merged(&self) -> bool {
        self.is_merged
    }

    /// The hash of all records; empty if there are none.
    pub(super) fn summary(&self) -> Vec<u8> {
        match self.set.all().next() {
            Some(_) => self.set.hash().to_le_bytes().to_vec(),
            None => Vec::new(),
        }
    }

    /// When to call [`SharedSettings::timer`] next.
    pub(crate) fn due(&self) -> Option<Time> {
        let telling = self.telling.iter().map(|telling| telling.next);
        let merged = (!self.is_merged).then_some(self.merged_due);
        telling.chain(self.aside).chain(merged).min()
    }

    /// Does what is due.
    pub(crate) fn timer(&mut self, at: Moment<'_>, roster: &Roster, latest: Hlc, out: &mut Outbox) {
        for mut telling in std::mem::take(&mut self.telling) {
            if telling.next <= at.now {
                let members = self.unaware(at, roster);
                tell(at, &telling.records, members, out);
                telling.said += 1;
                match TOLD_AGAIN.get(telling.said) {
                    Some(&wait) => telling.next = at.now + wait,
                    None => continue,
                }
            }
            self.telling.push_back(telling);
        }
        if self.aside.is_some_and(|again| again <= at.now) {
            self.aside = None;
            self.set.set_latest(latest);
            let records = self.set.look_at_aside();
            self.learn(at, at.me.run.address(), latest, records, out);
        }
        if self.merged_due <= at.now {
            self.merged_due = at.now + LOOK_AGAIN;
        }
        let uptime = at.me.uptime(at.clock);
        // Nodes that start together know the same, or one of them knows more.
        let mine = self.summary();
        let mut others = roster.others(at.me.id());
        let all_same = others.all(|run| self.members.get(&run.id()).is_some_and(|it| **it == mine));
        self.is_merged |= all_same && uptime >= ALONE_AFTER || uptime >= MERGED_AFTER;
    }

    /// Makes the records of some changes. Nothing is stored before they are published.
    ///
    /// # Errors
    /// Says why they are refused.
    pub(crate) fn draft(
        &self,
        wall_ms: u64,
        ahead_ms: Option<i64>,
        changes: Vec<SettingChange>,
        (by, salt): (&str, [u8; 16]),
    ) -> Result<Vec<Arc<Setting>>, SettingError> {
        let at = self.set.next_time(wall_ms, ahead_ms);
        self.set.draft(changes, by, (at, salt))
    }

    /// The time that the next change on this node would have.
    pub(crate) fn next_time(&self, wall_ms: u64, ahead_ms: Option<i64>) -> Hlc {
        self.set.next_time(wall_ms, ahead_ms)
    }

    /// Whether these records, signed or not, can be published here.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn check(&self, records: &[Arc<Setting>], latest: Hlc) -> Result<(), SettingError> {
        self.set.check(records, self.own_latest(latest))
    }

    /// A change made here may follow what is known here, whatever the time is.
    fn own_latest(&self, latest: Hlc) -> Hlc {
        latest.max(self.set.clock().tick(0))
    }

    /// Takes in a change that was made here.
    pub(crate) fn publish(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        latest: Hlc,
        records: Vec<Arc<Setting>>,
        out: &mut Outbox,
    ) {
        self.set.set_latest(self.own_latest(latest));
        let newest = self.set.learn(records).newest;
        self.apply(&newest, true, out);
        if newest.is_empty() {
            return;
        }
        let others = roster.others(at.me.id());
        let members = others.sample(&mut self.rng, TOLD_MAX);
        tell(at, &newest, members, out);
        self.telling.push_back(ToldChange {
            records: newest,
            said: 0,
            next: at.now + TOLD_AGAIN[0],
        });
        if self.telling.len() > TELLING_MAX {
            self.telling.pop_front();
        }
    }

    /// Takes in records of others.
    pub(super) fn learn(
        &mut self,
        at: Moment<'_>,
        from: SocketAddrV4,
        latest: Hlc,
        records: Vec<Arc<Setting>>,
        out: &mut Outbox,
    ) {
        self.set.set_latest(latest);
        let learnt = self.set.learn(records);
        if self.set.has_aside() && self.aside.is_none() {
            self.aside = Some(at.now + ASIDE_AGAIN);
        }
        out.refuse_records(at.now, from, learnt.unsigned, learnt.forged);
        for record in learnt.aside {
            out.push(Effect::SettingNews(SettingNews::SetAside(record)));
        }
        self.apply(&learnt.newest, false, out);
        self.learnt.extend(learnt.newest);
    }

    /// Stores and publishes what has changed, in this order: after a crash a node still knows what
    /// it has told others.
    fn apply(&mut self, newest: &[Arc<Setting>], first: bool, out: &mut Outbox) {
        if !self.set.take_changed() {
            return;
        }
        if let Some(bytes) = self.set.store() {
            out.push(Effect::StoreSettings { bytes, first });
        }
        self.snapshot = Settings::of(&self.set, &self.own);
        out.push(Effect::Settings(self.snapshot.clone()));
        let news = newest.iter().cloned().map(SettingNews::Changed);
        news.for_each(|news| out.push(Effect::SettingNews(news)));
    }

    /// Tells on what was learnt from this member, if there are more members than are told at once.
    pub(crate) fn tell_on(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        from: NodeId,
        out: &mut Outbox,
    ) {
        let learnt = std::mem::take(&mut self.learnt);
        if learnt.is_empty() || roster.others(at.me.id()).count() <= TOLD_MAX {
            return;
        }
        let others = self.unaware(at, roster);
        let others = others.into_iter().filter(|run| run.id() != from);
        let members = others.sample(&mut self.rng, TOLD_ON);
        tell(at, &learnt, members, out);
    }

    /// Members that have not shown that they know the same.
    fn unaware<'a>(&mut self, at: Moment<'_>, roster: &'a Roster) -> Vec<&'a Run> {
        let mine = self.summary();
        let known = &self.members;
        let others = roster.others(at.me.id());
        let unaware =
            others.filter(|run| known.get(&run.id()).is_none_or(|theirs| **theirs != mine));
        unaware.sample(&mut self.rng, TOLD_MAX)
    }

    /// Notes what a member shows of its settings. An earlier program shows nothing.
    pub(crate) fn note_beacon(&mut self, about: &Beacon) {
        let theirs = replicate::of(&about.summaries, DataKind::SETTINGS);
        // One that has just started may know as little as this node.
        if Duration::from_millis(about.uptime_ms) >= MERGED_AFTER {
            self.settled.insert(about.run.id());
            self.is_merged |= theirs.is_none_or(|theirs| theirs == self.summary());
        }
        if let Some(theirs) = theirs {
            let theirs = Bytes::copy_from_slice(theirs);
            self.members.insert(about.run.id(), theirs);
        }
    }

    /// This member has answered with all that was missing here.
    pub(crate) fn answered(&mut self, member: NodeId) {
        self.is_merged |= self.settled.contains(&member);
    }

    /// Forgets what nodes showed that are no longer members.
    pub(crate) fn forget(&mut self, roster: &Roster) {
        self.members.retain(|id, _| roster.up(*id).is_some());
        self.settled.retain(|id| roster.up(*id).is_some());
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            set,
            own: _,
            snapshot,
            telling,
            learnt,
            aside,
            members,
            settled: _,
            is_merged,
            merged_due: _,
            rng: _,
        } = self;
        format!(
            "settings {set:?}\n{snapshot:?} {learnt:?} {aside:?} {is_merged}\n\
             told settings {telling:?}\nshown settings {members:?}\n"
        )
    }

    /// How many records are known.
    #[cfg(feature = "sim")]
    pub(crate) fn len(&self) -> usize {
        self.set.all().count()
    }

    /// Whether a record is set aside that is from too far ahead.
    #[cfg(feature = "sim")]
    pub(crate) fn has_aside(&self) -> bool {
        self.set.has_aside()
    }
}

/// Sends records to some members, over the control channel.
fn tell(at: Moment<'_>, records: &[Arc<Setting>], members: Vec<&Run>, out: &mut Outbox) {
    let delta = replicate::write_all(records.iter().map(|it| it.bytes()), replicate::DELTA_MAX);
    let state = State {
        boot: at.me.run.boot,
        parts: vec![KindPart {
            kind: DataKind::SETTINGS,
            ask: Bytes::new(),
            delta: delta.into(),
        }],
    };
    let Some(bytes) = state.write() else {
        return;
    };
    for run in members {
        out.push(Effect::Sync {
            with: run.address(),
            name: run.name.clone(),
            bytes: bytes.clone(),
        });
    }
}
