//! Push-pull: two members exchange all that they know, over the control
//! channel, when their state hashes differ.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::admission::CONTACTS_MAX;
use crate::membership::Update;
use crate::release::{Ballot, HISTORY_MAX};
use crate::run::Advertised;
use crate::wire::Version;
use crate::{Boot, Refusal};

/// The longest state that is read, in bytes: as many nodes, releases and votes
/// as a node keeps.
pub const STATE_MAX: usize = 4 * 1024 * 1024;

/// Everything that a node knows, as of now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The run that sends it.
    pub(crate) boot: Boot,
    pub(crate) nodes: Vec<KnownNode>,
    /// Of all releases and votes that it knows.
    pub(crate) releases_hash: u64,
    /// These, if the receiver may lack some.
    pub(crate) releases: Option<Releases>,
}

/// All that a node knows of releases.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Releases {
    pub(crate) records: Vec<Bytes>,
    pub(crate) votes: Vec<Ballot>,
}

/// What it knows of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownNode {
    pub(crate) update: Update,
    /// What that run has said of itself, if it was heard or told.
    pub(crate) advertised: Option<Advertised>,
}

impl State {
    /// Its bytes; none if they could not be written.
    pub(crate) fn write(&self) -> Option<Bytes> {
        let start = vec![Version::OURS.byte()];
        postcard::to_extend(self, start).ok().map(Bytes::from)
    }

    /// Reads the state of a member.
    ///
    /// # Errors
    /// Why it is refused: too large, of another major version, or no state.
    pub(crate) fn read(bytes: &[u8]) -> Result<State, Refusal> {
        if bytes.len() > STATE_MAX {
            return Err(Refusal::Size);
        }
        let (&version, body) = bytes.split_first().ok_or(Refusal::Size)?;
        let version = Version::from_byte(version);
        if !version.is_understood() {
            return Err(Refusal::Version);
        }
        let (state, rest) =
            postcard::take_from_bytes::<State>(body).map_err(|_| Refusal::Content)?;
        let records = state.releases.as_ref().map_or(0, |it| it.records.len());
        let ballots = state.releases.iter().flat_map(|it| &it.votes);
        let bounded = state.nodes.len() <= 2 * CONTACTS_MAX
            && records <= HISTORY_MAX
            && ballots.clone().count() <= HISTORY_MAX
            && ballots.clone().all(Ballot::is_bounded);
        if bounded && (rest.is_empty() || version.is_newer()) {
            Ok(state)
        } else {
            Err(Refusal::Content)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn garbage_is_no_state_or_a_small_one(garbage: Vec<u8>) {
            if let Ok(state) = State::read(&garbage) {
                prop_assert!(state.nodes.len() <= garbage.len());
            }
        }
    }

    #[test]
    fn an_oversized_state_is_refused() {
        let read = |bytes: &[u8]| State::read(bytes).err();
        assert_eq!(read(&vec![0; STATE_MAX + 1]), Some(Refusal::Size));
        assert_eq!(read(b""), Some(Refusal::Size));
    }
}
