//! Random scenarios of key-value data. A scenario follows from its seed alone; one that fails runs
//! again with `CLUSTER_SEED`. `CLUSTER_SEEDS` says how many there are.

use std::collections::BTreeMap;

use bytes::Bytes;
use cluster::data::{DataKey, DataWrite, StoredEntry};
use cluster::sim::{Lan, ms, secs, with_seeds};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{cut, equal, wait};

/// How many keys are written to.
const KEYS: u32 = 24;

/// Random events on a network.
struct Chaos<'a> {
    lan: &'a mut Lan,
    rng: StdRng,
    all: Vec<usize>,
    written: u32,
    /// The ephemeral keys that must be there, and the machine and exchange of each.
    open: BTreeMap<DataKey, (usize, u64)>,
}

impl Chaos<'_> {
    fn key(&mut self) -> DataKey {
        let name = self.rng.random_range(0..KEYS).to_string();
        DataKey::new("default", &name).expect("a key")
    }

    fn machine(&mut self) -> usize {
        self.all[self.rng.random_range(0..self.all.len())]
    }

    fn write(&mut self, machine: usize) {
        let count = self.rng.random_range(1..4);
        let mut batch = Vec::new();
        for _ in 0..count {
            let key = self.key();
            self.written += 1;
            batch.push(match self.rng.random_range(0..10) {
                0..5 => DataWrite::Put(key, self.written.to_string().into()),
                5..7 => DataWrite::Delete(key),
                _ => DataWrite::Increment(key, self.rng.random_range(-5..10)),
            });
        }
        self.lan.write(machine, &batch).expect("room");
    }

    fn open(&mut self, machine: usize) {
        self.written += 1;
        let (exchange, name) = (u64::from(self.written), format!("{machine}"));
        let key = DataKey::new("presence", &name).expect("a key");
        if let Some((_, before)) = self.open.insert(key.clone(), (machine, exchange)) {
            self.lan.end_exchange(machine, before);
        }
        let write = DataWrite::PutWhileOpen(key, Bytes::from_static(b"here"), exchange);
        self.lan.write(machine, &[write]).expect("room");
    }

    /// The process of a machine ends. What is older than 100 ms must be on its disk.
    fn kill(&mut self, machine: usize) {
        let held = self.lan.data(machine).known();
        self.lan.run(ms(100));
        self.lan.kill(machine);
        self.open.retain(|_, (of, _)| *of != machine);
        let disk = self.lan.machines[machine].disk.data.known();
        holds_all(&disk, &held, "its disk");
    }

    fn step(&mut self) {
        let machine = self.machine();
        let runs = self.lan.machines[machine].node.is_some();
        match self.rng.random_range(0..100) {
            0..50 if runs => self.write(machine),
            50..56 if runs => self.open(machine),
            56..60 if runs => {
                if let Some((key, &(of, exchange))) = self.open.iter().next() {
                    let key = key.clone();
                    self.open.remove(&key);
                    self.lan.end_exchange(of, exchange);
                }
            }
            60..68 if runs => self.kill(machine),
            68..72 if !runs => {
                // A disk that is wiped loses what no other node has: all must be equal.
                let others = self.running();
                if !others.is_empty() && equal(self.lan, &others) && self.lan.agree(&others) {
                    self.lan.machines[machine].disk.data = Default::default();
                }
                self.lan.start(machine);
            }
            60..80 if !runs => self.lan.start(machine),
            80..86 => {
                let some = self.rng.random_range(1..self.all.len());
                let some = self.all[..some].to_vec();
                cut(self.lan, &some);
            }
            86..92 => cut(self.lan, &[]),
            92..95 => {
                let hours = self.rng.random_range(-30..30);
                self.lan.machines[machine].clock_off = hours * 3_600_000;
            }
            95..97 => self.lan.loss = self.rng.random_range(0.0..0.2),
            _ => {
                let pause = self.lan.chance(secs(20));
                self.lan.run(pause);
            }
        }
        let pause = self.lan.chance(ms(700));
        self.lan.run(pause);
    }

    fn running(&self) -> Vec<usize> {
        let runs = |machine: &usize| self.lan.machines[*machine].node.is_some();
        self.all.iter().copied().filter(runs).collect()
    }

    /// All that running nodes, and the disks of the others, know.
    fn known_anywhere(&self) -> BTreeMap<DataKey, StoredEntry> {
        let mut known: BTreeMap<DataKey, StoredEntry> = BTreeMap::new();
        for &machine in &self.all {
            let held = match self.lan.machines[machine].node {
                Some(_) => self.lan.data(machine).known(),
                None => self.lan.machines[machine].disk.data.known(),
            };
            for entry in held {
                match known.get_mut(entry.key()) {
                    Some(other) => other.merge(&entry),
                    None => {
                        known.insert(entry.key().clone(), entry);
                    }
                }
            }
        }
        known
    }

    /// All comes back, and nobody writes any more: all are equal, and nothing is lost.
    fn heal(&mut self) {
        let known = self.known_anywhere();
        cut(self.lan, &[]);
        self.lan.loss = 0.0;
        self.lan.machines.iter_mut().for_each(|it| it.clock_off = 0);
        let off = self
            .all
            .iter()
            .filter(|it| self.lan.machines[**it].node.is_none());
        for machine in off.copied().collect::<Vec<_>>() {
            self.lan.start(machine);
        }
        let all = self.all.clone();
        wait(self.lan, secs(150), "equal after the heal", |lan| {
            lan.agree(&all) && equal(lan, &all)
        });
        let after = self.lan.data(all[0]).known();
        let known: Vec<StoredEntry> = known.into_values().collect();
        holds_all(&after, &known, "after the heal, a node");
        let shown = self.lan.bucket(all[0], "presence");
        let shown: Vec<DataKey> = shown.into_iter().map(|(key, _)| key).collect();
        let open: Vec<DataKey> = self.open.keys().cloned().collect();
        assert_eq!(shown, open, "the ephemeral keys of exchanges that are open");
    }
}

/// What is held is at least all of this.
fn holds_all(held: &[StoredEntry], all: &[StoredEntry], who: &str) {
    let held: BTreeMap<&DataKey, &StoredEntry> = held.iter().map(|it| (it.key(), it)).collect();
    for entry in all {
        let there = held.get(entry.key()).copied();
        let there = there.unwrap_or_else(|| panic!("{who} lacks {}", entry.key()));
        let mut merged = there.clone();
        merged.merge(entry);
        assert_eq!(&merged, there, "{who} has an older version");
    }
}

fn run(lan: &mut Lan, seed: u64, sizes: std::ops::Range<usize>, steps: usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let count = rng.random_range(sizes);
    let all = lan.cluster(count);
    lan.run(secs(3));
    let (written, open) = (0, BTreeMap::new());
    let mut chaos = Chaos {
        lan,
        rng,
        all,
        written,
        open,
    };
    for _ in 0..3 {
        (0..steps).for_each(|_| chaos.step());
        chaos.heal();
    }
}

#[test]
fn all_are_equal_after_every_heal_and_nothing_is_lost() {
    let given = std::env::var("CLUSTER_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    with_seeds(given.unwrap_or(25), |lan| {
        let seed = lan.seed();
        run(lan, seed, 3..7, 60);
    });
}

#[test]
fn so_they_are_when_there_are_many() {
    with_seeds(2, |lan| {
        let seed = lan.seed();
        run(lan, seed, 40..60, 60);
    });
}
