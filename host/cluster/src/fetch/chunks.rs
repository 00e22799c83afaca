//! A set of chunks of a component: those that are there, or that are wanted. Also its bytes on
//! the wire.

use std::fmt;

use rand::{Rng, RngExt};

use crate::release::{CHUNK, Component, SIZE_MAX};

/// The most chunks of a component.
pub const CHUNKS_MAX: usize = (SIZE_MAX / CHUNK as u64) as usize;

/// A set of chunks of one component, by their index. As bytes it is a bitmap: chunk `i` is bit
/// `i % 8` of byte `i / 8`, where bit 0 is the lowest.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunks {
    bits: Vec<u8>,
    count: usize,
    len: usize,
}

/// Why bytes are no set of chunks of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunksError {
    /// There are too many or too few bytes.
    #[error("a bitmap of {0} chunks has {1} bytes, and {2} came")]
    Length(usize, usize, usize),
    /// A bit is set for a chunk that does not exist.
    #[error("the bitmap names a chunk that the component of {0} chunks does not have")]
    Beyond(usize),
}

impl Chunks {
    /// An empty set of `count` chunks. No component has more than [`CHUNKS_MAX`] chunks.
    pub fn none(count: usize) -> Self {
        let count = count.min(CHUNKS_MAX);
        Self {
            bits: vec![0; count.div_ceil(8)],
            count,
            len: 0,
        }
    }

    /// An empty set of the chunks of a component.
    pub fn none_of(app: &Component) -> Self {
        Self::none(app.chunks())
    }

    /// The full set of the chunks of a component.
    pub fn all_of(app: &Component) -> Self {
        Self::none_of(app).missing()
    }

    /// Reads a bitmap of exactly `count` chunks.
    ///
    /// # Errors
    /// The bitmap has another length, or names chunks that do not exist.
    pub fn read(count: usize, bytes: &[u8]) -> Result<Self, ChunksError> {
        let mut chunks = Self::none(count);
        let length = chunks.bits.len();
        if bytes.len() != length {
            return Err(ChunksError::Length(count, length, bytes.len()));
        }
        chunks.bits.copy_from_slice(bytes);
        if chunks.bits.last().copied().unwrap_or(0) & !chunks.last_mask() != 0 {
            return Err(ChunksError::Beyond(count));
        }
        chunks.recount();
        Ok(chunks)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// How many chunks the component has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many chunks are in the set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the set has no chunk.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the set has all chunks.
    pub fn is_full(&self) -> bool {
        self.len == self.count
    }

    /// Whether the set has this chunk.
    pub fn has(&self, index: usize) -> bool {
        index < self.count && self.bits[index / 8] & (1 << (index % 8)) != 0
    }

    /// Adds a chunk. False if it was in the set already, or does not exist.
    pub fn insert(&mut self, index: usize) -> bool {
        let new = index < self.count && !self.has(index);
        if new {
            self.bits[index / 8] |= 1 << (index % 8);
            self.len += 1;
        }
        new
    }

    /// The chunks that are not in the set.
    pub fn missing(&self) -> Self {
        let mut missing = self.clone();
        missing.bits.iter_mut().for_each(|byte| *byte = !*byte);
        let mask = missing.last_mask();
        if let Some(last) = missing.bits.last_mut() {
            *last &= mask;
        }
        missing.len = self.count - self.len;
        missing
    }

    /// Removes the chunks of another set of the same component.
    pub fn subtract(&mut self, other: &Chunks) {
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine &= !theirs;
        }
        self.recount();
    }

