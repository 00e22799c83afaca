//! The key-value data as one call sees it. A callback reads what it has written, though nobody else
//! does before it returns. What a `wasi:http` component writes holds at once.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ::cluster::data::{
    BATCH_MAX, DataKey, DataStore, DataWrite, KeyRange, VALUE_MAX, WRITES_MAX, WriteError,
};
use bytes::Bytes;

/// How many keys are listed at a time.
const PAGE: usize = 1000;

/// The wall clock in milliseconds since 1970-01-01 UTC.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// What a call reads and writes.
#[derive(Debug, Default)]
pub(crate) struct CallData {
    /// None once the call is over: a store of its own would cost more than most calls.
    store: Option<DataStore>,
    /// The mark of the store when the call began.
    began: u64,
    /// Whether writes hold at once.
    at_once: bool,
    /// The writes that wait until the call returns.
    waiting: Vec<DataWrite>,
    /// How many bytes of keys and values these have.
    waiting_bytes: usize,
    /// What these make of their keys.
    changed: BTreeMap<DataKey, Option<Bytes>>,
}

/// Some names of keys, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    /// Behind which key the next ones are; none if no key is there any more.
    pub(super) last: Option<DataKey>,
    pub(super) more: bool,
}

impl CallData {
    /// What a call sees that begins now.
    pub(super) fn new(store: DataStore) -> CallData {
        CallData {
            began: store.mark(),
            store: Some(store),
            at_once: false,
            waiting: Vec::new(),
            waiting_bytes: 0,
            changed: BTreeMap::new(),
        }
    }

    /// From now on each write holds at once.
    pub(crate) fn write_at_once(&mut self) {
        self.at_once = true;
    }

    /// The mark of the store when the call began.
    pub(super) fn began(&self) -> u64 {
        self.began
    }

    /// Whether the call has written.
    pub(super) fn was_used(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The writes that wait. They are not there any more afterwards.
    pub(super) fn take_waiting(&mut self) -> Vec<DataWrite> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &DataKey) -> Option<Bytes> {
        match self.changed.get(key) {
            Some(value) => value.clone(),
            None => self.store.as_ref()?.get(key),
        }
    }

    /// The names behind `after` in a bucket.
    pub(super) fn names(&self, all: &KeyRange, after: Option<&DataKey>) -> Names {
        let page = self.store.as_ref().map(|it| it.page(all, after, PAGE));
        let page = page.unwrap_or_default();
        let mut keys: BTreeMap<&DataKey, bool> =
            page.entries.iter().map(|(key, _)| (key, true)).collect();
        let last = page
            .entries
            .last()
            .map(|(key, _)| key)
            .filter(|_| page.more);
        let changed = self.changed.iter().filter(|(key, _)| {
            let is_behind = after.is_none_or(|after| *key > after);
            all.contains(key) && is_behind && last.is_none_or(|last| *key <= last)
        });
        keys.extend(changed.map(|(key, value)| (key, value.is_some())));
        let there = keys.into_iter().filter(|(_, is_there)| *is_there);
        let last = last.cloned();
        Names {
            last,
            names: there.map(|(key, _)| key.name().to_owned()).collect(),
            more: page.more,
        }
    }

    /// Writes, at once or when the call returns. Returns what it sees after each increment.
    ///
    /// # Errors
    /// Nothing was written.
    pub(super) fn write(&mut self, writes: Vec<DataWrite>) -> Result<Vec<i64>, WriteError> {
        if self.at_once
            && let Some(store) = &self.store
        {
            return Ok(store.write(wall_ms(), &writes)?.numbers);
        }
        let mut numbers = Vec::new();
        for write in writes {
            let value = match &write {
                DataWrite::Put(key, value) | DataWrite::PutWhileOpen(key, value, _) => {
                    if value.len() > VALUE_MAX {
                        let (key, bytes) = (key.clone(), value.len());
                        return Err(WriteError::Value { key, bytes });
                    }
                    Some(value.clone())
                }
                DataWrite::Delete(_) => None,
                DataWrite::Increment(key, amount) => {
                    let sum = self.sum(key, *amount)?;
                    numbers.push(sum);
                    Some(sum.to_string().into())
                }
            };
            let (count, bytes) = (self.waiting.len() + 1, self.waiting_bytes + write.bytes());
            if count > WRITES_MAX || bytes > BATCH_MAX {
                let writes = count;
                return Err(WriteError::Batch { writes, bytes });
            }
            self.waiting_bytes = bytes;
            self.changed.insert(write.key().clone(), value);
            self.waiting.push(write);
        }
        Ok(numbers)
    }

    fn sum(&self, key: &DataKey, amount: i64) -> Result<i64, WriteError> {
        let number = match self.get(key) {
            None => Some(0),
            Some(value) => std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse().ok()),
        };
        let number: i64 = number.ok_or_else(|| WriteError::NoNumber(key.clone()))?;
        let sum = number.checked_add(amount);
        sum.ok_or_else(|| WriteError::Overflow(key.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> DataKey {
        DataKey::new("default", name).expect("a key")
    }

    fn put(name: &str, value: &'static str) -> DataWrite {
        DataWrite::Put(key(name), Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn a_callback_reads_what_it_has_written_and_nobody_else_does() {
        let store = DataStore::default();
        store
            .write(wall_ms(), &[put("a", "1"), put("b", "2")])
            .expect("written");
        let mut call = CallData::new(store.clone());
        let count = DataWrite::Increment(key("n"), 2);
        let writes = vec![
            put("c", "3"),
            DataWrite::Delete(key("a")),
            count.clone(),
            count,
        ];
        assert_eq!(call.write(writes).expect("noted"), [2, 4]);
        assert_eq!(
            (call.get(&key("a")), call.get(&key("n"))),
            (None, Some("4".into()))
        );
        let all = KeyRange::new("default", "").expect("a range");
        assert_eq!(call.names(&all, None).names, ["b", "c", "n"]);
        assert_eq!(call.names(&all, Some(&key("b"))).names, ["c", "n"]);
        assert_eq!(
            (store.get(&key("a")), store.get(&key("c"))),
            (Some("1".into()), None)
        );
        assert_eq!(call.take_waiting().len(), 4);
    }

    #[test]
    fn what_a_request_writes_holds_at_once() {
        let store = DataStore::default();
        let mut call = CallData::new(store.clone());
        call.write_at_once();
        call.write(vec![put("a", "1")]).expect("written");
        assert_eq!(store.get(&key("a")), Some("1".into()));
        assert!(!call.was_used());
    }
}
