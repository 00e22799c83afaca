//! The bytes of a component, and what people know it by.

use std::path::PathBuf;

use cluster::ComponentBytes;

/// A component that can be loaded.
#[derive(Clone, Debug)]
pub struct NamedComponent {
    /// The file it came from, or what else people know it by.
    pub path: PathBuf,
    /// The component.
    pub component: ComponentBytes,
}