    /// The indices, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.count).filter(|&index| self.has(index))
    }

    /// The chunk that a member gives to one that wants these: one that it has, by chance. So
    /// members get different chunks, and can exchange them with each other. None if it has none
    /// of them.
    pub fn choose(&self, wanted: &Chunks, rng: &mut impl Rng) -> Option<usize> {
        let both = || wanted.iter().filter(|&index| self.has(index));
        let count = both().count();
        let chosen = (count > 0).then(|| rng.random_range(0..count))?;
        both().nth(chosen)
    }

    /// `count` of the chunks, by chance; all if there are no more.
    pub(super) fn some(&self, count: usize, rng: &mut impl Rng) -> Self {
        let mut some = Self::none(self.count);
        let mut wanting = count.min(self.len);
        for (passed, index) in self.iter().enumerate() {
            if rng.random_range(0..self.len - passed) < wanting {
                some.insert(index);
                wanting -= 1;
            }
        }
        some
    }

    /// The bits of the last byte that stand for a chunk.
    fn last_mask(&self) -> u8 {
        match self.count % 8 {
            0 => u8::MAX,
            used => (1 << used) - 1,
        }
    }

    fn recount(&mut self) {
        let ones = self.bits.iter().map(|byte| byte.count_ones() as usize);
        self.len = ones.sum();
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} chunks ", self.len, self.count)?;
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn set(count: usize, indices: &[usize]) -> Chunks {
        let mut chunks = Chunks::none(count);
        assert!(indices.iter().all(|&index| chunks.insert(index)));
        chunks
    }

    #[test]
    fn an_app_has_as_many_chunks_as_its_manifest_names() {
        for size in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let bytes = vec![0; size];
            let component = Component::of(&bytes);
            assert_eq!(
                component.chunks(),
                Component::manifest(&bytes).len() / 32,
                "{size}"
            );
            assert_eq!(Chunks::all_of(&component).len(), component.chunks());
        }
    }

    #[test]
    fn a_set_knows_what_it_has_and_what_it_lacks() {
        let mut chunks = set(10, &[0, 9, 4]);
        assert!(!chunks.insert(4), "it is there");
        assert!(!chunks.insert(10), "there is no such chunk");
        assert!(chunks.has(9) && !chunks.has(1) && !chunks.has(10));
        assert_eq!(chunks.len(), 3);
        assert_eq!(chunks.missing(), set(10, &[1, 2, 3, 5, 6, 7, 8]));
        assert_eq!(chunks.as_bytes(), [0b0001_0001, 0b10]);
        chunks.subtract(&set(10, &[4, 5]));
        assert_eq!(chunks, set(10, &[0, 9]));
    }

    #[test]
    fn a_bitmap_of_another_length_or_with_bits_beyond_the_end_is_refused() {
        assert_eq!(
            Chunks::read(9, &[0]),
            Err(ChunksError::Length(9, 2, 1)),
            "too short"
        );
        assert_eq!(Chunks::read(8, &[0, 0]), Err(ChunksError::Length(8, 1, 2)));
        assert_eq!(Chunks::read(9, &[0, 2]), Err(ChunksError::Beyond(9)));
        assert_eq!(Chunks::read(9, &[0, 1]), Ok(set(9, &[8])));
        assert_eq!(Chunks::read(8, &[128]), Ok(set(8, &[7])));
    }

    #[test]
    fn a_member_gives_each_chunk_that_it_has_and_that_is_wanted_and_no_other() {
        let (have, wanted) = (set(20, &[1, 3, 5, 7]), set(20, &[2, 3, 7, 19]));
        let mut rng = StdRng::seed_from_u64(1);
        let mut given = Chunks::none(20);
        for _ in 0..100 {
            given.insert(have.choose(&wanted, &mut rng).expect("one of two"));
        }
        assert_eq!(given, set(20, &[3, 7]));
        assert_eq!(have.choose(&set(20, &[2]), &mut rng), None);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read_as_what_it_is(count in 0_usize..100, garbage: Vec<u8>) {
            if let Ok(chunks) = Chunks::read(count, &garbage) {
                prop_assert_eq!(chunks.as_bytes(), &garbage[..]);
                prop_assert_eq!(chunks.len(), chunks.iter().count());
                prop_assert!(chunks.iter().all(|index| index < count));
            }
        }

        #[test]
        fn some_are_as_many_as_are_wanted_or_there_are(
            count in 1_usize..100, few in 0_usize..100, seed: u64,
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let all = Chunks::none(count).missing();
            let some = all.some(few, &mut rng);
            prop_assert_eq!(some.len(), few.min(count));
            prop_assert_eq!(some.some(count, &mut rng), some);
        }
    }
}
