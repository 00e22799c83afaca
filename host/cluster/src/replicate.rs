//! The interface for data that every member holds. A kind of data gives a short summary of what it
//! holds, which goes into every beacon. It computes what it lacks, computes what a member lacks, and
//! merges what a member sent. It does not decide when to exchange, or with which member.
//!
//! Beacons and states name the kind of each piece, and a node skips a kind that it does not know. A
//! new kind needs a number here, an implementation beside its data, and a line in `node::exchange`;
//! the other kinds stay as they are.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::sync::STATE_MAX;

/// The most bytes of a delta: the largest entry of the key-value data fits.
pub(crate) const DELTA_MAX: usize = 1024 * 1024 + 128 * 1024;

/// The rest of a state: the asks, and the kind of each piece.
const ASKS_MAX: usize = 256 * 1024;

/// The number of a kind of data. A number is never used again for another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataKind(u8);

impl DataKind {
    /// Which nodes are members, and what each says of itself.
    pub(crate) const MEMBERS: Self = Self(1);
    /// Records of releases.
    pub(crate) const RELEASES: Self = Self(2);
    /// Votes on releases.
    pub(crate) const VOTES: Self = Self(3);
    /// Records of settings.
    pub(crate) const SETTINGS: Self = Self(4);
    /// The key-value data of apps.
    pub(crate) const KEY_VALUE: Self = Self(5);

    /// A kind that no node knows yet.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) const fn unheard_of(number: u8) -> Self {
        Self(number)
    }
}

/// The data of one kind that a node holds.
pub(crate) trait Replicated {
    /// A short summary of what this node holds: equal on two nodes that hold the same, and hardly
    /// ever on others.
    fn summary(&self) -> Vec<u8>;

    /// Whether a member with this summary holds the same.
    fn is_same(&self, theirs: &[u8]) -> bool {
        self.summary() == theirs
    }

    /// What to ask a member with this summary for. It describes what this node holds as exactly as
    /// the member needs; none if nothing is missing here.
    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>>;

    /// What a member with this summary or ask lacks: at most `most` bytes, empty if it lacks nothing.
    /// What does not fit is sent when it asks again.
    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8>;

    /// Takes in what a member sent.
    ///
    /// # Errors
    /// Says why the whole delta is refused.
    fn merge(&mut self, delta: &[u8]) -> Result<(), Refusal>;

    /// What to ask the member in turn that has asked this, once its delta is merged and its ask is
    /// answered; none ends the exchange. Only a kind that needs several round trips to find what
    /// differs asks back, and only while that leads somewhere.
    fn ask_back(&self, _ask: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// All kinds that a node holds.
pub(crate) trait Kinds {
    /// The numbers of the kinds, in the order in which they are merged.
    fn kinds(&self) -> &'static [DataKind];

    /// The data of a kind; none if the kind is not known here.
    fn kind(&mut self, kind: DataKind) -> Option<Box<dyn Replicated + '_>>;
}

/// What a node holds of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KindSummary {
    pub(crate) kind: DataKind,
    pub(crate) bytes: Bytes,
}

/// The beacon summary of a node that holds nothing; `members` takes the place of the hash.
#[cfg(any(test, feature = "sim"))]
pub(crate) fn of_nothing(members: u64) -> Vec<KindSummary> {
    let summary = |(kind, bytes): (DataKind, Vec<u8>)| KindSummary {
        kind,
        bytes: bytes.into(),
    };
    let kinds = [
        (DataKind::MEMBERS, members.to_le_bytes().to_vec()),
        (DataKind::RELEASES, Vec::new()),
        (DataKind::VOTES, Vec::new()),
        (DataKind::SETTINGS, Vec::new()),
        (DataKind::KEY_VALUE, Vec::new()),
    ];
    kinds.map(summary).into()
}

/// What one member says to another about one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KindPart {
    pub(crate) kind: DataKind,
    /// What the sender lacks; empty if it asks for nothing.
    pub(crate) ask: Bytes,
    /// What the receiver lacks.
    pub(crate) delta: Bytes,
}

/// The summary of this kind, if the node has sent one.
pub(crate) fn of(summaries: &[KindSummary], kind: DataKind) -> Option<&[u8]> {
    let found = summaries.iter().find(|summary| summary.kind == kind);
    found.map(|summary| &summary.bytes[..])
}

/// What a node holds, for its beacon.
pub(crate) fn summaries(kinds: &mut impl Kinds) -> Vec<KindSummary> {
    let mut summaries = Vec::with_capacity(kinds.kinds().len());
    for &kind in kinds.kinds() {
        let bytes = kinds.kind(kind).map(|data| data.summary().into());
        summaries.extend(bytes.map(|bytes| KindSummary { kind, bytes }));
    }
    summaries
}

