//! A disk that is full, for real: a small one of the test's own.

use std::path::Path;

use super::*;

/// The test runs itself once more, in a mount namespace with a disk of 4 MiB.
#[test]
fn on_a_full_disk_nothing_half_done_is_left_and_the_store_goes_on() {
    match lab::small_disk::inner() {
        Some(disk) => fill(&disk),
        None => lab::small_disk::run_again(
            "store::tests::full_disk::on_a_full_disk_nothing_half_done_is_left_and_the_store_goes_on",
            4,
        ),
    }
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
