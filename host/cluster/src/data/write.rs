//! Writes of this node. A batch holds whole or not at all, under one stamp.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::entry::{DataEntry, Owner, Register};
use super::key::DataKey;
use super::sent::{StoredEntry, write_told};
use super::table::{COUNTS_MAX, DATA_MAX, DataTable, VALUE_MAX};
use crate::release::Hlc;

/// The most bytes of keys and values in one batch.
pub const BATCH_MAX: usize = 4 * 1024 * 1024;

/// The most writes in one batch.
pub const WRITES_MAX: usize = 1024;

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataWrite {
    /// The key gets this value.
    Put(DataKey, Bytes),
    /// The key gets this value until the exchange ends, or its node goes.
    PutWhileOpen(DataKey, Bytes, u64),
    /// The number of the key grows by this, or shrinks.
    Increment(DataKey, i64),
    /// The key is deleted.
    Delete(DataKey),
}

/// Why nothing of a batch was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The store has no room.
    #[error(
        "the key-value store is full: it holds {held} of {DATA_MAX} bytes, and the write needs \
         {more} more; delete keys to make room"
    )]
    Full {
        /// How many bytes it holds.
        held: usize,
        /// How many more the batch needs.
        more: usize,
    },
    /// A value is too long.
    #[error("a value of {bytes} bytes for the key {key}; at most {VALUE_MAX} are allowed")]
    Value {
        /// The key.
        key: DataKey,
        /// The length of the value.
        bytes: usize,
    },
    /// What is to be counted is no number.
    #[error(
        "the key {0} has a value that is no whole number of 64 bits, so it cannot be counted up"
    )]
    NoNumber(DataKey),
    /// The sum would be too large.
    #[error("the key {0} would become larger or smaller than a number of 64 bits can be")]
    Overflow(DataKey),
    /// Too many runs of nodes have counted.
    #[error(
        "{COUNTS_MAX} runs of nodes have counted the key {0} since it was last set; set it to \
         its value, and it can be counted on"
    )]
    Counts(DataKey),
    /// The clock, or what is known of a key, is at the end of all times.
    #[error(
        "the clock of this node, or the last write of one of the keys, is beyond the year 2200, and no write can \
         come after that; see that the clock is right"
    )]
    Time,
    /// The batch is too large.
    #[error(
        "{writes} writes with {bytes} bytes at once; at most {WRITES_MAX} with {BATCH_MAX} bytes are allowed"
    )]
    Batch {
        /// How many writes.
        writes: usize,
        /// How many bytes of keys and values.
        bytes: usize,
    },
}

/// A batch that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The stamp that its writes have.
    pub stamp: Hlc,
    /// What the members have to be told at once.
    pub told: Bytes,
    /// What this node has after each increment, in their order.
    pub numbers: Vec<i64>,
}

impl DataWrite {
    /// The key that is written.
    pub fn key(&self) -> &DataKey {
        match self {
            Self::Put(key, _)
            | Self::PutWhileOpen(key, _, _)
            | Self::Increment(key, _)
            | Self::Delete(key) => key,
        }
    }

    /// How many bytes its key and value have.
    pub fn bytes(&self) -> usize {
        let value = match self {
            Self::Put(_, value) | Self::PutWhileOpen(_, value, _) => value.len(),
            Self::Increment(..) | Self::Delete(_) => 0,
        };
        self.key().as_bytes().len() + value
    }
}

/// A key that a batch changes: what it will be, and what of that is new.
struct Changing {
    entry: DataEntry,
    news: DataEntry,
}

