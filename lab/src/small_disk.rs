//! A disk that is really full: a test runs itself once more in a mount namespace
//! in which a small disk is mounted; or a program of the lab is started in one.

use crate::process::{Launch, Process};
use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder of the small disk to the inner run.
const VARIABLE: &str = "LAB_SMALL_DISK";

/// Mounts a disk of `$1` MiB at `$2`, and becomes the rest of its arguments.
const MOUNT: &str =
    "mkdir -p \"$2\" && mount -t tmpfs -o \"size=$1m\" tmpfs \"$2\" && shift 2 && exec \"$@\"";

/// The program, with a disk of so many MiB of its own at this folder. Nobody
/// else sees that disk, and it is gone with the process. Needs root.
pub fn with(launch: Launch, program: &Path, folder: &Path, mib: u32) -> Launch {
    let (mib, folder) = (mib.to_string(), folder.to_string_lossy());
    let args = ["--mount", "sh", "-c", MOUNT, "sh", &mib, &folder];
    launch.through(Path::new("unshare"), &args, program)
}

/// What the process has at this path, as others can reach it.
pub fn seen_by(process: &Process, path: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", process.id()));
    match path.strip_prefix("/") {
        Ok(path) => root.join(path),
        Err(_) => root.join(path),
    }
}

/// Fill the disk that this folder is on, but for so many bytes. Returns the file
/// that takes the room.
///
/// # Errors
///
/// If the disk has less room than that already, or cannot be filled.
pub fn fill(folder: &Path, but_for: u64) -> Result<PathBuf> {
    let path = folder.join("filling");
    let disk = statvfs(folder).context("no disk")?;
    let most = (disk.f_bavail * disk.f_frsize).checked_sub(but_for);
    let most = most.context("the disk has less room than that")?;
    let file = File::create(&path)?;
    fallocate(&file, FallocateFlags::empty(), 0, most).context("cannot fill the disk")?;
    Ok(path)
}

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
    let program: OsString = std::env::current_exe().expect("this program").into();
    let output = Command::new("unshare")
        .args(mounts)
        .args(["sh", "-c", MOUNT, "sh", &mib.to_string()])
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
