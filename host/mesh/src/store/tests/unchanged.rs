//! Files that cannot be renamed or removed: a call is done in full, or not at all.

use super::*;

#[test]
fn an_app_is_kept_although_an_older_one_cannot_be_removed() {
    let place = Place::new();
    let store = place.open();
    let put: Vec<Digest> = (0..5)
        .map(|seed| stored(&store, &app(seed, 100)).expect("kept"))
        .collect();
    store.collect(&[]).expect("collected");
    // A folder cannot be removed like a file.
    let oldest = place.apps().join(put[0].to_string());
    std::fs::remove_file(&oldest).expect("removed");
    std::fs::create_dir(&oldest).expect("made");
    let new = stored(&store, &app(9, 100)).expect("kept all the same");
    let newest = fetched(&store, &app(10, 2 * CHUNK)).expect("kept all the same");
    assert!(store.has(&new) && store.has(&newest));
    // The next older one was removed.
    assert!(!store.has(&put[1]));
    let error = store.collect(&[]).expect_err("it says so");
    assert!(error.to_string().starts_with("cannot change "), "{error}");
    assert!(error.to_string().contains(&put[0].to_string()), "{error}");
}

#[test]
fn a_download_that_cannot_get_the_name_of_the_app_is_given_up_and_begun_again() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(3, 2 * CHUNK));
    let in_the_way = place.apps().join(Digest::of(&bytes).to_string());
    std::fs::create_dir(&in_the_way).expect("made");
    let refused = fetched(&store, &bytes).expect_err("the name is taken");
    assert!(matches!(refused, StoreError::Write { .. }), "{refused}");
    assert_eq!(place.files(), [""; 0]);
    std::fs::remove_dir(&in_the_way).expect("removed");
    let digest = fetched(&store, &bytes).expect("kept");
    assert_eq!(read(&store, &digest), Some(bytes));
}
