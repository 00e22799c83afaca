//! All entries that a node holds, with what makes them quick to find and to compare.

mod unsaved;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::clock::DataClock;
use super::entry::{DataEntry, Owner, hash_of};
use super::forget::{self, KnownMembers};
use super::key::{DataKey, KeyRange};
use super::store::DataCounts;
use super::sums::{RANGES, RangeSums, range_of};
use crate::NodeId;
use crate::release::Hlc;

/// The longest value, in bytes.
pub const VALUE_MAX: usize = 1024 * 1024;
/// How many bytes a store may hold before it takes no writes that make it larger. Keys, values and
/// what it keeps about each entry count.
pub const DATA_MAX: usize = 256 * 1024 * 1024;
/// How many bytes a store holds at most, with what members wrote on other sides of a cut.
pub const MERGED_MAX: usize = 2 * DATA_MAX;
/// How many runs of nodes may have counted a key.
pub(super) const COUNTS_MAX: usize = 2048;

/// The run of a node.
type NodeRun = (NodeId, u64);

/// The table.
#[derive(Debug)]
pub(crate) struct DataTable {
    writer: NodeRun,
    entries: BTreeMap<DataKey, DataEntry>,
    /// The keys of each range of hashes.
    ranges: Vec<BTreeSet<DataKey>>,
    pub(super) sums: RangeSums,
    bytes: usize,
    pub(super) clock: DataClock,
    forgotten: Forgotten,
    /// The ephemeral keys of each exchange.
    owners: BTreeMap<(NodeRun, u64), BTreeSet<DataKey>>,
    /// The other runs that are members.
    up: BTreeSet<NodeRun>,
    dirty: Dirty,
    pub(super) known: KnownMembers,
    pub(super) counts: DataCounts,
}

/// The deletions that are forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Forgotten {
    /// All before this, and no other node may bring back what they deleted.
    until: Hlc,
    /// The last look for old deletions was for those before this.
    looked: Hlc,
}

/// What is to be stored.
#[derive(Debug, Default)]
struct Dirty {
    keys: BTreeSet<DataKey>,
    /// Another node is known.
    rest: bool,
}

/// What became of an entry of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MergeOutcome {
    /// It is known.
    Known,
    /// It was taken; whether the value has changed by that.
    Taken(bool),
    /// It was not taken: the deletion that it has missed is forgotten, or there is no room.
    Refused,
}

impl Default for DataTable {
    fn default() -> Self {
        Self {
            writer: (NodeId::from_bytes([0; 8]), 0),
            entries: BTreeMap::new(),
            ranges: vec![BTreeSet::new(); RANGES],
            sums: RangeSums::default(),
            bytes: 0,
            clock: DataClock::default(),
            forgotten: Forgotten::default(),
            owners: BTreeMap::new(),
            up: BTreeSet::new(),
            dirty: Dirty::default(),
            known: KnownMembers::default(),
            counts: DataCounts::default(),
        }
    }
}

impl DataTable {
    /// This run of this node writes from now on. What its earlier runs put while they ran ends.
    pub(super) fn begin(&mut self, node: NodeId, run: u64, wall_ms: u64) {
        self.writer = (node, run);
        let earlier = self
            .owners
            .range(((node, 0), 0)..=((node, u64::MAX), u64::MAX));
        let earlier = earlier.filter(|((owner, _), _)| *owner != self.writer);
        let keys: Vec<DataKey> = earlier.flat_map(|(_, keys)| keys).cloned().collect();
        for key in keys {
            self.end_earlier(&key, wall_ms);
        }
    }

    /// Deletes a key that an earlier run of this node put while that run ran.
    fn end_earlier(&mut self, key: &DataKey, wall_ms: u64) {
        if let Some(entry) = self.entries.get(key) {
            let mut entry = entry.clone();
            let mut register = entry.register.clone();
            (register.value, register.owner) = (None, None);
            register.stamp = self.clock.stamp(wall_ms, entry.newest());
            if register.stamp.is_plausible() {
                entry.set(register);
                self.put(key, entry, wall_ms);
            }
        }
    }

    pub(super) fn writer(&self) -> NodeRun {
        self.writer
    }

    pub(super) fn entry(&self, key: &DataKey) -> Option<&DataEntry> {
        self.entries.get(key)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn forgotten(&self) -> Hlc {
        self.forgotten.until
    }

    /// How many keys there are, deleted ones too.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &DataKey) -> Option<Bytes> {
        self.shown(self.entries.get(key)?)
    }

