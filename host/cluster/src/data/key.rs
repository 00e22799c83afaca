//! The key of an entry: a bucket, and a name in it.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of a bucket, in bytes.
pub const BUCKET_MAX: usize = 64;
/// The longest name of a key, in bytes.
pub const KEY_NAME_MAX: usize = 1024;

/// A bucket and a name. It is kept as one run of bytes: the length of the bucket, the bucket, the
/// name. So the keys of one bucket lie together, in the order of their names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKey(Arc<[u8]>);

/// Why there is no such key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataKeyError {
    /// The bucket has no name, or a name that is too long.
    #[error("a bucket with a name of {0} bytes; 1 to {BUCKET_MAX} are allowed")]
    Bucket(usize),
    /// The key has no name, or a name that is too long.
    #[error("a key of {0} bytes; 1 to {KEY_NAME_MAX} are allowed")]
    Name(usize),
}

impl DataKey {
    /// The key with this name in this bucket.
    ///
    /// # Errors
    /// One of both is empty or too long.
    pub fn new(bucket: &str, name: &str) -> Result<Self, DataKeyError> {
        let start = start(bucket)?;
        if name.is_empty() || name.len() > KEY_NAME_MAX {
            return Err(DataKeyError::Name(name.len()));
        }
        Ok(Self([&start, name.as_bytes()].concat().into()))
    }

    /// The key with these bytes; none if they are no key.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&length, rest) = bytes.split_first()?;
        let (bucket, name) = rest.split_at_checked(length.into())?;
        let text = std::str::from_utf8;
        Self::new(text(bucket).ok()?, text(name).ok()?).ok()
    }

    /// The bytes that stand for it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        let length = self.0.first().map_or(0, |&length| usize::from(length));
        let (bucket, name) = self.0[1..].split_at(length);
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        (text(bucket), text(name))
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        self.parts().0
    }

    /// The name in the bucket.
    pub fn name(&self) -> &str {
        self.parts().1
    }
}

/// The bytes with which every key of a bucket begins.
fn start(bucket: &str) -> Result<Vec<u8>, DataKeyError> {
    let length = bucket.len();
    match u8::try_from(length) {
        Ok(byte) if (1..=BUCKET_MAX).contains(&length) => Ok([&[byte], bucket.as_bytes()].concat()),
        _ => Err(DataKeyError::Bucket(length)),
    }
}

impl Borrow<[u8]> for DataKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bucket, name) = self.parts();
        write!(f, "{bucket}/{name}")
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for DataKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for DataKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        DataKey::from_bytes(bytes).ok_or_else(|| serde::de::Error::custom("no key"))
    }
}

/// The keys of a bucket whose names begin alike, or all keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeyRange(Box<[u8]>);

impl KeyRange {
    /// The keys of a bucket that begin with this prefix; all of them if it is empty.
    ///
    /// # Errors
    /// There is no such bucket, or no key is so long.
    pub fn new(bucket: &str, prefix: &str) -> Result<Self, DataKeyError> {
        if prefix.len() > KEY_NAME_MAX {
            return Err(DataKeyError::Name(prefix.len()));
        }
        Ok(Self([&start(bucket)?, prefix.as_bytes()].concat().into()))
    }

    /// All keys of all buckets.
    pub fn all() -> Self {
        Self(Box::default())
    }

    /// Whether a key is one of them.
    pub fn contains(&self, key: &DataKey) -> bool {
        key.as_bytes().starts_with(&self.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bounds of the keys behind `after`, or of all. A key that is not one of them ends the
    /// walk.
    pub(crate) fn behind<'a>(
        &'a self,
        after: Option<&'a DataKey>,
    ) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
        match after {
            Some(key) if key.as_bytes() >= &self.0[..] => {
                (Bound::Excluded(key.as_bytes()), Bound::Unbounded)
            }
            _ => (Bound::Included(&self.0[..]), Bound::Unbounded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_bucket_and_a_name_within_their_limits() {
        let key = DataKey::new("default", "a/b").expect("a key");
        assert_eq!((key.bucket(), key.name()), ("default", "a/b"));
        assert_eq!(DataKey::from_bytes(key.as_bytes()), Some(key));
        let long = "n".repeat(KEY_NAME_MAX + 1);
        assert_eq!(DataKey::new("b", &long), Err(DataKeyError::Name(1025)));
        assert_eq!(DataKey::new("b", ""), Err(DataKeyError::Name(0)));
        assert_eq!(DataKey::new("", "n"), Err(DataKeyError::Bucket(0)));
        let long = "b".repeat(BUCKET_MAX + 1);
        assert_eq!(DataKey::new(&long, "n"), Err(DataKeyError::Bucket(65)));
        for bytes in [&b""[..], b"\x00n", b"\x01b", b"\x02b", b"\x01b\xff"] {
            assert_eq!(DataKey::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_range_has_the_keys_of_its_bucket_that_begin_so() {
        let range = KeyRange::new("b", "pre").expect("a range");
        let key = |bucket, name| DataKey::new(bucket, name).expect("a key");
        assert!(range.contains(&key("b", "prefix")) && range.contains(&key("b", "pre")));
        assert!(!range.contains(&key("b", "p")) && !range.contains(&key("bp", "re")));
    }
}
