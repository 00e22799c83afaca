//! Entries as bytes: on the disk, in a delta, and in what members tell each other at once.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::entry::DataEntry;
use super::forget::KnownMembers;
use super::key::DataKey;
use super::table::{COUNTS_MAX, VALUE_MAX};
use super::write::{BATCH_MAX, WRITES_MAX};
use crate::Refusal;
use crate::release::Hlc;
use crate::replicate::read_all;

/// The most bytes of what is told at once: one batch of writes, however they are split.
pub const TOLD_MAX: usize = BATCH_MAX + 1024 * 1024;

/// A key, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    pub(crate) key: DataKey,
    pub(crate) entry: DataEntry,
}

/// What is stored beside the entries.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct StoredRest {
    pub(super) clock: Hlc,
    pub(super) forgotten: Hlc,
    pub(super) known: KnownMembers,
}

impl StoredEntry {
    /// The entry in these bytes of the disk; none if they are something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (entry, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        (rest.is_empty() && entry.is_legal()).then_some(entry)
    }

    /// The key.
    pub fn key(&self) -> &DataKey {
        &self.key
    }

    /// Whether the key is deleted.
    pub fn is_deleted(&self) -> bool {
        self.entry.is_tombstone()
    }

    /// Takes in what another node knows of the same key.
    #[cfg(feature = "sim")]
    pub fn merge(&mut self, other: &Self) {
        self.entry.merge(&other.entry);
    }

    /// The bytes for the disk.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    fn is_legal(&self) -> bool {
        let value = self.entry.register.value.as_ref().map_or(0, Bytes::len);
        value <= VALUE_MAX && self.entry.counts.len() <= COUNTS_MAX && self.entry.is_plausible()
    }
}

/// Reads the entries of a delta.
///
/// # Errors
/// They cannot be read, or break a limit.
pub(super) fn read_entries(bytes: &[u8]) -> Result<Vec<StoredEntry>, Refusal> {
    let entries: Vec<StoredEntry> = read_all(bytes, bytes.len())?;
    match entries.iter().all(StoredEntry::is_legal) {
        true => Ok(entries),
        false => Err(Refusal::Content),
    }
}

/// Reads batches of writes that were told, one after the other.
///
/// # Errors
/// They cannot be read, or break a limit.
pub(super) fn read_told(bytes: &[u8]) -> Result<Vec<Vec<StoredEntry>>, Refusal> {
    if bytes.len() > TOLD_MAX {
        return Err(Refusal::Size);
    }
    let batches: Vec<Vec<StoredEntry>> = read_all(bytes, bytes.len())?;
    let legal = |batch: &Vec<StoredEntry>| {
        batch.len() <= WRITES_MAX && batch.iter().all(StoredEntry::is_legal)
    };
    match batches.iter().all(legal) {
        true => Ok(batches),
        false => Err(Refusal::Content),
    }
}

/// A batch of writes as bytes, to be told.
pub(super) fn write_told(batch: &[StoredEntry]) -> Bytes {
    postcard::to_allocvec(batch).unwrap_or_default().into()
}

/// Reads bytes as each of the forms that come from outside; for the fuzzers.
#[cfg(feature = "sim")]
pub fn check_bytes(bytes: &[u8]) {
    if let Some(entry) = StoredEntry::read(bytes) {
        assert_eq!(
            StoredEntry::read(&entry.bytes()),
            Some(entry),
            "it reads back"
        );
    }
    let store = super::DataStore::default();
    if store.take_told(bytes, 1_700_000_000_000).is_ok() {
        let sums = store.summary(1_700_000_100_000);
        let again = store.take_told(bytes, 1_700_000_000_000);
        assert_eq!(again.ok().flatten(), None, "what was taken is no news");
        assert_eq!(sums, store.summary(1_700_000_100_000));
    }
}
