//! One entry of the key-value data, and how two versions of it become one. Merging is the same in
//! whatever order and however often versions come.

use std::mem::size_of;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::hash::mix;
use crate::release::Hlc;

/// What an entry takes in memory besides its bytes: the tables that it is in.
const ENTRY_OVERHEAD: usize = 160;

/// What is known of a key: the last `set` or `delete`, and what was counted since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataEntry {
    pub(crate) register: Register,
    /// By node and run, each at most once.
    pub(crate) counts: Vec<NodeCount>,
}

/// The last `set` or `delete` of a key. The default is older than all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Register {
    pub(crate) stamp: Hlc,
    /// Who wrote it.
    pub(crate) node: NodeId,
    /// None after a deletion.
    pub(crate) value: Option<Bytes>,
    /// What it lives as long as; none if it stays.
    pub(crate) owner: Option<Owner>,
}

/// The exchange that put an ephemeral entry. Its node is the one that wrote the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The run of the node.
    pub(crate) run: u64,
    pub(crate) exchange: u64,
}

/// What one run of a node has counted on a key since the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeCount {
    pub(crate) node: NodeId,
    pub(crate) run: u64,
    /// When it began to count. A register with a later stamp ends it.
    pub(crate) begin: Hlc,
    /// When it last counted.
    pub(crate) stamp: Hlc,
    pub(crate) up: u64,
    pub(crate) down: u64,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            stamp: Hlc::default(),
            node: NodeId::from_bytes([0; 8]),
            value: None,
            owner: None,
        }
    }
}

impl Register {
    fn hash(&self, key: u64) -> u64 {
        if *self == Self::default() {
            return 0;
        }
        let owner = self
            .owner
            .map_or(0, |owner| mix(owner.run ^ mix(owner.exchange)) | 1);
        let value = self.value.as_ref().map_or(0, |value| hash_of(value) | 1);
        [self.stamp.number(), self.node.as_number(), owner, value]
            .into_iter()
            .fold(key, |hash, word| mix(hash ^ word))
    }
}

impl NodeCount {
    fn who(&self) -> (NodeId, u64) {
        (self.node, self.run)
    }

    /// What is known of one run's count after both were heard.
    fn merge(&mut self, other: &Self) {
        if other.begin > self.begin {
            *self = *other;
        } else if other.begin == self.begin {
            self.stamp = self.stamp.max(other.stamp);
            self.up = self.up.max(other.up);
            self.down = self.down.max(other.down);
        }
    }

    fn hash(&self, key: u64) -> u64 {
        let words = [
            self.node.as_number(),
            self.run,
            self.begin.number(),
            self.stamp.number(),
            self.up,
            self.down,
        ];
        words.into_iter().fold(!key, |hash, word| mix(hash ^ word))
    }
}

impl DataEntry {
    /// Takes in another version.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.register > self.register {
            self.register = other.register.clone();
        }
        for count in &other.counts {
            match self.find(count.who()) {
                Ok(at) => self.counts[at].merge(count),
                Err(at) => self.counts.insert(at, *count),
            }
        }
        self.drop_reset();
    }

    /// Writes the register anew. What was counted before is over.
    pub(crate) fn set(&mut self, register: Register) {
        self.register = register;
        self.drop_reset();
    }

    fn drop_reset(&mut self) {
        let reset = self.register.stamp;
        self.counts.retain(|count| count.begin > reset);
    }

    fn find(&self, who: (NodeId, u64)) -> Result<usize, usize> {
        self.counts.binary_search_by_key(&who, NodeCount::who)
    }

    /// The count of this run; a new one begins at the stamp.
    pub(crate) fn count(&mut self, (node, run): (NodeId, u64), stamp: Hlc) -> &mut NodeCount {
        let at = self.find((node, run)).unwrap_or_else(|at| {
            let (begin, up, down) = (stamp, 0, 0);
            let count = NodeCount {
                node,
                run,
                begin,
                stamp,
                up,
                down,
            };
            self.counts.insert(at, count);
            at
        });
        &mut self.counts[at]
    }

    /// The value, whoever may see it. A counter is written in decimal digits.
    pub(crate) fn value(&self) -> Option<Bytes> {
        if self.counts.is_empty() {
            return self.register.value.clone();
        }
        match self.number() {
            Some(number) => Some(number.to_string().into()),
            None => self.register.value.clone(),
        }
    }

    /// The value as a number, 0 if there is none; none if it is no number of 64 bits. A sum that
    /// no such number has is the nearest one.
    pub(crate) fn number(&self) -> Option<i64> {
        let start: i64 = match &self.register.value {
            Some(value) => std::str::from_utf8(value).ok()?.parse().ok()?,
            None => 0,
        };
        let counted = |count: &NodeCount| i128::from(count.up) - i128::from(count.down);
        let sum = i128::from(start) + self.counts.iter().map(counted).sum::<i128>();
        Some(sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Whether the key is deleted.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.register.value.is_none() && self.counts.is_empty()
    }

    /// The latest time at which something was written that still counts.
    pub(crate) fn newest(&self) -> Hlc {
        let counted = self.counts.iter().map(|count| count.stamp).max();
        self.register.stamp.max(counted.unwrap_or_default())
    }

    /// Whether a clock can have shown all its times.
    pub(crate) fn is_plausible(&self) -> bool {
        let ordered = self
            .counts
            .is_sorted_by(|one, other| one.who() < other.who());
        let counts = self.counts.iter().all(|it| it.begin <= it.stamp);
        ordered && counts && self.newest().is_plausible()
    }

    /// Equal for equal versions of a key, and hardly ever for others. That of an entry without
    /// anything is 0.
    pub(crate) fn hash(&self, key: u64) -> u64 {
        let counts = self.counts.iter().map(|count| count.hash(key));
        counts.fold(self.register.hash(key), u64::wrapping_add)
    }

    /// How many bytes of the store it takes, with a key of so many.
    pub(crate) fn weight(&self, key: usize) -> usize {
        let value = self.register.value.as_ref().map_or(0, Bytes::len);
        let counts = self.counts.len() * size_of::<NodeCount>();
        ENTRY_OVERHEAD + key + value + counts
    }
}

/// The hash of a run of bytes.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let start = mix(bytes.len() as u64);
    let hash = words
        .iter()
        .fold(start, |hash, word| mix(hash ^ u64::from_le_bytes(*word)));
    rest.iter()
        .fold(hash, |hash, byte| mix(hash ^ u64::from(*byte)))
}
