//! What is kept of an exchange between two callbacks.

use raxx::StateError;

use crate::talk::Person;
use crate::updates::Sent;

/// Streams of `/updates` have the eight bytes that they always had, so that
/// they go over to this code and back.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// A stream of `/updates`: what its last `nodes` event said.
    Updates(Sent),
    /// A stream of `/talk/lines`: who reads it.
    Talk(Person),
    /// A form sent to `/talk`, which the host gathers.
    Form,
}

/// Before the bytes of the others; longer than eight.
const TALK: &[u8] = b"talk person ";
const FORM: &[u8] = b"talk form";

impl raxx::State for State {
    fn encode(self) -> Vec<u8> {
        match self {
            State::Updates(sent) => sent.encode(),
            State::Talk(person) => {
                [TALK, person.id.as_bytes(), b" ", person.name.as_bytes()].concat()
            }
            State::Form => FORM.to_vec(),
        }
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
        let wrong = || StateError::new("a stream or a form", bytes.len());
        if bytes == FORM {
            return Ok(State::Form);
        }
        if let Some(person) = bytes.strip_prefix(TALK) {
            let person = std::str::from_utf8(person).map_err(|_| wrong())?;
            let (id, name) = person.split_once(' ').ok_or_else(wrong)?;
            return Ok(State::Talk(Person {
                id: id.to_owned(),
                name: name.to_owned(),
            }));
        }
        Sent::decode(bytes).map(State::Updates)
    }

    fn shape() -> String {
        "talk person, talk form, or updates".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use raxx::State as _;

    use super::*;

    #[test]
    fn each_state_is_read_as_it_was_written() {
        let person = |id: &str, name: &str| Person {
            id: id.to_owned(),
            name: name.to_owned(),
        };
        for make in [|| State::Updates(7), || State::Form] {
            assert_eq!(State::decode(make().encode()), Ok(make()));
        }
        for (id, name) in [("", "Ada"), ("x1", "Ada of \u{e4}"), ("", "")] {
            let talk = || State::Talk(person(id, name));
            assert_eq!(State::decode(talk().encode()), Ok(talk()));
        }
        assert!(State::decode(b"short".to_vec()).is_err());
    }

    #[test]
    fn a_stream_of_updates_has_the_bytes_that_it_always_had() {
        assert_eq!(State::Updates(7).encode(), 7_u64.encode());
    }
}
