//! The bytes of an answer with a chunk: which one it is, then the chunk itself.

use bytes::{Buf, Bytes};

/// How many bytes precede the chunk.
pub const HEAD_LEN: usize = 4;

/// The bytes that precede the chunk: its index, big-endian.
pub fn head(index: usize) -> [u8; HEAD_LEN] {
    u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes()
}

/// The index and the bytes of the chunk in an answer; none if the answer is too short.
pub fn split(mut answer: Bytes) -> Option<(usize, Bytes)> {
    let index = answer.try_get_u32().ok()?;
    let index = usize::try_from(index).ok()?;
    (!answer.is_empty()).then_some((index, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_read_as_it_was_written() {
        let answer = [&head(258)[..], b"chunk"].concat();
        assert_eq!(answer[..HEAD_LEN], [0, 0, 1, 2]);
        assert_eq!(
            split(answer.into()),
            Some((258, Bytes::from_static(b"chunk")))
        );
    }

    #[test]
    fn an_answer_without_a_chunk_is_none() {
        assert_eq!(split(Bytes::new()), None);
        assert_eq!(split(Bytes::from_static(b"abc")), None);
        assert_eq!(split(Bytes::copy_from_slice(&head(1))), None);
    }
}
