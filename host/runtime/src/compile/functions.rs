//! Keeps compiled functions one by one, so that only the functions of an app that
//! have changed are compiled.
//!
//! The engine asks with a hash of all that a function's code depends on. If the
//! function is not here, the engine compiles it, and gives the code to be kept. So
//! dropping a function costs only time.

use std::borrow::Cow;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use wasmtime::CacheStore;

/// How many bytes a function takes beyond its code.
const EACH: u64 = 128;

/// How many functions of the usual size have room.
const EXPECTED: usize = 16 * 1024;

/// The hash that the engine makes.
type Key = [u8; 32];

#[derive(Clone, Debug)]
struct Size;

impl Weighter<Key, Arc<[u8]>> for Size {
    fn weight(&self, _key: &Key, code: &Arc<[u8]>) -> u64 {
        EACH + code.len() as u64
    }
}

/// The functions that were compiled last, or are asked for often.
#[derive(Debug)]
pub(super) struct Functions {
    kept: Cache<Key, Arc<[u8]>, Size>,
}

impl Functions {
    /// So many bytes of functions.
    pub(super) fn new(room: u64) -> Self {
        Self::with_room(EXPECTED, room)
    }

    fn with_room(expected: usize, bytes: u64) -> Self {
        Self {
            kept: Cache::with_weighter(expected, bytes, Size),
        }
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let key = Key::try_from(key).ok()?;
        self.kept.get(&key).map(|code| Cow::Owned(code.to_vec()))
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        let Ok(key) = Key::try_from(key) else {
            return false;
        };
        self.kept.insert(key, code.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        [number; 32]
    }

    #[test]
    fn a_function_is_found_by_its_own_hash_only() {
        let functions = Functions::new(1 << 20);
        assert!(functions.insert(&key(1), b"code".to_vec()));
        assert_eq!(functions.get(&key(1)).as_deref(), Some(&b"code"[..]));
        assert!(functions.get(&key(2)).is_none());
        assert!(!functions.insert(b"short", b"code".to_vec()));
        assert!(functions.get(b"short").is_none());
    }

    #[test]
    fn they_take_no_more_room_than_there_is() {
        let functions = Functions::with_room(16, 4 * (EACH + 1000));
        for number in 0..100 {
            functions.insert(&key(number), vec![0; 1000]);
        }
        assert!(functions.kept.weight() <= 4 * (EACH + 1000));
        let found = (0..100).filter(|number| functions.get(&key(*number)).is_some());
        assert!((1..=4).contains(&found.count()));
        // A function larger than all the room is not kept. That is no error.
        functions.insert(&key(200), vec![0; 10_000]);
        assert!(functions.get(&key(200)).is_none());
    }
}
