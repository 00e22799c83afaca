//! A disk that is really full, or a quota that is really used up: a test runs
//! itself once more in a mount namespace in which a small disk is mounted; or a
//! program of the lab is started in one.
//!
//! All of a disk is in that namespace: an image lies in memory, and the kernel
//! lets go of its loop device with the last mount. So it is gone with the process,
//! however that ends.

use crate::process::{Launch, Process};
use crate::skip::on_path;
use anyhow::{Context, Result, bail};
use rustix::fs::{FallocateFlags, fallocate, syncfs};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder of the small disk to the inner run.
const VARIABLE: &str = "LAB_SMALL_DISK";

/// Mounts a disk of `$1` MiB at `$2`, and becomes the rest of its arguments.
const SIZE: &str =
    "mkdir -p \"$2\" && mount -t tmpfs -o \"size=$1m\" tmpfs \"$2\" && shift 2 && exec \"$@\"";

/// Mounts a folder with a quota of `$1` MiB at `$2`, on a disk that has room, and
/// becomes the rest of its arguments. It is btrfs, whose quotas hold for root, too.
const QUOTA: &str = "set -e; PATH=\"$PATH:/usr/sbin:/sbin\"
    mkdir -p \"$2\"; mount -t tmpfs tmpfs \"$2\"
    truncate -s 512M \"$2/image\"; mkfs.btrfs -q \"$2/image\"
    mkdir \"$2/disk\"; mount -o loop \"$2/image\" \"$2/disk\"
    btrfs quota enable \"$2/disk\"; btrfs -q subvolume create \"$2/disk/limited\"
    btrfs qgroup limit \"$1M\" \"$2/disk/limited\"
    mount --bind \"$2/disk/limited\" \"$2\"; shift 2; exec \"$@\"";

/// Mounts a disk at `$2` that says it has room and is out of it after `$1` MiB, and
/// becomes the rest of its arguments. All that it needs for files is there before,
/// and what is removed is room again.
const THIN: &str = "set -e; PATH=\"$PATH:/usr/sbin:/sbin\"
    mkdir -p \"$2\"; mount -t tmpfs -o \"size=$1m\" tmpfs \"$2\"
    truncate -s 64M \"$2/image\"; mkfs.ext4 -q -N 128 -O ^has_journal \"$2/image\"
    mkdir \"$2/disk\"; mount -o loop,discard \"$2/image\" \"$2/disk\"
    mkdir \"$2/disk/all\"; mount --bind \"$2/disk/all\" \"$2\"; shift 2; exec \"$@\"";

/// What [`fill`] takes at once, in bytes; and at last, so that nothing is left.
const STEP: u64 = 1 << 20;
const LAST_STEP: u64 = 4096;

/// What is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Small {
    /// The disk: it has so many MiB.
    Disk(u32),
    /// The quota: a folder may have so many MiB of a disk with more room.
    Quota(u32),
    /// What is behind the disk, which has so many MiB, while the disk itself says
    /// that it has more: a write succeeds, and to see it onto the disk fails.
    Thin(u32),
}

impl Small {
    /// The script that mounts it, and the first argument of that.
    fn mount(self) -> (&'static str, String) {
        match self {
            Self::Disk(mib) => (SIZE, mib.to_string()),
            Self::Quota(mib) => (QUOTA, mib.to_string()),
            Self::Thin(mib) => (THIN, mib.to_string()),
        }
    }

    /// The arguments of `unshare` that make the namespace. Loop devices are for
    /// root only.
    fn namespace(self) -> &'static [&'static str] {
        match self {
            Self::Disk(_) if !rustix::process::geteuid().is_root() => {
                &["--mount", "--map-root-user", "--user"]
            }
            _ => &["--mount"],
        }
    }

    /// What stands in the way of it here, if anything does.
    ///
    /// # Errors
    ///
    /// If there is no folder to try it in.
    pub fn obstacle(self) -> Result<Option<String>> {
        let needs = match self {
            Self::Disk(_) => None,
            Self::Quota(_) => Some(("mkfs.btrfs", "btrfs-progs")),
            Self::Thin(_) => Some(("mkfs.ext4", "e2fsprogs")),
        };
        if let Some((program, package)) = needs {
            if !rustix::process::geteuid().is_root() {
                return Ok(Some("a disk on a loop device needs root".to_owned()));
            }
            if !on_path(program) {
                let remedy = format!("Debian: apt-get install {package}");
                return Ok(Some(format!("`{program}` is missing ({remedy})")));
            }
        }
        let folder = tempfile::tempdir()?;
        let output = self.command(folder.path()).arg("true").output()?;
        if output.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().last().unwrap_or("it does not say why").trim();
        Ok(Some(match self {
            Self::Disk(_) => format!("a small disk needs root, or user namespaces: {why}"),
            Self::Quota(_) | Self::Thin(_) => {
                format!("no disk can be mounted on a loop device: {why}")
            }
        }))
    }

    /// What mounts it at this folder, and becomes the program that is added to it.
    fn command(self, folder: &Path) -> Command {
        let (script, mib) = self.mount();
        let mut unshare = Command::new("unshare");
        unshare.args(self.namespace());
        unshare.args(["sh", "-c", script, "sh", &mib]).arg(folder);
        unshare
    }
}