impl DataTable {
    /// Writes a batch. Returns it, and the keys whose value has changed.
    ///
    /// # Errors
    /// Says why nothing was written.
    pub(super) fn write(
        &mut self,
        wall_ms: u64,
        batch: &[DataWrite],
    ) -> Result<(Written, Vec<DataKey>), WriteError> {
        let bytes = batch.iter().map(DataWrite::bytes).sum();
        if batch.len() > WRITES_MAX || bytes > BATCH_MAX {
            let writes = batch.len();
            return Err(WriteError::Batch { writes, bytes });
        }
        let keys = batch.iter().map(DataWrite::key);
        let known = keys
            .filter_map(|key| self.entry(key))
            .map(DataEntry::newest);
        let after = known.max().unwrap_or_default().max(self.forgotten());
        let stamp = self.clock.stamp(wall_ms, after);
        if !stamp.is_plausible() {
            return Err(WriteError::Time);
        }
        let mut changing = BTreeMap::new();
        let mut numbers = Vec::new();
        for write in batch {
            let known = self.entry(write.key());
            let change = changing.entry(write.key()).or_insert_with(|| Changing {
                entry: known.cloned().unwrap_or_default(),
                news: DataEntry::default(),
            });
            numbers.extend(self.one(change, write, stamp)?);
        }
        changing.retain(|_, change| change.news != DataEntry::default());
        self.make_room(&changing)?;
        let mut changed = Vec::new();
        let mut told = Vec::with_capacity(changing.len());
        for (key, Changing { entry, news }) in changing {
            if self.put(key, entry, wall_ms) {
                changed.push(key.clone());
            }
            let (key, entry) = (key.clone(), news);
            told.push(StoredEntry { key, entry });
        }
        let told = write_told(&told);
        Ok((
            Written {
                stamp,
                told,
                numbers,
            },
            changed,
        ))
    }

    /// Makes one write of a batch; returns the new number of an increment.
    fn one(
        &self,
        change: &mut Changing,
        write: &DataWrite,
        stamp: Hlc,
    ) -> Result<Option<i64>, WriteError> {
        let (node, run) = self.writer();
        let register = |value: Option<Bytes>, owner| Register {
            stamp,
            node,
            value,
            owner,
        };
        let (key, value, owner) = match write {
            DataWrite::Put(key, value) => (key, value, None),
            DataWrite::PutWhileOpen(key, value, exchange) => {
                let exchange = *exchange;
                (key, value, Some(Owner { run, exchange }))
            }
            DataWrite::Delete(_) => {
                if !change.entry.is_tombstone() {
                    change.set(register(None, None));
                }
                return Ok(None);
            }
            DataWrite::Increment(key, amount) => {
                return self.increment(change, key, *amount, stamp).map(Some);
            }
        };
        if value.len() > VALUE_MAX {
            let (key, bytes) = (key.clone(), value.len());
            return Err(WriteError::Value { key, bytes });
        }
        change.set(register(Some(value.clone()), owner));
        Ok(None)
    }

    fn increment(
        &self,
        change: &mut Changing,
        key: &DataKey,
        amount: i64,
        stamp: Hlc,
    ) -> Result<i64, WriteError> {
        let before = change.entry.number();
        let before = before.ok_or_else(|| WriteError::NoNumber(key.clone()))?;
        let sum = before.checked_add(amount);
        let sum = sum.ok_or_else(|| WriteError::Overflow(key.clone()))?;
        let (node, run) = self.writer();
        if change.entry.register.stamp == stamp {
            // The same batch has set it: the sum is what it sets.
            let owner = change.entry.register.owner;
            let value = Some(Bytes::from(sum.to_string()));
            change.set(Register {
                stamp,
                node,
                value,
                owner,
            });
            return Ok(sum);
        }
        let count = change.entry.count((node, run), stamp);
        count.stamp = stamp;
        let overflow = || WriteError::Overflow(key.clone());
        let part = if amount < 0 {
            &mut count.down
        } else {
            &mut count.up
        };
        *part = part
            .checked_add(amount.unsigned_abs())
            .ok_or_else(overflow)?;
        let count = *count;
        if change.entry.counts.len() > COUNTS_MAX {
            return Err(WriteError::Counts(key.clone()));
        }
        *change.news.count((node, run), count.begin) = count;
        Ok(sum)
    }

    /// Checks that there is room for what the keys will be. A batch that makes the store no
    /// larger always has room.
    fn make_room(&self, changing: &BTreeMap<&DataKey, Changing>) -> Result<(), WriteError> {
        let (mut before, mut after) = (0, 0);
        for (key, change) in changing {
            let length = key.as_bytes().len();
            before += self.entry(key).map_or(0, |entry| entry.weight(length));
            after += change.entry.weight(length);
        }
        let (held, more) = (self.bytes(), after.saturating_sub(before));
        if more > 0 && held + more > DATA_MAX {
            return Err(WriteError::Full { held, more });
        }
        Ok(())
    }
}

impl Changing {
    fn set(&mut self, register: Register) {
        self.news.set(register.clone());
        self.entry.set(register);
    }
}
