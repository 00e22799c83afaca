//! What of a table the disk does not have yet, and what comes from there.

use super::{DataEntry, DataKey, DataTable, Hlc};

impl DataTable {
    /// Whether anything is to be stored.
    pub(in crate::data) fn is_dirty(&self) -> bool {
        self.dirty.rest || !self.dirty.keys.is_empty()
    }

    /// Takes keys that are to be stored, about so many bytes of entries.
    pub(in crate::data) fn take_dirty(&mut self, most: usize) -> Vec<DataKey> {
        let mut keys = Vec::new();
        let mut bytes = 0;
        while bytes < most
            && let Some(key) = self.dirty.keys.pop_first()
        {
            let length = key.as_bytes().len();
            bytes += self
                .entries
                .get(&key)
                .map_or(length, |it| it.weight(length));
            keys.push(key);
        }
        self.dirty.rest = !self.dirty.keys.is_empty();
        keys
    }

    /// Puts keys back that could not be stored.
    pub(in crate::data) fn put_back(&mut self, keys: impl Iterator<Item = DataKey>) {
        self.dirty.rest = true;
        self.dirty.keys.extend(keys);
    }

    /// Takes in an entry of the disk.
    pub(in crate::data) fn restore(&mut self, key: &DataKey, entry: DataEntry) {
        self.exchange(key, Some(entry), 0, 0);
        self.dirty.keys.remove(key);
    }

    /// Goes on with what was stored of deletions that are forgotten.
    pub(in crate::data) fn restore_forgotten(&mut self, until: Hlc) {
        self.forgotten.until = until;
    }
}
