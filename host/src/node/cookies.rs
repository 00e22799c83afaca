//! The cookies of a node: where they come from, and how they are read again while it runs.
//!
//! A node sends with one cookie and may accept a second one besides, so that a cluster can change its cookie
//! node by node. The second cookie is in the file of `--also-cookie-file`, or else in `FILE.also` beside the
//! cookie file `FILE`, if there is such a file. docs/operations.md has the steps of a change.
//!
//! ```text
//! flags, files, SIGHUP -> Origins -> Cookies -> CookieWatcher -> cluster::Keys -> membership
//! ```

mod files;
mod watcher;

pub use files::{CookieFileError, Cookies, Origin, Origins};
pub use watcher::{CookieWatcher, CookieWatcherError};