/// Whether a member with these summaries holds the same, in all kinds that both know.
pub(crate) fn is_same(kinds: &mut impl Kinds, theirs: &[KindSummary]) -> bool {
    kinds.kinds().iter().all(|&kind| {
        let data = kinds.kind(kind);
        let theirs = of(theirs, kind);
        data.zip(theirs)
            .is_none_or(|(data, theirs)| data.is_same(theirs))
    })
}

/// The message to a member with these summaries: what is missing here, and what is missing there.
pub(crate) fn request(kinds: &mut impl Kinds, theirs: &[KindSummary]) -> Vec<KindPart> {
    let mut room = STATE_MAX - ASKS_MAX;
    let mut parts = Vec::new();
    for &kind in kinds.kinds() {
        let (Some(data), Some(theirs)) = (kinds.kind(kind), of(theirs, kind)) else {
            continue;
        };
        if let Some(ask) = data.missing(theirs) {
            let delta = data.delta(theirs, room.min(DELTA_MAX));
            room -= delta.len();
            parts.push(KindPart {
                kind,
                ask: ask.into(),
                delta: delta.into(),
            });
        }
    }
    parts
}

/// Takes in what a member said, and returns what it asked for, and what it is asked in turn. An unknown kind is skipped, and a
/// refusal of one kind does not affect the others.
pub(crate) fn answer(
    kinds: &mut impl Kinds,
    theirs: &[KindPart],
    mut refused: impl FnMut(Refusal),
) -> Vec<KindPart> {
    let mut room = STATE_MAX - ASKS_MAX;
    let mut parts = Vec::new();
    for &kind in kinds.kinds() {
        let Some(part) = theirs.iter().find(|part| part.kind == kind) else {
            continue;
        };
        let Some(mut data) = kinds.kind(kind) else {
            continue;
        };
        let merged = match &part.delta[..] {
            [] => Ok(()),
            delta => data.merge(delta),
        };
        let (delta, ask) = match &part.ask[..] {
            [] => (Vec::new(), None),
            ask => {
                let delta = data.delta(ask, room.min(DELTA_MAX));
                (delta, merged.is_ok().then(|| data.ask_back(ask)).flatten())
            }
        };
        drop(data);
        if let Err(why) = merged {
            refused(why);
        }
        room -= delta.len();
        let ask = ask.unwrap_or_default();
        if !delta.is_empty() || !ask.is_empty() {
            parts.push(KindPart {
                kind,
                ask: ask.into(),
                delta: delta.into(),
            });
        }
    }
    parts
}

/// The ask of a node that holds the data with these fingerprints: first the summary, then the
/// fingerprints.
pub(crate) fn ask(mut summary: Vec<u8>, held: impl Iterator<Item = u64>) -> Vec<u8> {
    held.for_each(|fingerprint| summary.extend_from_slice(&fingerprint.to_le_bytes()));
    summary
}

/// The items that the sender of an ask or a summary lacks: as many as fit, one after the other.
pub(crate) fn lacking<T: Serialize>(
    ask: &[u8],
    summary: &[u8],
    items: impl Iterator<Item = (u64, T)>,
    most: usize,
) -> Vec<u8> {
    let (theirs, held) = ask.split_at(summary.len().min(ask.len()));
    if theirs == summary {
        return Vec::new();
    }
    let (held, _) = held.as_chunks();
    let mut held: Vec<u64> = held.iter().map(|it| u64::from_le_bytes(*it)).collect();
    held.sort_unstable();
    let lacks = |fingerprint: &u64| held.binary_search(fingerprint).is_err();
    write_all(
        items.filter(|(it, _)| lacks(it)).map(|(_, item)| item),
        most,
    )
}

/// As many of the items as fit, one after the other.
pub(crate) fn write_all<T: Serialize>(items: impl Iterator<Item = T>, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        let written = postcard::to_allocvec(&item).unwrap_or_default();
        if bytes.len() + written.len() > most {
            break;
        }
        bytes.extend_from_slice(&written);
    }
    bytes
}

/// Reads what [`write_all`] has written, but not more than the limit.
///
/// # Errors
/// The bytes are something else, or have more items.
pub(crate) fn read_all<T: DeserializeOwned>(
    mut bytes: &[u8],
    most: usize,
) -> Result<Vec<T>, Refusal> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (item, rest) = postcard::take_from_bytes(bytes).map_err(|_| Refusal::Content)?;
        if items.len() == most || rest.len() == bytes.len() {
            return Err(Refusal::Content);
        }
        items.push(item);
        bytes = rest;
    }
    Ok(items)
}
