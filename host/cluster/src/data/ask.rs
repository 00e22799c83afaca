//! What two nodes ask each other to find where they differ. First one says the sums of all ranges.
//! The other answers with what it holds in the ranges that differ, the first with the entries that
//! are missing there and with what it holds, and the other with the entries that are missing here.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::sums::RANGES;
use crate::release::Hlc;

/// How many bytes of lists one ask has at most.
pub(super) const HELD_BYTES: usize = 64 * 1024;

/// How many bytes of such a list one entry takes.
pub(super) const HELD: usize = 24;

/// An ask.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DataAsk {
    /// The sender has forgotten deletions before this.
    pub(super) forgotten: Hlc,
    pub(super) step: AskStep,
}

/// The step of an exchange.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum AskStep {
    /// The sums of all ranges as of the begin of this second.
    Sums { second: u64, sums: Bytes },
    /// What the sender holds in these ranges.
    Held {
        ranges: Vec<HeldRange>,
        /// Whether other ranges differ too.
        more: bool,
        /// Whether the receiver has said what it holds in them.
        answers: bool,
    },
    /// There is more: the receiver is to begin anew.
    Again,
}

/// What a node holds of one key, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldEntry {
    /// The hash of the key.
    pub(super) key: u64,
    /// The hash of what is known of it.
    pub(super) hash: u64,
    /// The stamp of its register.
    pub(super) stamp: Hlc,
}

/// What a node holds in one range.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeldRange {
    pub(super) range: u16,
    /// 24 bytes for each entry: the hash of its key, the hash of what is known of it, the stamp
    /// of its register.
    held: Bytes,
}

impl DataAsk {
    /// Reads an ask; none if the bytes are none. A summary is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (ask, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        let in_order = match &ask.step {
            AskStep::Held { ranges, .. } => {
                let numbers = || ranges.iter().map(|it| it.range);
                numbers().is_sorted_by(|one, other| one < other)
                    && numbers().all(|range| usize::from(range) < RANGES)
            }
            AskStep::Sums { .. } | AskStep::Again => true,
        };
        (rest.is_empty() && in_order).then_some(ask)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }
}

impl AskStep {
    /// The step with the sums of all ranges.
    pub(super) fn sums(second: u64, sums: &[u64]) -> Self {
        let bytes = sums.iter().flat_map(|sum| sum.to_le_bytes());
        let sums = bytes.collect();
        Self::Sums { second, sums }
    }
}

/// The sums in the bytes of a step; none if there are not as many as ranges.
pub(super) fn read_sums(bytes: &[u8]) -> Option<Vec<u64>> {
    let (sums, rest) = bytes.as_chunks::<8>();
    let is_whole = rest.is_empty() && sums.len() == RANGES;
    is_whole.then(|| sums.iter().map(|sum| u64::from_le_bytes(*sum)).collect())
}

impl HeldRange {
    /// A range with these entries, in any order.
    pub(super) fn new(range: u16, entries: impl Iterator<Item = HeldEntry>) -> Self {
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable();
        let bytes = entries.iter().flat_map(|it| {
            let words = [it.key, it.hash, it.stamp.number()];
            words.into_iter().flat_map(u64::to_le_bytes)
        });
        let held = bytes.collect();
        Self { range, held }
    }

    /// The entries, in order.
    pub(super) fn entries(&self) -> Vec<HeldEntry> {
        let (entries, _) = self.held.as_chunks::<HELD>();
        let entry = |bytes: &[u8; HELD]| {
            let (words, _) = bytes.as_chunks::<8>();
            let word = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
            HeldEntry {
                key: word(0),
                hash: word(1),
                stamp: Hlc::from_number(word(2)),
            }
        };
        let mut entries: Vec<_> = entries.iter().map(entry).collect();
        entries.sort_unstable();
        entries
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
