//! A disk that is full, for real: the test mounts a small one for itself.

use std::path::Path;
use std::process::Command;

use super::*;

/// Where the inner run of the test below has its disk.
const SMALL_DISK: &str = "STORE_TEST_SMALL_DISK";

/// The test runs itself once more, in a mount namespace with a disk of 4 MiB.
#[test]
fn on_a_full_disk_nothing_half_done_is_left_and_the_store_goes_on() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        return fill(Path::new(&disk));
    }
    let name =
        "store::tests::full_disk::on_a_full_disk_nothing_half_done_is_left_and_the_store_goes_on";
    let mounts = ["--mount", "--map-root-user", "--user"];
    let as_root = rustix::process::geteuid().is_root();
    let mounts = if as_root { &mounts[..1] } else { &mounts[..] };
    let possible = Command::new("unshare").args(mounts).arg("true").output();
    if !as_root && !possible.is_ok_and(|output| output.status.success()) {
        return lab::skip::skip("a small disk needs root, or user namespaces");
    }
    let disk = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=4m tmpfs \"$1\" && shift && exec \"$@\"";
    let output = Command::new("unshare")
        .args(mounts)
        .args(["sh", "-c", script, "sh"])
        .arg(disk.path())
        .arg(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture"])
        .env(SMALL_DISK, disk.path())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("1 passed"), "the test did not run: {said}");
}

/// The inner run: `disk` has room for 4 MiB.
fn fill(disk: &Path) {
    let place = |store: &Store| {
        let files = store.apps().len();
        let there = std::fs::read_dir(disk.join("apps")).expect("a folder");
        let there = there.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file()));
        assert_eq!(there.count(), files, "half an app is left");
        let partial = std::fs::read_dir(disk.join("apps/partial")).expect("a folder");
        assert_eq!(partial.count(), 0, "half a download is left");
    };
    let store = open(disk, StoreLimits::default());
    let small = app(1, 1 << 20);
    let digest = store.put(&small).expect("it has room");
    let large = app(2, 8 << 20);
    let refused = store.put(&large).expect_err("no room");
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    place(&store);
    let refused = partial(&store, &large).expect_err("no room");
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    place(&store);
    assert_eq!(store.get(&digest).expect("readable"), Some(small));
    // And what fits is taken again.
    let fits = app(3, 2 << 20);
    let download = partial(&store, &fits).expect("it has room");
    for (index, chunk) in chunks(&fits).into_iter().enumerate() {
        download.put_chunk(index, chunk).expect("it has room");
    }
    assert_eq!(download.finish().expect("whole"), fits);
    place(&store);
}
