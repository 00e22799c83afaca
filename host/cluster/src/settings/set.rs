//! All settings that a node knows: the newest record of each name, and the newest of those that
//! others have followed. Records flow in, in any order and again and again; the result depends only
//! on which records they were.
//!
//! A name that was removed stays as a record, or an old record could set it again. There is a bound
//! on all names together; what goes beyond it is the oldest, whatever it is. So nodes that know the
//! same agree there too, and nothing that was removed comes back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::record::{Place, Setting, SettingName};
use crate::release::{ClusterName, DeployKey, Hlc, Unaccepted};
use crate::{AppName, NodeName};

/// The most settings at a time.
pub const LIVE_MAX: usize = 256;

/// The most bytes of their names and values together.
pub const LIVE_BYTES_MAX: usize = 64 * 1024;

/// How many changes that others have followed are kept.
pub const PAST_MAX: usize = 64;

/// The most names that are known, with those that were removed.
pub(super) const NAMES_MAX: usize = 1024;

/// The most bytes of all names and values that are known. Two sides of a network split may each set
/// as much as is allowed.
const BYTES_MAX: usize = 4 * LIVE_BYTES_MAX;

/// How many records are set aside at most.
const ASIDE_MAX: usize = 32;

/// What came of records that were to be learnt.
#[derive(Debug, Default)]
pub(super) struct LearntSettings {
    /// Those that are the newest of their names now.
    pub(super) newest: Vec<Arc<Setting>>,
    /// How many were refused because they have no signature.
    pub(super) unsigned: u64,
    /// How many were refused because the deploy key did not make their signature.
    pub(super) forged: u64,
    /// Those that were set aside.
    pub(super) aside: Vec<Arc<Setting>>,
}

/// All settings that a node knows.
#[derive(Debug)]
pub(super) struct SettingSet {
    pub(super) me: NodeName,
    deploy_key: Option<DeployKey>,
    clock: Hlc,
    /// The newest of each name, with its value.
    newest: BTreeMap<SettingName, Arc<Setting>>,
    /// Those that others have followed, without their values.
    past: BTreeMap<Place, Arc<Setting>>,
    /// Later records are set aside.
    latest: Hlc,
    /// The newest few records that are later than that: their time may come.
    aside: VecDeque<Arc<Setting>>,
    hash: u64,
    is_changed: bool,
}

impl SettingSet {
    pub(super) fn new(me: NodeName, deploy_key: Option<DeployKey>) -> Self {
        Self {
            me,
            deploy_key,
            clock: Hlc::default(),
            newest: BTreeMap::new(),
            past: BTreeMap::new(),
            latest: Hlc::from_number(u64::MAX),
            aside: VecDeque::new(),
            hash: 0,
            is_changed: false,
        }
    }

    /// Continues with a stored clock.
    pub(super) fn restore(&mut self, clock: Hlc) {
        self.clock = self.clock.max(clock);
        self.is_changed = false;
    }

    /// Takes in records, of this node or of others.
    pub(super) fn learn(&mut self, records: Vec<Arc<Setting>>) -> LearntSettings {
        let mut learnt = LearntSettings::default();
        for record in records {
            if self.knows(&record) {
                continue;
            }
            match self.accept(&record) {
                Ok(()) => {}
                Err(Unaccepted::Unsigned) => {
                    learnt.unsigned += 1;
                    continue;
                }
                Err(Unaccepted::Forged | Unaccepted::Cluster { .. }) => {
                    learnt.forged += 1;
                    continue;
                }
            }
            if record.at() > self.latest {
                if self.set_aside(&record) {
                    learnt.aside.push(record);
                }
            } else if self.add(record.clone()) {
                learnt.newest.push(record);
            }
        }
        self.evict();
        self.hash = self.all().map(|it| it.share()).fold(0, u64::wrapping_add);
        learnt.newest.retain(|record| self.is_newest(record));
        learnt
    }

    /// Whether a record is signed as it must be here.
    ///
    /// # Errors
    /// Says why not.
    pub(super) fn accept(&self, record: &Setting) -> Result<(), Unaccepted> {
        match &self.deploy_key {
            Some(key) => key.check_setting(record),
            None => Ok(()),
        }
    }