    /// The keys of a range behind `after` that have a value.
    pub(super) fn keys<'a>(
        &'a self,
        range: &'a KeyRange,
        after: Option<&'a DataKey>,
    ) -> impl Iterator<Item = (&'a DataKey, Bytes)> {
        let behind = self.entries.range::<[u8], _>(range.behind(after));
        let inside = behind.take_while(|(key, _)| range.contains(key));
        inside.filter_map(|(key, entry)| Some((key, self.shown(entry)?)))
    }

    /// The entries of a range of hashes.
    pub(super) fn of_range(&self, range: u16) -> impl Iterator<Item = (&DataKey, &DataEntry)> {
        let keys = self.ranges.get(usize::from(range)).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.entries.get(key)?)))
    }

    /// The value that readers see.
    fn shown(&self, entry: &DataEntry) -> Option<Bytes> {
        let is_there = entry.register.owner.is_none_or(|Owner { run, .. }| {
            let owner = (entry.register.node, run);
            owner == self.writer || self.up.contains(&owner)
        });
        is_there.then(|| entry.value()).flatten()
    }

    fn now_s(&self, wall_ms: u64) -> u64 {
        self.clock.agreed_ms(wall_ms) / 1000
    }

    /// Replaces an entry. Returns whether readers see another value now.
    pub(super) fn put(&mut self, key: &DataKey, new: DataEntry, wall_ms: u64) -> bool {
        let shown = self.shown(&new);
        let second = new.newest().ms() / 1000;
        let before = self.exchange(key, Some(new), second, wall_ms);
        before.and_then(|entry| self.shown(&entry)) != shown
    }

    /// Puts another entry in the place of one, or none, in all tables.
    fn exchange(
        &mut self,
        key: &DataKey,
        new: Option<DataEntry>,
        second: u64,
        wall_ms: u64,
    ) -> Option<DataEntry> {
        let hash = hash_of(key.as_bytes());
        let (range, length) = (range_of(hash), key.as_bytes().len());
        let hash_of_entry = |entry: &DataEntry| entry.hash(hash);
        let weight = |entry: &DataEntry| entry.weight(length);
        let after = new.as_ref().map_or(0, hash_of_entry);
        self.bytes += new.as_ref().map_or(0, weight);
        let owner = |entry: &DataEntry| {
            let owner = entry.register.owner?;
            Some(((entry.register.node, owner.run), owner.exchange))
        };
        let owned = new.as_ref().and_then(owner);
        let keys = self.ranges.get_mut(usize::from(range));
        let before = match new {
            Some(new) => {
                let before = self.entries.insert(key.clone(), new);
                if before.is_none() {
                    keys.map(|keys| keys.insert(key.clone()));
                }
                before
            }
            None => {
                keys.map(|keys| keys.remove(key));
                self.entries.remove(key)
            }
        };
        self.bytes -= before.as_ref().map_or(0, weight);
        let by = after.wrapping_sub(before.as_ref().map_or(0, hash_of_entry));
        self.sums.change(range, by, second, self.now_s(wall_ms));
        let had = before.as_ref().and_then(owner);
        if had != owned {
            if let Some(had) = had
                && let Some(keys) = self.owners.get_mut(&had)
            {
                keys.remove(key);
                if keys.is_empty() {
                    self.owners.remove(&had);
                }
            }
            if let Some(owned) = owned {
                self.owners.entry(owned).or_default().insert(key.clone());
            }
        }
        self.dirty.keys.insert(key.clone());
        before
    }

    /// Takes in what a member knows of a key.
    pub(super) fn merge(&mut self, key: &DataKey, other: &DataEntry, wall_ms: u64) -> MergeOutcome {
        let known = self.entries.get(key);
        if known.is_none() && other.newest() < self.forgotten.until {
            self.counts.deleted += 1;
            return MergeOutcome::Refused;
        }
        let mut merged = known.cloned().unwrap_or_default();
        merged.merge(other);
        if known == Some(&merged) || known.is_none() && merged == DataEntry::default() {
            return MergeOutcome::Known;
        }
        let length = key.as_bytes().len();
        let more = merged.weight(length);
        let less = known.map_or(0, |entry| entry.weight(length));
        if more > less && self.bytes + more - less > MERGED_MAX || merged.counts.len() > COUNTS_MAX
        {
            self.counts.no_room += 1;
            return MergeOutcome::Refused;
        }
        self.clock.see(other.newest(), wall_ms);
        let (node, run) = self.writer;
        let is_earlier = merged.register.node == node
            && merged.register.owner.is_some_and(|owner| owner.run != run);
        let mut changed = self.put(key, merged, wall_ms);
        if is_earlier {
            self.end_earlier(key, wall_ms);
            changed = true;
        }
        MergeOutcome::Taken(changed)
    }

    /// The keys that this exchange of this run has put.
    pub(super) fn owned(&self, exchange: u64) -> Vec<DataKey> {
        let keys = self.owners.get(&(self.writer, exchange));
        keys.into_iter().flatten().cloned().collect()
    }

    /// These runs are the other members now. Returns the keys whose value readers see or miss by that.
    pub(super) fn follow(&mut self, up: BTreeSet<NodeRun>, wall_ms: u64) -> Vec<DataKey> {
        let now_ms = self.clock.earlier_ms(wall_ms);
        self.sums.forget(self.now_s(wall_ms));
        self.dirty.rest |= self.known.see(up.iter().map(|(id, _)| *id), now_ms);
        let before = std::mem::replace(&mut self.up, up);
        let mut keys = Vec::new();
        for &(node, run) in before.symmetric_difference(&self.up) {
            let all = ((node, run), 0)..=((node, run), u64::MAX);
            keys.extend(self.owners.range(all).flat_map(|(_, keys)| keys).cloned());
        }
        keys
    }

    /// Forgets old deletions, if all who may have missed one are there.
    pub(super) fn forget(&mut self, wall_ms: u64) {
        if self.known.is_empty() {
            // Nobody can bring anything back.
            self.drop_deleted(self.may_forget(wall_ms), wall_ms);
        } else {
            let until = self.may_forget(wall_ms).min(self.known.may_forget());
            // What others lack and is older than that is dropped there. So it moves on only if
            // something is forgotten.
            if until > self.forgotten.until && self.drop_deleted(until, wall_ms) {
                self.forgotten.until = until;
                self.dirty.rest = true;
            }
        }
    }

    /// Up to when this node may forget deletions, as far as it knows: all others that may have missed
    /// one are there, and hold the same.
    pub(super) fn may_forget(&self, wall_ms: u64) -> Hlc {
        let alone = self.known.is_empty();
        match alone || self.clock.has_members() && self.known.all_agree() {
            true => forget::forgettable(self.clock.earlier_ms(wall_ms)),
            false => self.forgotten.until,
        }
    }

    /// A member holds the same as this node, and has forgotten deletions before this.
    pub(super) fn adopt_forgotten(&mut self, until: Hlc, wall_ms: u64) {
        let earlier_ms = self.clock.earlier_ms(wall_ms);
        if until > self.forgotten.until && forget::is_forgettable(until, earlier_ms) {
            self.forgotten.until = until;
            self.dirty.rest = true;
            self.drop_deleted(until, wall_ms);
        }
    }

    /// Drops what was deleted before this, and what was ephemeral and has no owner any more. Returns
    /// whether there was anything.
    fn drop_deleted(&mut self, until: Hlc, wall_ms: u64) -> bool {
        if until <= self.forgotten.looked {
            return false;
        }
        self.forgotten.looked = until;
        let all = self.entries.iter();
        let old = all.filter(|(_, it)| it.newest() < until && self.shown(it).is_none());
        let old: Vec<DataKey> = old.map(|(key, _)| key.clone()).collect();
        for key in &old {
            self.exchange(key, None, 0, wall_ms);
        }
        !old.is_empty()
    }

    /// Drops a key that a member has deleted so long ago that it has forgotten it. Returns whether
    /// readers saw it.
    pub(super) fn drop_forgotten(&mut self, key: &DataKey, before: Hlc, wall_ms: u64) -> bool {
        if self.entries.get(key).is_none_or(|it| it.newest() >= before) {
            return false;
        }
        let before = self.exchange(key, None, 0, wall_ms);
        let was_shown = before.is_some_and(|entry| self.shown(&entry).is_some());
        self.counts.deleted += u64::from(was_shown);
        was_shown
    }

    /// What a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(super) fn fingerprint(&self) -> String {
        let Self {
            writer: _,
            entries: _,
            ranges: _,
            sums,
            bytes,
            clock,
            forgotten,
            owners: _,
            up,
            dirty,
            known,
            counts,
        } = self;
        format!(
            "data {:?} {bytes} {clock:?} {forgotten:?} {up:?} {} {known:?} {counts:?}\n",
            sums.total_at(u64::MAX),
            dirty.keys.len(),
        )
    }
}
