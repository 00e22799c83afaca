//! Where the files of this workspace are.

use std::path::{Path, PathBuf};

/// The top folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The folder of cargo's output: `CARGO_TARGET_DIR`, or `target`.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo runs in the root, and takes a relative path from there.
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The program `host`, built in release.
pub(crate) fn host() -> PathBuf {
    target().join("release/host")
}

/// Whether this is a CI run. There nothing may be missing or skipped.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// The packages that run natively, as arguments for cargo.
///
/// This is not `--workspace`: the build scripts of the guests would change the
/// features of crates that the runtime uses, and the runtime would be compiled
/// once more, for six minutes. A native build has either all of these packages
/// or `host` alone; both lead to the same features.
pub(crate) const NATIVE: [&str; 16] = [
    "-p", "host", "-p", "cluster", "-p", "egress", "-p", "fault", "-p", "mesh", "-p", "runtime",
    "-p", "lab", "-p", "xtask",
];

/// The packages of the guests that have native tests.
pub(crate) const GUESTS: [&str; 4] = ["-p", "guest", "-p", "raxx"];
