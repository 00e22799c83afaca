//! Tells who watches a range of keys which of them have changed. A key that changes often before it
//! is asked for is told once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::key::{DataKey, KeyRange};

/// How many changed keys wait at most. If more have changed, all keys of the range are to be read.
const WAITING_MAX: usize = 4096;

/// How many keys that have changed lately are known.
const RECENT_MAX: usize = 4096;

/// The watch of one range. It ends when it is dropped.
pub struct DataWatch(Arc<WatchState>);

#[derive(Default)]
struct WatchState(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    keys: BTreeSet<DataKey>,
    /// Too many keys have changed.
    has_lost: bool,
    waker: Option<Waker>,
}

/// All watches of a store.
#[derive(Default)]
pub(super) struct Watches {
    by_prefix: BTreeMap<Box<[u8]>, Vec<Weak<WatchState>>>,
    /// The lengths of the prefixes: there are few.
    lengths: BTreeSet<usize>,
    /// How many watches there may be until those that have ended are removed.
    until: usize,
    /// The keys that have changed last, for a watch that begins a little before now.
    recent: VecDeque<DataKey>,
    /// How many have changed before these.
    before: u64,
}

impl DataWatch {
    /// Waits until a key has changed.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.0.0.lock();
        if waiting.has_lost || !waiting.keys.is_empty() {
            return Poll::Ready(());
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The keys that have changed since they were last taken; none if they were too many to note,
    /// and all keys of the range may have changed.
    pub fn take(&self) -> Option<BTreeSet<DataKey>> {
        let mut waiting = self.0.0.lock();
        let keys = std::mem::take(&mut waiting.keys);
        match std::mem::take(&mut waiting.has_lost) {
            true => None,
            false => Some(keys),
        }
    }
}

impl WatchState {
    fn note(&self, key: &DataKey) {
        let mut waiting = self.0.lock();
        if waiting.keys.len() < WAITING_MAX {
            waiting.keys.insert(key.clone());
        } else if !waiting.keys.contains(key) {
            waiting.has_lost = true;
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }
}

impl Watches {
    /// How many keys have changed so far.
    pub(super) fn mark(&self) -> u64 {
        self.before + self.recent.len() as u64
    }

    /// Watches a range from this mark on.
    pub(super) fn add(&mut self, range: &KeyRange, since: u64) -> DataWatch {
        let count = self.by_prefix.values().map(Vec::len).sum::<usize>();
        if count >= self.until {
            self.by_prefix.retain(|_, all| {
                all.retain(|watch| watch.strong_count() > 0);
                !all.is_empty()
            });
            let live = self.by_prefix.values().map(Vec::len).sum::<usize>();
            self.until = 2 * live + 16;
            self.lengths = self.by_prefix.keys().map(|prefix| prefix.len()).collect();
        }
        self.lengths.insert(range.as_bytes().len());
        let state = Arc::new(WatchState::default());
        let missed = since.checked_sub(self.before);
        state.0.lock().has_lost = missed.is_none();
        let missed = missed.and_then(|missed| usize::try_from(missed).ok());
        let missed = self.recent.iter().skip(missed.unwrap_or(usize::MAX));
        missed
            .filter(|key| range.contains(key))
            .for_each(|key| state.note(key));
        let all = self.by_prefix.entry(range.as_bytes().into()).or_default();
        all.push(Arc::downgrade(&state));
        DataWatch(state)
    }

    /// These keys have changed.
    pub(super) fn note(&mut self, keys: &[DataKey]) {
        for key in keys {
            if self.recent.len() == RECENT_MAX {
                self.recent.pop_front();
                self.before += 1;
            }
            self.recent.push_back(key.clone());
            let bytes = key.as_bytes();
            let prefixes = self.lengths.iter().map_while(|&length| bytes.get(..length));
            let watches = prefixes
                .filter_map(|prefix| self.by_prefix.get(prefix))
                .flatten();
            watches
                .filter_map(Weak::upgrade)
                .for_each(|watch| watch.note(key));
        }
    }
}

impl fmt::Debug for DataWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataWatch").finish_non_exhaustive()
    }
}
