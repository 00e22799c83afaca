//! The key-value data as replicated data. Two members need some round trips to find what differs
//! between them; then only that travels.

use std::cell::Cell;

use super::ask::{AskStep, DataAsk, HELD, HELD_BYTES, HeldEntry, HeldRange, read_sums};
use super::entry::{DataEntry, hash_of};
use super::forget;
use super::key::DataKey;
use super::sent::{StoredEntry, read_entries};
use super::store::{DataStore, settled};
use super::sums::RANGES;
use super::table::DataTable;
use crate::Refusal;
use crate::release::Hlc;
use crate::replicate::Replicated;

/// The data, for one step of an exchange.
pub(crate) struct SharedData {
    store: DataStore,
    wall_ms: u64,
    /// Entries came, and none of them was news: going on would lead nowhere.
    is_stuck: bool,
    /// Entries have come or gone in this step.
    has_moved: Cell<bool>,
    /// Not all that the member lacks had room in the delta.
    is_cut: Cell<bool>,
}

/// What the member lacks.
#[derive(Default)]
struct Lacking {
    delta: Vec<u8>,
    /// What it has deleted before `forgotten`, and has forgotten that.
    deleted: Vec<DataKey>,
    forgotten: Hlc,
    is_cut: bool,
}

impl SharedData {
    pub(crate) fn new(store: DataStore, wall_ms: u64) -> Self {
        Self {
            store,
            wall_ms,
            is_stuck: false,
            has_moved: Cell::new(false),
            is_cut: Cell::new(false),
        }
    }

    fn ask(&self, step: AskStep) -> Vec<u8> {
        let forgotten = self.store.read(DataTable::forgotten);
        DataAsk { forgotten, step }.bytes()
    }

    fn sums(&self) -> Vec<u8> {
        let (second, sums) = self.store.read(|table| {
            let second = settled(table, self.wall_ms);
            (second, table.sums.ranges_at(second).unwrap_or_default())
        });
        self.ask(AskStep::sums(second, &sums))
    }

    /// The ranges whose sums differ, with whether the member has nothing in them.
    fn differing(&self, second: u64, sums: &[u8]) -> Vec<(u16, bool)> {
        let mine = self.store.read(|table| table.sums.ranges_at(second));
        let (Some(mine), Some(theirs)) = (mine, read_sums(sums)) else {
            return Vec::new();
        };
        let all = (0..RANGES as u16).zip(mine.into_iter().zip(theirs));
        let differ = all.filter(|(_, (mine, theirs))| mine != theirs);
        differ
            .map(|(range, (_, theirs))| (range, theirs == 0))
            .collect()
    }

    /// What is held here in these ranges, as much as fits, and whether that is all.
    fn held(&self, ranges: impl Iterator<Item = u16>) -> (Vec<HeldRange>, bool) {
        let mut lists = Vec::new();
        let mut bytes = 0;
        for range in ranges {
            let list = self.store.read(|table| {
                HeldRange::new(
                    range,
                    table.of_range(range).map(|(key, entry)| held(key, entry)),
                )
            });
            // So many ranges without entries would be a long list too.
            bytes += list.len() + HELD;
            if bytes > HELD_BYTES && !lists.is_empty() {
                return (lists, false);
            }
            lists.push(list);
        }
        (lists, true)
    }

    /// What the sender of an ask lacks.
    fn lacking(&self, ask: &DataAsk, most: usize) -> Lacking {
        let now_ms = self
            .store
            .read(|table| table.clock.earlier_ms(self.wall_ms));
        let forgotten = match forget::is_forgettable(ask.forgotten, now_ms) {
            true => ask.forgotten,
            false => Hlc::default(),
        };
        let mut lacking = Lacking {
            forgotten,
            ..Lacking::default()
        };
        let mut add = |range: u16, theirs: &[HeldEntry]| {
            self.store.read(|table| {
                for (key, entry) in table.of_range(range) {
                    let mine = held(key, entry);
                    let at = theirs.partition_point(|theirs| theirs.key < mine.key);
                    let same_key = theirs.get(at).filter(|theirs| theirs.key == mine.key);
                    // What was counted is merged, so both need what the other has.
                    let is_older =
                        |theirs: &HeldEntry| entry.counts.is_empty() && mine.stamp < theirs.stamp;
                    match same_key {
                        None if entry.newest() < forgotten => lacking.deleted.push(key.clone()),
                        Some(theirs) if theirs.hash == mine.hash || is_older(theirs) => {}
                        _ => lacking.send(key, entry, most),
                    }
                }
            });
            lacking.is_cut
        };
        match &ask.step {
            AskStep::Sums { second, sums } => {
                let empty = self
                    .differing(*second, sums)
                    .into_iter()
                    .filter(|(_, empty)| *empty);
                let _ = empty.into_iter().any(|(range, _)| add(range, &[]));
            }
            AskStep::Held { ranges, .. } => {
                let _ = ranges.iter().any(|list| add(list.range, &list.entries()));
            }
            AskStep::Again => {}
        }
        lacking
    }

