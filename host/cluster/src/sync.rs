//! Push-pull: two members exchange what they do not both hold, over the control
//! channel, when their summaries differ.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::replicate::KindPart;
use crate::wire::Version;
use crate::{Boot, Refusal};

/// The longest state that is sent or read, in bytes.
pub const STATE_MAX: usize = 4 * 1024 * 1024;

/// The most kinds of data in one state.
const PARTS_MAX: usize = 64;

/// What a node says to a member about the data that both hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The run that sends it.
    pub(crate) boot: Boot,
    pub(crate) parts: Vec<KindPart>,
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
    /// Says why it is refused: too large, of another major version, or no state.
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
        let bounded = state.parts.len() <= PARTS_MAX;
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
                prop_assert!(state.parts.len() <= garbage.len());
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
