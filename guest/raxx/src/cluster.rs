//! The cluster as the node that runs this callback sees it.
//!
//! In native tests it is what [`crate::testing::set_cluster`] has set.

use crate::bindings::streaming::ace::raxx::cluster as wire;

pub use wire::{Node, Release, View};

/// The node that runs this callback.
pub fn self_() -> Node {
    host::self_()
}

/// The members at this moment, sorted by address, then by name. Every call
/// within one callback returns the same view.
pub fn nodes() -> View {
    host::nodes()
}

#[cfg(target_arch = "wasm32")]
use wire as host;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::cluster as host;
