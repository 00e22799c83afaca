//! A disk that is really full: a small one of the test's own. Each test runs itself once more,
//! in a mount namespace with such a disk.

use std::path::Path;

use lab::small_disk::{self, Small};

use super::*;

/// The size of the disks, in MiB.
const MIB: u32 = 4;

/// Runs the test with this name again, on a disk that refuses what does not fit.
fn on(small: Small, test: &str, work: impl FnOnce(&Path)) {
    match small_disk::inner() {
        Some(disk) => work(&disk),
        None => small_disk::run_again(&format!("store::tests::full_disk::{test}"), small),
    }
}

/// Asserts that all components are whole, and that the store knows them all.
fn nothing_half_done_is_left(store: &Store, disk: &Path) {
    let files = store.components().len();
    let there = std::fs::read_dir(disk.join("components")).expect("a folder");
    let there = there.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file()));
    assert_eq!(there.count(), files, "half an app is left");
    let partial = std::fs::read_dir(disk.join("components/partial")).expect("a folder");
    assert_eq!(partial.count(), 0, "half a download is left");
}

/// Stores what fits, what does not, and what fits again.
fn fill(disk: &Path, is_refusal: fn(&StoreError) -> bool) {
    let store = open(disk, StoreLimits::default());
    let small = app(1, 1 << 20);
    let digest = stored(&store, &small).expect("it has room");
    let large = app(2, 8 << 20);
    for attempt in [
        |store: &Store, app: &Bytes| stored(store, app).map(drop),
        |store: &Store, app: &Bytes| fetched(store, app).map(drop),
    ] {
        let refused = attempt(&store, &large).expect_err("no room");
        assert!(is_refusal(&refused), "{refused}");
        nothing_half_done_is_left(&store, disk);
    }
    assert_eq!(read(&store, &digest), Some(small));
    // What fits is accepted again.
    let fits = app(3, 3 << 19);
    let digest = fetched(&store, &fits).expect("it has room");
    nothing_half_done_is_left(&store, disk);
    drop(store);
    let store = open(disk, StoreLimits::default());
    assert_eq!(read(&store, &digest), Some(fits));
}

#[test]
fn on_a_full_disk_nothing_half_done_is_left_and_the_store_goes_on() {
    let name = "on_a_full_disk_nothing_half_done_is_left_and_the_store_goes_on";
    on(Small::Disk(MIB), name, |disk| {
        fill(disk, |refused| matches!(refused, StoreError::Full { .. }));
    });
}

#[test]
fn over_a_quota_nothing_half_done_is_left_and_the_store_goes_on() {
    let name = "over_a_quota_nothing_half_done_is_left_and_the_store_goes_on";
    on(Small::Quota(MIB), name, |disk| {
        fill(disk, |refused| matches!(refused, StoreError::Quota { .. }));
    });
}

/// Such a disk accepts all bytes. Only at the end it shows that they are not there.
#[test]
fn on_a_disk_that_is_full_when_it_is_synced_nothing_is_left_and_the_store_goes_on() {
    let name = "on_a_disk_that_is_full_when_it_is_synced_nothing_is_left_and_the_store_goes_on";
    on(Small::Thin(MIB), name, |disk| {
        fill(disk, |refused| matches!(refused, StoreError::Full { .. }));
    });
}

/// A rename needs space too, and here there is none.
#[test]
fn a_damaged_app_that_cannot_be_put_aside_for_lack_of_room_is_removed_and_taken_again() {
    let name = "a_damaged_app_that_cannot_be_put_aside_for_lack_of_room_is_removed_and_taken_again";
    on(Small::Quota(MIB), name, |disk| {
        let store = open(disk, StoreLimits::default());
        let bytes = app(1, 1 << 20);
        let digest = stored(&store, &bytes).expect("it has room");
        let path = disk.join("components").join(digest.to_string());
        std::fs::write(&path, app(2, 1 << 20)).expect("damaged");
        let filling = small_disk::fill(disk, 0).expect("filled");
        let refused = std::fs::rename(&path, disk.join("renamed")).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::QuotaExceeded));
        assert_eq!(read(&store, &digest), None);
        assert_eq!(store.quarantined(), 1);
        nothing_half_done_is_left(&store, disk);
        let aside = std::fs::read_dir(disk.join("components/quarantine")).expect("a folder");
        assert_eq!(aside.count(), 0, "it takes room");
        std::fs::remove_file(filling).expect("removed");
        stored(&store, &bytes).expect("it has room again");
        assert_eq!(read(&store, &digest), Some(bytes));
    });
}
