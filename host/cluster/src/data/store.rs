//! The store that all threads of a node share. Reads take no more than a lock that readers share.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::SETTLED_S;
use super::key::{DataKey, KeyRange};
use super::sent::{StoredEntry, StoredRest, read_told, write_told};
use super::summary::DataSummary;
use super::table::{DataTable, MergeOutcome};
use super::telling::{DataLine, Telling};
use super::watch::{DataWatch, Watches};
use super::write::{DataWrite, WriteError, Written};
use crate::membership::Roster;
use crate::release::Hlc;
use crate::{NodeId, Refusal};

/// How many entries of a delta are merged while readers wait.
const MERGED_AT_ONCE: usize = 64;

crate::counts! {
    /// What a node did not keep of the key-value data that others sent, since the start.
    pub struct DataCounts {
        /// Entries that were older than a deletion that is forgotten by now.
        deleted: "entries that others had deleted long ago",
        /// Entries for which there was no room.
        no_room: "entries of members without room here",
    }
}

/// The key-value data of a node. All clones are the same store.
#[derive(Clone, Default)]
pub struct DataStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: RwLock<DataTable>,
    watches: Mutex<Watches>,
    telling: Telling,
    /// Who stores what has changed.
    saver: Mutex<Option<Waker>>,
}

/// Some keys of a range, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys and their values.
    pub entries: Vec<(DataKey, Bytes)>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// What the disk does not have yet.
#[derive(Debug)]
pub struct Unsaved {
    /// Keys, and the bytes for [`StoredEntry::read`]. None if the key is to be removed.
    pub entries: Vec<(DataKey, Option<Vec<u8>>)>,
    /// What is stored beside the entries. None if more entries are to be stored: it says up to when
    /// deletions are forgotten, which must not be on the disk before all that this node holds.
    pub rest: Option<Vec<u8>>,
}

impl DataStore {
    /// The value of a key.
    pub fn get(&self, key: &DataKey) -> Option<Bytes> {
        self.0.table.read().get(key)
    }

    /// At most so many keys of a range behind `after`, with their values.
    pub fn page(&self, range: &KeyRange, after: Option<&DataKey>, most: usize) -> Page {
        let table = self.0.table.read();
        let mut keys = table.keys(range, after);
        let entries = keys.by_ref().take(most);
        let entries = entries.map(|(key, value)| (key.clone(), value)).collect();
        let more = keys.next().is_some();
        Page { entries, more }
    }

    /// How many keys there are, deleted ones too, and how many bytes they take.
    pub fn size(&self) -> (usize, usize) {
        let table = self.0.table.read();
        (table.len(), table.bytes())
    }

    /// What was not kept.
    pub fn counts(&self) -> DataCounts {
        self.0.table.read().counts
    }

    /// This moment, for a watch that begins at it.
    pub fn mark(&self) -> u64 {
        self.0.watches.lock().mark()
    }

    /// Watches a range from now on.
    pub fn watch(&self, range: &KeyRange) -> DataWatch {
        let mut watches = self.0.watches.lock();
        let now = watches.mark();
        watches.add(range, now)
    }

    /// Watches a range from a moment on that was a little before.
    pub fn watch_since(&self, range: &KeyRange, mark: u64) -> DataWatch {
        self.0.watches.lock().add(range, mark)
    }

    /// Writes a batch. It holds on this node when this returns, as a whole.
    ///
    /// # Errors
    /// Says why nothing of it was written.
    pub fn write(&self, wall_ms: u64, batch: &[DataWrite]) -> Result<Written, WriteError> {
        let (written, changed) = self.0.table.write().write(wall_ms, batch)?;
        self.changed(&changed);
        self.0.telling.push(written.told.clone());
        Ok(written)
    }

    /// What is to be told to one member from now on.
    pub fn line(&self) -> DataLine {
        self.0.telling.line()
    }

    /// Tells on what a member has told, where nodes pass that on.
    pub fn pass_on(&self, news: Bytes) {
        self.0.telling.push(news);
    }

