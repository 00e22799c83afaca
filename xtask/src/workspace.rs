//! Where the files of this workspace are.

use std::path::{Path, PathBuf};

/// The top folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where cargo builds to: `CARGO_TARGET_DIR`, or `target`.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo takes a relative path from where it runs, which is the root.
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The host, in release.
pub(crate) fn host() -> PathBuf {
    target().join("release/host")
}

/// Whether this is a CI run, in which nothing may be missing or skipped.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}
