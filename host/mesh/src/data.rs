//! The key-value data between this process and its disk, and between this node and the members.
//!
//! ```text
//! exchange -> DataStore -> a line for each member -> POST /data -> DataInbox of the member -> DataStore
//!                  \-> DataFile, a moment later
//! ```
//!
//! What is lost on the way to a member comes with the exchange of state. What was told twice changes
//! nothing, so a line simply tries again.

mod file;
mod inbox;
mod tell;

pub use file::{DataFile, DataFileError};
pub use inbox::DataInbox;
pub use tell::tell;

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock in milliseconds since 1970-01-01 UTC, as the core is told it; 0 if it shows an earlier
/// time.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
