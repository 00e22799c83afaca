//! The key-value data on the simulated network: machines write, tell each other, and store what
//! was written within a twentieth of a second. What was not stored is lost with the process.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Event, Lan, ms};
use crate::data::{
    DataKey, DataStore, DataWrite, KeyRange, StoredEntry, WriteError, Written, passes_on, told_by,
};
use crate::time::Time;

/// How long a write waits until the disk has it.
const SAVE: std::time::Duration = ms(50);

/// How many bytes go into one write to the disk.
const SAVED_AT_ONCE: usize = 1 << 30;

/// What a disk has of the key-value data.
#[derive(Clone, Debug, Default)]
pub struct DataDisk {
    entries: BTreeMap<DataKey, Vec<u8>>,
    rest: Vec<u8>,
}

/// The key-value data of the process on a machine.
#[derive(Default)]
pub(super) struct MachineData {
    store: DataStore,
    /// When the disk will have what was written.
    saves_at: Option<Time>,
}

impl MachineData {
    /// The store of a new process.
    pub(super) fn load(&mut self, disk: &DataDisk) -> DataStore {
        *self = Self::default();
        for bytes in disk.entries.values() {
            let entry = StoredEntry::read(bytes);
            self.store
                .restore(entry.expect("what was stored can be read"));
        }
        if !disk.rest.is_empty() {
            assert!(
                self.store.restore_rest(&disk.rest),
                "what was stored can be read"
            );
        }
        self.store.clone()
    }
}

impl DataDisk {
    /// What the disk knows of each key.
    pub fn known(&self) -> Vec<StoredEntry> {
        let read = |bytes: &Vec<u8>| StoredEntry::read(bytes).expect("what was stored can be read");
        self.entries.values().map(read).collect()
    }
}

impl Lan {
    /// The key-value data of a machine.
    pub fn data(&self, machine: usize) -> &DataStore {
        &self.machines[machine].store.store
    }

    /// A machine writes.
    ///
    /// # Errors
    /// As [`DataStore::write`].
    pub fn write(&mut self, machine: usize, batch: &[DataWrite]) -> Result<Written, WriteError> {
        let wall_ms = self.wall_ms(machine);
        let written = self.data(machine).write(wall_ms, batch)?;
        self.tell(machine, &written.told);
        Ok(written)
    }

    /// An exchange of a machine ends.
    pub fn end_exchange(&mut self, machine: usize, exchange: u64) {
        let wall_ms = self.wall_ms(machine);
        for told in self.data(machine).end_exchange(wall_ms, exchange) {
            self.tell(machine, &told);
        }
    }

    /// All keys of a bucket with their values, on a machine.
    pub fn bucket(&self, machine: usize, bucket: &str) -> Vec<(DataKey, Bytes)> {
        let range = KeyRange::new(bucket, "").expect("a bucket");
        self.data(machine).page(&range, None, usize::MAX).entries
    }

    fn tell(&mut self, machine: usize, told: &Bytes) {
        self.save_later(machine);
        let Some(node) = &self.machines[machine].node else {
            return;
        };
        let view = node.view();
        let members = told_by(&view, &self.machines[machine].name);
        let ips: Vec<_> = members.iter().map(|member| member.name.ip()).collect();
        for ip in ips {
            if let Some(to) = self
                .at_address
                .get(&ip)
                .and_then(|all| all.first())
                .copied()
            {
                let event = Event::Told {
                    from: machine,
                    bytes: told.clone(),
                };
                self.stream(machine, to, told.len(), event);
            }
        }
    }

    pub(super) fn told(&mut self, machine: usize, from: usize, bytes: &[u8]) {
        let wall_ms = self.wall_ms(machine);
        let name = self.machines[from].name.clone();
        let Some(node) = &self.machines[machine].node else {
            return;
        };
        let view = node.view();
        if view.member(&name).is_none() {
            return;
        }
        let news = self
            .data(machine)
            .take_told(bytes, wall_ms)
            .expect("it can be read");
        self.save_later(machine);
        if let Some(news) = news
            && passes_on(&view)
        {
            self.tell(machine, &news);
        }
    }

    /// If something was written, the disk has it soon.
    pub(super) fn save_later(&mut self, machine: usize) {
        let its = &mut self.machines[machine];
        if its.node.is_some() && its.store.saves_at.is_none() && its.store.store.is_unsaved() {
            its.store.saves_at = Some(self.now + SAVE);
            let life = its.life;
            self.post(machine, SAVE, Event::Save { life });
        }
    }

    pub(super) fn save(&mut self, machine: usize) {
        let its = &mut self.machines[machine];
        its.store.saves_at = None;
        let unsaved = its.store.store.take_unsaved(SAVED_AT_ONCE);
        for (key, bytes) in unsaved.entries {
            match bytes {
                Some(bytes) => its.disk.data.entries.insert(key, bytes),
                None => its.disk.data.entries.remove(&key),
            };
        }
        if let Some(rest) = unsaved.rest {
            its.disk.data.rest = rest;
        }
    }
}