    /// An exchange of this node has ended, and what it has put while it was open ends too. Returns
    /// what the members have to be told, if anything.
    pub fn end_exchange(&self, wall_ms: u64, exchange: u64) -> Vec<Bytes> {
        let keys = self.0.table.read().owned(exchange);
        let deleted: Vec<DataWrite> = keys.into_iter().map(DataWrite::Delete).collect();
        let batches = deleted.chunks(super::write::WRITES_MAX);
        let written = batches.filter_map(|batch| self.write(wall_ms, batch).ok());
        written.map(|written| written.told).collect()
    }

    /// Takes in what a member has told, each of its batches as a whole. Returns what of it was
    /// news here.
    ///
    /// # Errors
    /// The bytes cannot be read.
    pub fn take_told(&self, told: &[u8], wall_ms: u64) -> Result<Option<Bytes>, Refusal> {
        let mut news = Vec::new();
        for batch in read_told(told)? {
            let taken = self.merge(&batch, wall_ms);
            if taken > 0 {
                news.extend_from_slice(&write_told(&batch));
            }
        }
        Ok((!news.is_empty()).then(|| news.into()))
    }

    /// Merges entries while readers wait; returns how many were news.
    fn merge(&self, entries: &[StoredEntry], wall_ms: u64) -> usize {
        let mut table = self.0.table.write();
        let mut changed = Vec::new();
        let mut taken = 0;
        for StoredEntry { key, entry } in entries {
            if let MergeOutcome::Taken(is_changed) = table.merge(key, entry, wall_ms) {
                taken += 1;
                if is_changed {
                    changed.push(key.clone());
                }
            }
        }
        drop(table);
        if taken > 0 {
            self.changed(&changed);
        }
        taken
    }

    /// Merges the entries of a delta; returns how many were news.
    pub(crate) fn merge_delta(&self, entries: &[StoredEntry], wall_ms: u64) -> usize {
        let pieces = entries.chunks(MERGED_AT_ONCE);
        pieces.map(|piece| self.merge(piece, wall_ms)).sum()
    }

    /// Keys have changed, and the disk does not know.
    fn changed(&self, keys: &[DataKey]) {
        self.0.watches.lock().note(keys);
        if let Some(saver) = self.0.saver.lock().take() {
            saver.wake();
        }
    }

