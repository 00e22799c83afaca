//! A disk that is really full: a test runs itself once more in a mount namespace
//! in which a small disk is mounted.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Names the folder of the small disk to the inner run.
const VARIABLE: &str = "LAB_SMALL_DISK";

/// The small disk, if this is the inner run of the test.
pub fn inner() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Runs the test of this name of the present test program once more, with a disk
/// of so many MiB at [`inner`]; or says that it is skipped, if neither root nor
/// user namespaces are there.
///
/// # Panics
///
/// If that run fails, or the test is skipped in CI.
pub fn run_again(test: &str, mib: u32) {
    let mounts = ["--mount", "--map-root-user", "--user"];
    let as_root = rustix::process::geteuid().is_root();
    let mounts = if as_root { &mounts[..1] } else { &mounts[..] };
    let possible = Command::new("unshare").args(mounts).arg("true").output();
    if !as_root && !possible.is_ok_and(|output| output.status.success()) {
        return crate::skip::skip("a small disk needs root, or user namespaces");
    }
    let disk = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o \"size=$1m\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
    let program: OsString = std::env::current_exe().expect("this program").into();
    let output = Command::new("unshare")
        .args(mounts)
        .args(["sh", "-c", script, "sh", &mib.to_string()])
        .arg(disk.path())
        .arg(program)
        .args([test, "--exact", "--nocapture"])
        .env(VARIABLE, disk.path())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("1 passed"), "the test did not run: {said}");
}
