//! What the node and a worker say to each other, over one socket: first a [`Setup`], then
//! components one after the other, each with its answer.
//!
//! ```text
//! node:    setup, then for each component: length, bytes
//! worker:  for each component: kind, resident memory, length, digest, bytes
//! ```
//!
//! All numbers are 64 bits, the least byte first. Only processes of one executable speak
//! this, so it has no version.

use std::io::{self, Read, Write};

use cluster::Digest;

use crate::engine::CodeSettings;

/// How many numbers a [`Setup`] has.
const NUMBERS: usize = 7;
/// The bytes of a setup.
pub(super) const SETUP: usize = NUMBERS * 8;
/// The bytes in front of the bytes of an answer.
pub(super) const HEAD: usize = 1 + 8 + 8 + 32;

/// What a worker must know before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    /// The process that started it, and that it must not outlive.
    pub(super) parent: u64,
    /// The memory that it may have, in bytes.
    pub(super) memory: u64,
    /// The processor time that one component may take, in seconds.
    pub(super) cpu: u64,
    /// How large compiled code may be, in bytes.
    pub(super) code: u64,
    /// How many threads compile.
    pub(super) threads: u64,
    /// What the code depends on.
    pub(super) settings: CodeSettings,
}

impl Setup {
    pub(super) fn to_bytes(self) -> [u8; SETUP] {
        // No reservation is so large.
        let (reservation, guard) = self.settings.checked.unwrap_or((u64::MAX, 0));
        let numbers: [u64; NUMBERS] = [
            self.parent,
            self.memory,
            self.cpu,
            self.code,
            self.threads,
            reservation,
            guard,
        ];
        let mut bytes = [0; SETUP];
        for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *place = number.to_le_bytes();
        }
        bytes
    }

    pub(super) fn of_bytes(bytes: [u8; SETUP]) -> Setup {
        let mut numbers = [0; NUMBERS];
        for (number, place) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*place);
        }
        let [parent, memory, cpu, code, threads, reservation, guard] = numbers;
        Setup {
            parent,
            memory,
            cpu,
            code,
            threads,
            settings: CodeSettings {
                checked: (reservation != u64::MAX).then_some((reservation, guard)),
                // The worker decides that for each component.
                concurrent: false,
            },
        }
    }
}

/// What the bytes of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Compiled code.
    Code = 0,
    /// Why the component is refused, in one line.
    Refused = 1,
    /// Nothing: there was not enough memory.
    NoMemory = 2,
    /// Nothing: the compiled code is too large.
    TooMuchCode = 3,
}

/// What comes before the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) kind: Kind,
    /// How much memory the worker holds now, in bytes.
    pub(super) resident: u64,
    /// How many bytes follow.
    pub(super) length: u64,
    /// The digest of those bytes.
    pub(super) digest: Digest,
}

impl AnswerHead {
    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[0] = self.kind as u8;
        bytes[1..9].copy_from_slice(&self.resident.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.length.to_le_bytes());
        bytes[17..].copy_from_slice(self.digest.as_bytes());
        bytes
    }

    /// None if these bytes are no head.
    pub(super) fn of_bytes(bytes: &[u8; HEAD]) -> Option<AnswerHead> {
        let kinds = [Kind::Code, Kind::Refused, Kind::NoMemory, Kind::TooMuchCode];
        let kind = kinds.into_iter().find(|kind| *kind as u8 == bytes[0])?;
        let (resident, rest) = bytes[1..].split_first_chunk::<8>()?;
        let (length, digest) = rest.split_first_chunk::<8>()?;
        Some(AnswerHead {
            kind,
            resident: u64::from_le_bytes(*resident),
            length: u64::from_le_bytes(*length),
            digest: Digest::from_bytes(digest.try_into().ok()?),
        })
    }
}

/// Reads the next component; none if there will be no more.
pub(super) fn read_component(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u64::from_le_bytes(length);
    let mut component = Vec::new();
    from.take(length).read_to_end(&mut component)?;
    match component.len() as u64 == length {
        true => Ok(Some(component)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes an answer.
pub(super) fn write_answer(
    to: &mut impl Write,
    kind: Kind,
    resident: u64,
    bytes: &[u8],
) -> io::Result<()> {
    let head = AnswerHead {
        kind,
        resident,
        length: bytes.len() as u64,
        digest: Digest::of(bytes),
    };
    to.write_all(&head.to_bytes())?;
    to.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for checked in [None, Some((1 << 27, 1 << 16))] {
            let setup = Setup {
                parent: 1,
                memory: 2,
                cpu: 3,
                code: 4,
                threads: 5,
                settings: CodeSettings {
                    checked,
                    concurrent: false,
                },
            };
            assert_eq!(Setup::of_bytes(setup.to_bytes()), setup);
        }
        let mut answer = Vec::new();
        write_answer(&mut answer, Kind::TooMuchCode, 7, b"code").unwrap();
        let (head, bytes) = answer.split_first_chunk().unwrap();
        let head = AnswerHead::of_bytes(head).unwrap();
        assert_eq!((head.kind, head.resident), (Kind::TooMuchCode, 7));
        assert_eq!((head.length, head.digest), (4, Digest::of(b"code")));
        assert_eq!(bytes, b"code");
        assert!(AnswerHead::of_bytes(&[9; HEAD]).is_none());
    }

    #[test]
    fn a_component_that_is_cut_off_is_an_error_and_none_at_all_is_the_end() {
        let mut whole = 3u64.to_le_bytes().to_vec();
        whole.extend(b"abc");
        assert_eq!(read_component(&mut &whole[..]).unwrap().unwrap(), b"abc");
        assert!(read_component(&mut &whole[..10]).is_err());
        assert!(read_component(&mut &whole[..0]).unwrap().is_none());
    }
}
