//! What is kept of releases between two runs of a node. Bytes in, checked
//! state out; and back.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::history::HISTORY_MAX;
use super::mark::Marks;
use super::votes::Ballot;
use super::{Book, DeployKey, Hlc, Release};
use crate::NodeName;
use crate::wire::Version;

#[derive(Serialize, Deserialize)]
struct Stored {
    clock: Hlc,
    records: Vec<Bytes>,
    votes: Vec<Ballot>,
    marks: Marks,
}

/// Why what was stored cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is damaged.
    #[error("it is damaged")]
    Damaged,
    /// A later program wrote it.
    #[error("it was written by a later version of this program")]
    Version,
}

/// Whether a node can go on from what was stored.
///
/// # Errors
/// Why not.
pub fn check_stored(stored: &[u8]) -> Result<(), StoredError> {
    read(stored).map(|_| ())
}

fn read(stored: &[u8]) -> Result<(Stored, Vec<Arc<Release>>), StoredError> {
    let (&version, body) = stored.split_first().ok_or(StoredError::Damaged)?;
    let version = Version::from_byte(version);
    if !version.is_understood() {
        return Err(StoredError::Version);
    }
    let stored = match postcard::take_from_bytes::<Stored>(body) {
        Ok((stored, rest)) if rest.is_empty() || version.is_newer() => stored,
        _ => return Err(StoredError::Damaged),
    };
    if stored.records.len() > HISTORY_MAX || !stored.marks.is_bounded() {
        return Err(StoredError::Damaged);
    }
    let records: Result<_, _> = stored.records.iter().map(|r| Release::read(r)).collect();
    Ok((stored, records.map_err(|_| StoredError::Damaged)?))
}

impl Book {
    /// Goes on from what [`Book::store`] gave.
    pub(crate) fn load(
        me: NodeName,
        deploy_key: Option<DeployKey>,
        stored: &[u8],
    ) -> Result<Self, StoredError> {
        let (stored, records) = read(stored)?;
        let mut book = Book::new(me, deploy_key);
        book.learn(
            records,
            stored.votes.iter().flat_map(Ballot::votes).collect(),
        );
        book.restore(stored.clock, stored.marks);
        Ok(book)
    }

    /// All of it, for the next run.
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