    /// Waits until something is to be stored.
    pub fn poll_unsaved(&self, context: &mut Context<'_>) -> Poll<()> {
        *self.0.saver.lock() = Some(context.waker().clone());
        match self.0.table.read().is_dirty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Whether something is to be stored.
    pub fn is_unsaved(&self) -> bool {
        self.0.table.read().is_dirty()
    }

    /// Takes what is to be stored, about so many bytes of it.
    pub fn take_unsaved(&self, most: usize) -> Unsaved {
        let mut table = self.0.table.write();
        let keys = table.take_dirty(most);
        let rest = (!table.is_dirty()).then(|| StoredRest {
            clock: table.clock.last(),
            forgotten: table.forgotten(),
            known: table.known.clone(),
        });
        let entries = keys.into_iter().map(|key| {
            let entry = table.entry(&key).cloned();
            (key, entry)
        });
        let entries: Vec<_> = entries.collect();
        drop(table);
        let bytes = entries.into_iter().map(|(key, entry)| {
            let stored = entry.map(|entry| {
                StoredEntry {
                    key: key.clone(),
                    entry,
                }
                .bytes()
            });
            (key, stored)
        });
        Unsaved {
            entries: bytes.collect(),
            rest: rest.map(|rest| postcard::to_allocvec(&rest).unwrap_or_default()),
        }
    }

    /// Takes back what could not be stored.
    pub fn put_back(&self, unsaved: Unsaved) {
        let keys = unsaved.entries.into_iter().map(|(key, _)| key);
        self.0.table.write().put_back(keys);
    }

    /// Takes in an entry of the disk, before anything is written.
    pub fn restore(&self, StoredEntry { key, entry }: StoredEntry) {
        self.0.table.write().restore(&key, entry);
    }

    /// Takes in what was stored beside the entries. False if the bytes are something else.
    pub fn restore_rest(&self, rest: &[u8]) -> bool {
        let Ok(rest) = postcard::from_bytes::<StoredRest>(rest) else {
            return false;
        };
        let mut table = self.0.table.write();
        table.clock.restore(rest.clock);
        table.restore_forgotten(rest.forgotten);
        table.known = rest.known;
        true
    }

    /// The store belongs to this run of this node from now on.
    pub(crate) fn begin(&self, node: NodeId, run: u64, wall_ms: u64) {
        self.0.table.write().begin(node, run, wall_ms);
        self.wake_saver();
    }

    fn wake_saver(&self) {
        if self.is_unsaved()
            && let Some(saver) = self.0.saver.lock().take()
        {
            saver.wake();
        }
    }

    /// Takes in which runs are members and what their clocks show, and forgets what may be
    /// forgotten.
    pub(crate) fn follow(&self, wall_ms: u64, me: NodeId, roster: &Roster, ahead_ms: Option<i64>) {
        let up: BTreeSet<_> = roster
            .others(me)
            .map(|run| (run.id(), run.process))
            .collect();
        let mut table = self.0.table.write();
        table.clock.set_ahead(ahead_ms);
        let changed = table.follow(up, wall_ms);
        table.forget(wall_ms);
        drop(table);
        self.wake_saver();
        if !changed.is_empty() {
            self.0.watches.lock().note(&changed);
        }
    }

    /// What this node holds, in short, for [`DataSummary::read`]. Empty if there is nothing.
    pub(crate) fn summary(&self, wall_ms: u64) -> Vec<u8> {
        let table = self.0.table.read();
        if table.len() == 0 && table.forgotten() == Hlc::default() {
            return Vec::new();
        }
        let second = settled(&table, wall_ms);
        let hash = table.sums.total_at(second).unwrap_or_default();
        let may_forget = table.may_forget(wall_ms).number();
        let words = [second, hash, table.forgotten().number(), may_forget];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Whether a member with this summary holds the same; none if that cannot be told.
    pub(crate) fn agrees(&self, theirs: &[u8], wall_ms: u64) -> Option<bool> {
        let table = self.0.table.read();
        let (second, hash) = match DataSummary::read(theirs) {
            Some(summary) => (summary.second, summary.hash),
            None if theirs.is_empty() => (settled(&table, wall_ms), 0),
            None => return None,
        };
        Some(table.sums.total_at(second)? == hash)
    }

    /// A member said what it holds.
    pub(crate) fn note_summary(&self, member: NodeId, theirs: &[u8], wall_ms: u64) {
        let agrees = self.agrees(theirs, wall_ms) == Some(true);
        let theirs = DataSummary::read(theirs);
        let may_forget = theirs.as_ref().map_or(Hlc::default(), |it| it.may_forget);
        let mut table = self.0.table.write();
        table.known.note(member, agrees, may_forget);
        // Two that hold nothing agree too, and one of them may be new.
        if agrees && let Some(theirs) = theirs.filter(|it| it.hash != 0) {
            table.adopt_forgotten(theirs.forgotten, wall_ms);
        }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&DataTable) -> T) -> T {
        read(&self.0.table.read())
    }

    /// A member has deleted these keys so long ago that it has forgotten it.
    /// So do what was written before then.
    pub(super) fn drop_forgotten(&self, keys: &[DataKey], before: Hlc, wall_ms: u64) {
        let mut table = self.0.table.write();
        let mut changed = keys.to_vec();
        changed.retain(|key| table.drop_forgotten(key, before, wall_ms));
        drop(table);
        self.changed(&changed);
    }

    /// All that is known of each key.
    #[cfg(feature = "sim")]
    pub fn known(&self) -> Vec<StoredEntry> {
        let table = self.0.table.read();
        let all = (0..super::sums::RANGES as u16).flat_map(|range| table.of_range(range));
        let mut all: Vec<StoredEntry> = all
            .map(|(key, entry)| StoredEntry {
                key: key.clone(),
                entry: entry.clone(),
            })
            .collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }

    /// What a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        self.0.table.read().fingerprint()
    }
}

/// The second as of whose begin this node and others should hold the same.
pub(super) fn settled(table: &DataTable, wall_ms: u64) -> u64 {
    let settled = (table.clock.agreed_ms(wall_ms) / 1000).saturating_sub(SETTLED_S);
    // After the clock has gone back, that is too long ago.
    settled.max(table.sums.kept_from())
}

impl fmt::Debug for DataStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = self.size();
        write!(f, "DataStore({entries} entries, {bytes} bytes)")
    }
}
