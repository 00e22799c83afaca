//! The key-value data that the nodes of a cluster share: every node holds all of it. Writes of
//! this node and of members flow in; reads, what members lack, and what the disk lacks flow out.
//!
//! [`DataStore`] is the handle that all threads of a node share. Behind it, `table` holds the
//! entries and `entry` says how two versions of an entry become one; `sums` tells two nodes where
//! they differ, and `replicated` exchanges what differs. The store reads no clock and no disk.

mod ask;
mod clock;
mod entry;
mod forget;
mod key;
mod replicated;
mod sent;
mod store;
mod summary;
mod sums;
mod table;
mod tell;
mod telling;
#[cfg(test)]
mod tests;
mod watch;
mod write;

pub use self::key::{BUCKET_MAX, DataKey, DataKeyError, KEY_NAME_MAX, KeyRange};
pub use self::sent::{StoredEntry, TOLD_MAX};
pub use self::store::{DataCounts, DataStore, Page, Unsaved};
pub use self::table::{DATA_MAX, MERGED_MAX, VALUE_MAX};
pub use self::tell::{passes_on, told_by};
pub use self::telling::DataLine;
pub use self::watch::DataWatch;
pub use self::write::{BATCH_MAX, DataWrite, WRITES_MAX, WriteError, Written};

pub(crate) use self::replicated::SharedData;
#[cfg(feature = "sim")]
pub use self::sent::check_bytes;

/// How old an entry is that the hash in a beacon covers, in seconds. Younger ones may still be on
/// their way.
const SETTLED_S: u64 = 10;
