//! A file as the rules see it, and what its path tells about it.

/// A file of the project.
pub(super) struct Source {
    /// Its path from the root of the workspace, with `/` between the parts.
    pub(super) path: String,
    /// The whole text.
    pub(super) text: String,
}

/// The folders of the crates that make up a node, and the names of the crates.
pub(super) const CRATES: [(&str, &str); 6] = [
    ("host/cluster/", "cluster"),
    ("host/egress/", "egress"),
    ("host/fault/", "fault"),
    ("host/mesh/", "mesh"),
    ("host/runtime/", "runtime"),
    ("host/", "host"),
];

/// Parts of a path which show that a file is no product code: it tests,
/// measures or is an example.
const NOT_PRODUCT: [&str; 10] = [
    "tests",
    "benches",
    "examples",
    "fixtures",
    "fuzz",
    "lab",
    "sim",
    // The module of the core that compares docs/protocol.md with the code.
    "documented",
    // Helpers that several unit tests share.
    "testing",
    "xtask",
];

impl Source {
    /// A file with this path and text.
    pub(super) fn new(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
        }
    }

    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is Rust that runs on a node or in a guest.
    pub(super) fn is_product(&self) -> bool {
        let stem = self.path.trim_end_matches(".rs");
        self.is_rust() && !stem.split('/').any(|part| NOT_PRODUCT.contains(&part))
    }

    /// The crate of a node that the file belongs to.
    pub(super) fn node_crate(&self) -> Option<&'static str> {
        let (_, name) = CRATES.iter().find(|(dir, _)| self.path.starts_with(dir))?;
        Some(name)
    }
}

/// Whether a rule may look at the file at this path.
pub(super) fn is_looked_at(path: &str) -> bool {
    [".rs", ".md", ".wit"].iter().any(|end| path.ends_with(end)) || path.ends_with("Cargo.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_or_measures_is_no_product() {
        let product = |path| Source::new(path, "").is_product();
        assert!(product("host/cluster/src/node.rs"));
        assert!(product("guest/src/lib.rs"));
        assert!(!product("host/cluster/src/sim.rs"));
        assert!(!product("host/cluster/src/sim/figures.rs"));
        assert!(!product("host/mesh/src/store/tests.rs"));
        assert!(!product("lab/src/process.rs"));
        assert!(!product("README.md"));
    }

    #[test]
    fn a_file_belongs_to_the_innermost_crate() {
        let of = |path| Source::new(path, "").node_crate();
        assert_eq!(of("host/src/lib.rs"), Some("host"));
        assert_eq!(of("host/mesh/src/lib.rs"), Some("mesh"));
        assert_eq!(of("guest/src/lib.rs"), None);
    }
}
