//! The app: from the file or the release that names its component to what
//! serves, and what follows from how it does.
//!
//! ```text
//! app file: watch -> intake -> Loader -> candidate -> release
//! target:   candidate | store | members -> Loader -> Slot; bake -> vote
//! ```

pub mod bake;
pub mod deploy;
mod intake;
pub mod publish;
mod search;
mod watch;
mod whole;

pub(crate) use intake::locate_in;
pub use intake::{IntakeError, locate, read, read_up_to};
pub use search::AppFileSearch;
pub use watch::{Seen, WatchMode, WatchedFile};
