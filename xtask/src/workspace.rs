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

/// The packages that run natively, as arguments for cargo.
///
/// Not `--workspace`: what the guests' build scripts need would change the
/// features of crates that the runtime's are built from, and the runtime would
/// be compiled once more, for six minutes. Whatever is built natively is built
/// with these together or with `host` alone, which come to the same.
pub(crate) const NATIVE: [&str; 14] = [
    "-p", "host", "-p", "cluster", "-p", "fault", "-p", "mesh", "-p", "runtime", "-p", "lab", "-p",
    "xtask",
];

/// The packages of the guests' side that have native tests.
pub(crate) const GUESTS: [&str; 4] = ["-p", "guest", "-p", "raxx"];
