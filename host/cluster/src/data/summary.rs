//! The summary of the key-value data, which goes into the beacon.

use crate::release::Hlc;

/// What a node says of what it holds.
pub(super) struct DataSummary {
    /// The second as of whose begin it says so.
    pub(super) second: u64,
    /// The hash of all entries then.
    pub(super) hash: u64,
    /// Up to when it has forgotten deletions, and up to when it may.
    pub(super) forgotten: Hlc,
    pub(super) may_forget: Hlc,
}

impl DataSummary {
    /// Reads a summary; none if the bytes are none.
    pub(super) fn read(bytes: &[u8]) -> Option<DataSummary> {
        let (words, rest) = bytes.as_chunks::<8>();
        let number = |word: &[u8; 8]| u64::from_le_bytes(*word);
        match (words, rest) {
            ([second, hash, forgotten, may_forget], []) => Some(DataSummary {
                second: number(second),
                hash: number(hash),
                forgotten: Hlc::from_number(number(forgotten)),
                may_forget: Hlc::from_number(number(may_forget)),
            }),
            _ => None,
        }
    }
}
