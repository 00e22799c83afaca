//! The bytes of a component, and the name that people know it by.

use std::path::PathBuf;

use cluster::ComponentBytes;

/// A component that can be loaded.
#[derive(Clone, Debug)]
pub struct NamedComponent {
    /// The file that the component came from, or another name that people know
    /// it by.
    pub path: PathBuf,
    /// The component.
    pub component: ComponentBytes,
}
