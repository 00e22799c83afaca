//! Keys and values that the nodes of a cluster share. An exchange writes them with
//! effects, and is told of changes by messages.
//!
//! A key is in the bucket `default` unless it says another:
//!
//! ```
//! use raxx::mailbox::Message;
//! use raxx::{Step, continue_with};
//!
//! let step: Step<()> = continue_with(())
//!     .put("greeting", "hello")
//!     .increment(("visits", "front page"), 1)
//!     .watch(("visits", ""))
//!     .into();
//! # drop(step);
//! ```

use crate::bindings::streaming::ace::raxx::data as wire;

pub use wire::{Key, KeyChange, KeyRange};

/// The bucket of keys that name none.
pub const DEFAULT_BUCKET: &str = "default";
/// The longest name of a bucket, in bytes.
pub const MAX_BUCKET: usize = 64;
/// The longest name of a key, in bytes.
pub const MAX_KEY: usize = 1024;
/// The largest value, in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;

/// A key of the default bucket.
impl From<&str> for Key {
    fn from(name: &str) -> Self {
        (DEFAULT_BUCKET, name).into()
    }
}

/// A key of the default bucket.
impl From<String> for Key {
    fn from(name: String) -> Self {
        (DEFAULT_BUCKET, name).into()
    }
}

/// A bucket, and a key of it.
impl<B: Into<String>, N: Into<String>> From<(B, N)> for Key {
    fn from((bucket, name): (B, N)) -> Self {
        Key {
            bucket: bucket.into(),
            name: name.into(),
        }
    }
}

/// The keys of the default bucket whose names begin so.
impl From<&str> for KeyRange {
    fn from(prefix: &str) -> Self {
        (DEFAULT_BUCKET, prefix).into()
    }
}

/// The keys of the default bucket whose names begin so.
impl From<String> for KeyRange {
    fn from(prefix: String) -> Self {
        (DEFAULT_BUCKET, prefix).into()
    }
}

/// The keys of a bucket whose names begin so; all of them if it is empty.
impl<B: Into<String>, P: Into<String>> From<(B, P)> for KeyRange {
    fn from((bucket, prefix): (B, P)) -> Self {
        KeyRange {
            bucket: bucket.into(),
            prefix: prefix.into(),
        }
    }
}
