//! What one exchange has to do with key-value data between its callbacks: the ranges that it watches, and
//! the keys that live as long as it does.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use cluster::data::{DataKey, DataStore, DataWatch, DataWrite, KeyRange, WriteError};

use super::event::never;
use crate::contract::data::{Key, KeyChange};
use crate::contract::mailbox::Message;
use crate::contract::wall_ms;

/// The watches and the ephemeral keys of an exchange. The keys are deleted when this is dropped.
#[derive(Debug)]
pub(super) struct ExchangeKeys {
    store: DataStore,
    watches: Vec<(KeyRange, DataWatch)>,
    /// What has changed, and the exchange was not told yet.
    changed: BTreeSet<DataKey>,
    /// The number of the exchange among all of this process, once it has put such a key.
    number: Option<u64>,
}

/// Counts the exchanges that have put keys of their own.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl ExchangeKeys {
    /// Those of an exchange that begins.
    pub(super) fn new(store: DataStore) -> ExchangeKeys {
        ExchangeKeys {
            store,
            watches: Vec::new(),
            changed: BTreeSet::new(),
            number: None,
        }
    }

    /// The ranges that are watched.
    pub(super) fn watches(&self) -> &[(KeyRange, DataWatch)] {
        &self.watches
    }

    /// Writes what a callback has asked for, as a whole.
    ///
    /// # Errors
    /// Nothing was written.
    pub(super) fn write(&mut self, mut writes: Vec<DataWrite>) -> Result<(), WriteError> {
        if writes.is_empty() {
            return Ok(());
        }
        for write in &mut writes {
            if let DataWrite::PutWhileOpen(_, _, number) = write {
                let next = || NUMBERS.fetch_add(1, Ordering::Relaxed);
                *number = *self.number.get_or_insert_with(next);
            }
        }
        self.store.write(wall_ms(), &writes).map(drop)
    }

    /// Watches a range from this mark of the store on.
    pub(super) fn watch(&mut self, range: KeyRange, since: u64) {
        let watch = self.store.watch_since(&range, since);
        self.watches.push((range, watch));
    }

    /// Watches a range no longer.
    pub(super) fn unwatch(&mut self, range: &KeyRange) {
        self.watches.retain(|(watched, _)| watched != range);
    }

    /// Waits for a change of a key that is watched. It may be dropped at any time without losing
    /// one.
    pub(super) async fn next(&mut self) -> Message {
        if self.watches.is_empty() && self.changed.is_empty() {
            return never().await;
        }
        loop {
            if let Some(key) = self.changed.pop_first() {
                let value = self.store.get(&key).map(|value| value.to_vec());
                let (bucket, name) = (key.bucket().to_owned(), key.name().to_owned());
                let key = Key { bucket, name };
                return Message::KeyChanged(KeyChange { key, value });
            }
            if !poll_fn(|context| self.poll_changed(context)).await {
                return Message::Lagged(1);
            }
        }
    }

    /// Takes what has changed. False if that were too many keys to note.
    fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let mut is_ready = false;
        let mut has_all = true;
        for (_, watch) in &self.watches {
            if watch.poll_changed(context).is_ready() {
                is_ready = true;
                match watch.take() {
                    Some(keys) => self.changed.extend(keys),
                    None => has_all = false,
                }
            }
        }
        match is_ready {
            true => Poll::Ready(has_all),
            false => Poll::Pending,
        }
    }
}

impl Drop for ExchangeKeys {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.store.end_exchange(wall_ms(), number);
        }
    }
}