/// The program, with a small disk of its own at this folder. Nobody else sees
/// that disk, and it is gone with the process. Needs root.
pub fn with(launch: Launch, program: &Path, folder: &Path, small: Small) -> Launch {
    let ((script, mib), folder) = (small.mount(), folder.to_string_lossy());
    let args = ["--mount", "sh", "-c", script, "sh", &mib, &folder];
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

/// Fill the disk that this folder is on, or its quota, but for so many bytes.
/// Returns the file that takes the room.
///
/// # Errors
///
/// If there is less room than that already, or it cannot be filled.
pub fn fill(folder: &Path, but_for: u64) -> Result<PathBuf> {
    let (path, spare) = (folder.join("filling"), folder.join("spare"));
    let kept = File::create(&spare).context("no disk")?;
    if but_for > 0 {
        let kept = fallocate(kept, FallocateFlags::empty(), 0, but_for);
        kept.context("the disk has less room than that")?;
    }
    let file = File::create(&path)?;
    let (mut size, mut step) = (0, STEP);
    // How much room a quota leaves nobody says: it is full when it is.
    while step >= LAST_STEP {
        match fallocate(&file, FallocateFlags::empty(), size, step) {
            Ok(()) => size += step,
            Err(Errno::NOSPC | Errno::DQUOT) => step /= 2,
            Err(error) => bail!("cannot fill the disk: {error}"),
        }
    }
    std::fs::remove_file(&spare)?;
    syncfs(&file)?;
    Ok(path)
}

/// The small disk, if this is the inner run of the test.
pub fn inner() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Runs the test of this name of the present test program once more, with a small
/// disk at [`inner`]; or says that it is skipped, if there can be none here.
///
/// # Panics
///
/// If that run fails, or the test is skipped in CI.
pub fn run_again(test: &str, small: Small) {
    if let Some(why) = small.obstacle().expect("a folder and `unshare`") {
        return crate::skip::skip(&why);
    }
    let disk = tempfile::tempdir().expect("a folder");
    let program: OsString = std::env::current_exe().expect("this program").into();
    let output = small
        .command(disk.path())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::time::{Duration, Instant};

    const BOUND: Duration = Duration::from_secs(30);

    /// The loop devices whose image is in this folder.
    fn loop_devices(folder: &Path) -> Vec<String> {
        let devices = std::fs::read_dir("/sys/block").into_iter().flatten();
        let images = devices.flatten().filter_map(|device| {
            std::fs::read_to_string(device.path().join("loop/backing_file")).ok()
        });
        let folder = folder.display().to_string();
        images.filter(|image| image.contains(&folder)).collect()
    }

    #[test]
    fn a_quota_binds_root_and_its_disk_is_gone_with_the_process_that_is_killed() -> Result<()> {
        let small = Small::Quota(8);
        if let Some(why) = small.obstacle()? {
            crate::skip::skip(&why);
            return Ok(());
        }
        let (folder, shell) = (tempfile::tempdir()?, Path::new("/bin/sh"));
        let sleeps = Launch::new(shell).args(["-c", "echo mounted; exec sleep 600"]);
        let process = with(sleeps, shell, folder.path(), small).spawn()?;
        process.wait_for_line(&["mounted"], BOUND)?;
        assert_eq!(loop_devices(folder.path()).len(), 1);

        let inside = seen_by(&process, folder.path());
        let filling = fill(&inside, 1 << 20)?;
        let write = || std::fs::write(inside.join("more"), vec![7; 4 << 20]);
        let refused = write().map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::QuotaExceeded));
        std::fs::remove_file(filling)?;
        write()?;
        assert_eq!(
            std::fs::read_dir(folder.path())?.count(),
            0,
            "others see it"
        );

        process.kill()?;
        process.wait_for_end(BOUND)?;
        let killed = Instant::now();
        while !loop_devices(folder.path()).is_empty() {
            assert!(
                killed.elapsed() < BOUND,
                "{:?}",
                loop_devices(folder.path())
            );
        }
        Ok(())
    }
}
