//! The bytes of a component, the name that people know it by, and what it imports and exports.

mod names;

use std::path::PathBuf;

use cluster::ComponentBytes;

pub(crate) use names::{exports_handler_03, is_handler_03, of_wasi_03};

/// A component that can be loaded.
#[derive(Clone, Debug)]
pub struct NamedComponent {
    /// The file that the component came from, or another name that people know
    /// it by.
    pub path: PathBuf,
    /// The component.
    pub component: ComponentBytes,
}