    /// Whether a list has anything that is not held here.
    fn lacks_of(&self, list: &HeldRange) -> bool {
        let mut mine: Vec<_> = self.store.read(|table| {
            table
                .of_range(list.range)
                .map(|(key, entry)| held(key, entry))
                .collect()
        });
        mine.sort_unstable();
        list.entries()
            .iter()
            .any(|theirs| mine.binary_search(theirs).is_err())
    }
}

impl Lacking {
    fn send(&mut self, key: &DataKey, entry: &DataEntry, most: usize) {
        if self.is_cut {
            return;
        }
        let (key, entry) = (key.clone(), entry.clone());
        let bytes = StoredEntry { key, entry }.bytes();
        self.is_cut = self.delta.len() + bytes.len() > most;
        if !self.is_cut {
            self.delta.extend_from_slice(&bytes);
        }
    }
}

fn held(key: &DataKey, entry: &DataEntry) -> HeldEntry {
    let key = hash_of(key.as_bytes());
    HeldEntry {
        key,
        hash: entry.hash(key),
        stamp: entry.register.stamp,
    }
}

impl Replicated for SharedData {
    fn summary(&self) -> Vec<u8> {
        self.store.summary(self.wall_ms)
    }

    fn is_same(&self, theirs: &[u8]) -> bool {
        self.store.agrees(theirs, self.wall_ms).unwrap_or(true)
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        (!self.is_same(theirs)).then(|| self.sums())
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        let Some(ask) = DataAsk::read(ask) else {
            return Vec::new();
        };
        let lacking = self.lacking(&ask, most);
        let Lacking {
            deleted, forgotten, ..
        } = &lacking;
        self.store.drop_forgotten(deleted, *forgotten, self.wall_ms);
        self.is_cut.set(lacking.is_cut);
        if !lacking.delta.is_empty() || !lacking.deleted.is_empty() {
            self.has_moved.set(true);
        }
        lacking.delta
    }

    fn merge(&mut self, delta: &[u8]) -> Result<(), Refusal> {
        let entries = read_entries(delta)?;
        let news = self.store.merge_delta(&entries, self.wall_ms);
        self.is_stuck = news == 0;
        self.has_moved.set(news > 0);
        Ok(())
    }

    fn ask_back(&self, ask: &[u8]) -> Option<Vec<u8>> {
        if self.is_stuck {
            return None;
        }
        let goes_on = self.has_moved.get();
        let again = |more: bool| (more && goes_on).then_some(AskStep::Again);
        let step = match DataAsk::read(ask)?.step {
            AskStep::Sums { second, sums } => {
                let differing = self.differing(second, &sums).into_iter();
                let (ranges, all) = self.held(differing.filter(|(_, empty)| !empty).map(|it| it.0));
                let more = !all || self.is_cut.get();
                match ranges.is_empty() {
                    true => again(more),
                    false => Some(AskStep::Held {
                        ranges,
                        more,
                        answers: false,
                    }),
                }
            }
            AskStep::Held {
                ranges,
                more,
                answers,
            } => {
                let lacked = ranges.iter().filter(|list| !answers && self.lacks_of(list));
                let lacked: Vec<u16> = lacked.map(|list| list.range).collect();
                let (held, all) = self.held(lacked.into_iter());
                let more = more || !all || self.is_cut.get();
                match held.is_empty() {
                    true => again(more),
                    false => Some(AskStep::Held {
                        ranges: held,
                        more,
                        answers: true,
                    }),
                }
            }
            AskStep::Again => return goes_on.then(|| self.sums()),
        };
        step.map(|step| self.ask(step))
    }
}
