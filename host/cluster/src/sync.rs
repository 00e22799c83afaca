//! Push-pull: two members exchange all that they know, over the control
//! channel, when their state hashes differ.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::door::CONTACTS_MAX;
use crate::swim::Record;
use crate::{Boot, Digest};

/// The longest state that is read: as many records as a node keeps, and room.
const STATE_MAX: usize = 4096 * 256;

/// Everything that a node knows, as of now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The run that sends it.
    pub(crate) boot: Boot,
    pub(crate) nodes: Vec<Known>,
}

/// What it knows of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) record: Record,
    pub(crate) release: Option<Digest>,
    pub(crate) revision: u32,
}

impl State {
    /// Its bytes; none if they could not be written.
    pub(crate) fn write(&self) -> Option<Bytes> {
        postcard::to_allocvec(self).ok().map(Bytes::from)
    }

    /// Reads the state of a peer. None if it is too large or no state.
    pub(crate) fn read(bytes: &[u8]) -> Option<State> {
        if bytes.len() > STATE_MAX {
            return None;
        }
        let (state, rest) = postcard::take_from_bytes::<State>(bytes).ok()?;
        (rest.is_empty() && state.nodes.len() <= 2 * CONTACTS_MAX).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn garbage_is_no_state_or_a_small_one(garbage: Vec<u8>) {
            if let Some(state) = State::read(&garbage) {
                prop_assert!(state.nodes.len() <= garbage.len());
            }
        }
    }

    #[test]
    fn an_oversized_state_is_refused() {
        assert!(State::read(&vec![0; STATE_MAX + 1]).is_none());
    }
}