    fn knows(&self, record: &Setting) -> bool {
        let past = self.past.contains_key(&record.place());
        self.is_newest(record) || past && record.lacks_value()
    }

    fn is_newest(&self, record: &Setting) -> bool {
        let newest = self.newest.get(&record.name());
        newest.is_some_and(|newest| newest.place() == record.place())
    }

    /// Adds a record. Returns whether it is the newest of its name.
    fn add(&mut self, record: Arc<Setting>) -> bool {
        self.clock = self.clock.max(record.at());
        let name = record.name();
        let newest = self.newest.get(&name).map(|newest| newest.place());
        if record.lacks_value() || newest >= Some(record.place()) {
            self.add_past(&record);
            return false;
        }
        self.is_changed = true;
        self.past.remove(&record.place());
        if let Some(before) = self.newest.insert(name, record) {
            self.add_past(&before);
        }
        true
    }

    fn add_past(&mut self, record: &Arc<Setting>) {
        let place = record.place();
        let is_full = self.past.len() >= PAST_MAX;
        let is_oldest = self.past.first_key_value().is_some_and(|it| place < *it.0);
        if self.past.contains_key(&place) || is_full && is_oldest {
            return;
        }
        self.is_changed = true;
        self.past.insert(place, record.without_value());
        if self.past.len() > PAST_MAX {
            self.past.pop_first();
        }
    }

    /// Forgets the oldest records beyond the bounds.
    fn evict(&mut self) {
        let mut bytes: usize = self.newest.values().map(|it| it.size()).sum();
        while self.newest.len() > NAMES_MAX || bytes > BYTES_MAX {
            let oldest = self.newest.iter().min_by_key(|(_, it)| it.place());
            let Some((name, oldest)) = oldest.map(|(name, it)| (name.clone(), it.size())) else {
                return;
            };
            bytes -= oldest;
            self.newest.remove(&name);
            self.is_changed = true;
        }
    }

    /// Sets aside a record whose time cannot be right: it is neither stored nor passed on.
    fn set_aside(&mut self, record: &Arc<Setting>) -> bool {
        if self.aside.iter().any(|it| it.place() == record.place()) {
            return false;
        }
        if self.aside.len() >= ASIDE_MAX {
            self.aside.pop_front();
        }
        self.aside.push_back(record.clone());
        true
    }

    /// Sets the time after which records are set aside.
    pub(super) fn set_latest(&mut self, latest: Hlc) {
        self.latest = latest;
    }

    /// Takes out the records that were set aside and whose time has come, to be learnt now.
    pub(super) fn look_at_aside(&mut self) -> Vec<Arc<Setting>> {
        let latest = self.latest;
        let aside = std::mem::take(&mut self.aside).into_iter();
        let (later, now) = aside.partition(|it| it.at() > latest);
        self.aside = later;
        now.into_iter().collect()
    }

    /// Whether any record is set aside.
    pub(super) fn has_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// The cluster that is written into this node's records.
    pub(super) fn cluster(&self) -> Option<ClusterName> {
        self.deploy_key.as_ref().map(|key| key.cluster().clone())
    }

    pub(super) fn clock(&self) -> Hlc {
        self.clock
    }

    /// The newest record of the name that this record has.
    pub(super) fn same_name(&self, record: &Setting) -> Option<&Arc<Setting>> {
        self.newest.get(&record.name())
    }

    /// The newest record of each name, by their names.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Arc<Setting>> {
        self.newest.values()
    }

    /// The newest record of each name of an app, unless that removed it.
    pub(super) fn live(&self, app: &AppName) -> impl Iterator<Item = &Arc<Setting>> {
        let newest = self.newest.values();
        newest.filter(move |it| !it.is_removal() && it.app() == app)
    }

    /// The records that others have followed, the oldest first.
    pub(super) fn past(&self) -> impl DoubleEndedIterator<Item = &Arc<Setting>> {
        self.past.values()
    }

    /// All records: first the newest ones of the names, then the others.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Setting>> {
        self.newest.values().chain(self.past.values())
    }

    /// A hash that is equal on two nodes that know the same.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether anything has changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }
}
