//! What a node stores of releases between two runs. It turns bytes into checked state, and
//! back.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::history::HISTORY_MAX;
use super::mark::Marks;
use super::record::RECORD_MAX;
use super::votes::{Ballot, VOTED, VOTERS_MAX};
use super::{DeployKey, Hlc, Release, ReleaseSet};
use crate::NodeName;
use crate::wire::Version;

#[derive(Serialize, Deserialize)]
struct Stored {
    clock: Hlc,
    records: Vec<Bytes>,
    votes: Vec<Ballot>,
    marks: Marks,
}

/// The most that is stored, in bytes: as many records and votes as are kept, with their
/// greatest lengths, and the marks.
pub const STORED_MAX: usize = 3 * 1024 * 1024;

const _: () = {
    let records = HISTORY_MAX * (RECORD_MAX + 2);
    // Per ballot an id and a count, then a node and a verdict for each vote.
    let votes = VOTED * (16 + 2 + VOTERS_MAX * 9);
    assert!(records + votes + 16 * 1024 <= STORED_MAX);
};

/// Why the stored bytes cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is damaged.
    #[error("it is damaged")]
    Damaged,
    /// An earlier program wrote it, which spoke this major version of the protocol.
    #[error("it was written by an earlier version of this program, with protocol {0}")]
    Earlier(u8),
    /// A later program wrote it.
    #[error("it was written by a later version of this program")]
    Later,
}

/// Whether a node can start from these stored bytes.
///
/// # Errors
/// Says why not.
pub fn check_stored(stored: &[u8]) -> Result<(), StoredError> {
    read(stored).map(|_| ())
}

/// Reads what a node has stored: a byte with the version of the format, then the value.
///
/// # Errors
/// Says why the bytes cannot be used.
pub(crate) fn read_stored<T: DeserializeOwned>(stored: &[u8]) -> Result<T, StoredError> {
    let (&version, body) = stored.split_first().ok_or(StoredError::Damaged)?;
    let version = Version::from_byte(version);
    if !version.is_understood() {
        return Err(match version.major() {
            0 => StoredError::Damaged,
            major if major < Version::OURS.major() => StoredError::Earlier(major),
            _ => StoredError::Later,
        });
    }
    match postcard::take_from_bytes(body) {
        Ok((stored, rest)) if rest.is_empty() || version.is_newer() => Ok(stored),
        _ => Err(StoredError::Damaged),
    }
}

fn read(stored: &[u8]) -> Result<(Stored, Vec<Arc<Release>>), StoredError> {
    let stored: Stored = read_stored(stored)?;
    let sound = stored.clock.is_plausible() && stored.marks.is_bounded();
    if stored.records.len() > HISTORY_MAX || !sound {
        return Err(StoredError::Damaged);
    }
    let records: Result<_, _> = stored.records.iter().map(|r| Release::read(r)).collect();
    Ok((stored, records.map_err(|_| StoredError::Damaged)?))
}

impl ReleaseSet {
    /// The set of a node that starts. It continues from the stored bytes, if they can be used.
    pub(crate) fn begin(
        me: &NodeName,
        deploy_key: Option<DeployKey>,
        stored: Option<&[u8]>,
    ) -> Self {
        let loaded = stored.map(|stored| ReleaseSet::load(me.clone(), deploy_key.clone(), stored));
        loaded
            .and_then(Result::ok)
            .unwrap_or_else(|| ReleaseSet::new(me.clone(), deploy_key))
    }

    /// Continues from the bytes that [`ReleaseSet::store`] returned.
    pub(crate) fn load(
        me: NodeName,
        deploy_key: Option<DeployKey>,
        stored: &[u8],
    ) -> Result<Self, StoredError> {
        let (stored, records) = read(stored)?;
        let mut set = ReleaseSet::new(me, deploy_key);
        let learnt = set.learn(
            records,
            stored.votes.iter().flat_map(Ballot::votes).collect(),
        );
        let unsigned = learnt.unsigned + learnt.forged;
        set.restore(stored.clock, stored.marks, unsigned);
        Ok(set)
    }

    /// The bytes for the next run.
    pub(crate) fn store(&self) -> Option<Bytes> {
        let stored = Stored {
            clock: self.clock(),
            records: self.history().newest().map(|r| r.bytes().clone()).collect(),
            votes: self.votes().ballots(),
            marks: self.marks().clone(),
        };
        let start = vec![Version::OURS.byte()];
        postcard::to_extend(&stored, start).ok().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::release::{AppFile, Component, PathId};

    fn bytes(clock: Hlc, marks: Marks) -> Vec<u8> {
        let stored = Stored {
            clock,
            records: Vec::new(),
            votes: Vec::new(),
            marks,
        };
        postcard::to_extend(&stored, vec![Version::OURS.byte()]).expect("it can be written")
    }

    #[test]
    fn a_clock_after_which_nothing_could_be_released_is_damage() {
        let last = Hlc::from_ms(7_258_118_400_000);
        let read = |clock| check_stored(&bytes(clock, Marks::default()));
        assert_eq!(read(last), Ok(()));
        assert_eq!(read(Hlc::from_ms(last.ms() + 1)), Err(StoredError::Damaged));
    }

    #[test]
    fn what_another_major_version_wrote_is_told_from_damage() {
        let read = |version| {
            let mut stored = bytes(Hlc::default(), Marks::default());
            stored[0] = version;
            check_stored(&stored)
        };
        assert_eq!(read(Version::OURS.byte()), Ok(()));
        assert_eq!(read(0x10), Err(StoredError::Earlier(1)));
        assert_eq!(read(0xf0), Err(StoredError::Later));
        assert_eq!(read(0), Err(StoredError::Damaged));
    }

    #[test]
    fn marks_whose_uses_cannot_be_counted_further_still_work() {
        let mut used_up = bytes(Hlc::default(), Marks::default());
        assert_eq!(used_up.pop(), Some(0), "how often marks were used");
        used_up.extend_from_slice(&[0xff; 9]);
        used_up.push(1);
        let me = NodeName::new("example", Ipv4Addr::new(10, 10, 10, 2)).expect("a name");
        let mut set = ReleaseSet::load(me, None, &used_up).expect("it can be used");
        let file = AppFile {
            path: PathId::of(b"/srv/app.wasm"),
            component: Component::of(b"an app"),
        };
        assert!(set.file(file, 1, None).is_some());
        let stored = set.store().expect("it can be written");
        assert_eq!(stored.last_chunk(), Some(&[0xff, 1]), "it stays at its end");
    }
}
