//! Components that come in chunks from members.

use super::*;

#[test]
fn a_download_takes_chunks_in_any_order_and_becomes_the_app() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(3, 4 * CHUNK + 77));
    let digest = Digest::of(&bytes);
    let download = begun(&store, &bytes).expect("begun");
    assert_eq!((download.chunks(), download.have_bytes()), (5, 0));
    for index in [4, 0, 2] {
        assert!(
            download
                .store_chunk(index, chunks(&bytes)[index])
                .expect("right")
        );
    }
    assert!(!download.store_chunk(4, chunks(&bytes)[4]).expect("again"));
    assert_eq!(download.missing(), [1, 3]);
    assert_eq!(download.have_bytes(), 2 * CHUNK as u64 + 77);
    assert!(download.has(4) && !download.has(3) && !download.has(5));
    let error = finish(&download).expect_err("not all is there");
    assert!(matches!(error, StoreError::Unfinished { missing: 2, .. }));
    // Chunks that are there can be given to others; missing ones cannot.
    assert!(!store.has(&digest));
    let given = store.chunk(&digest, 2).expect("readable");
    assert_eq!(given.as_deref(), Some(chunks(&bytes)[2]));
    assert_eq!(store.chunk(&digest, 1).expect("readable"), None);
    let manifest = store.manifest(&digest).expect("readable");
    assert_eq!(manifest, Some(Component::manifest(&bytes).into()));
    for index in [3, 1] {
        download
            .store_chunk(index, chunks(&bytes)[index])
            .expect("right");
    }
    let held = store.find_any(download.app()).expect("readable");
    assert!(matches!(held, Found::Begun(full) if full.missing().is_empty()));
    assert_eq!(finish(&download).expect("whole"), bytes);
    assert_eq!(read(&store, &digest), Some(bytes.clone()));
    let held = store.find_any(download.app()).expect("readable");
    assert!(matches!(held, Found::Whole(whole) if *whole.bytes() == bytes));
    assert_eq!(place.files(), [digest.to_string()]);
    // The owner of the download has it too.
    assert_eq!(*download.component().expect("whole").bytes(), bytes);
    assert!(matches!(finish(&download), Err(StoreError::Gone(_))));
    assert!(matches!(
        download.store_chunk(0, chunks(&bytes)[0]),
        Err(StoreError::Gone(_))
    ));
}

#[test]
fn a_chunk_that_is_not_what_the_manifest_says_is_refused() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(3, CHUNK + 7));
    let download = begun(&store, &bytes).expect("begun");
    let [first, last] = chunks(&bytes)[..] else {
        panic!("two chunks");
    };
    for (index, chunk) in [(0, last), (1, first), (1, &last[1..]), (2, last), (0, &[])] {
        let refused = download.store_chunk(index, chunk).expect_err("wrong");
        assert!(matches!(refused, StoreError::Chunk { index: at, .. } if at == index));
        assert!(!refused.is_local());
    }
    assert_eq!(download.missing(), [0, 1]);
}

#[test]
fn a_manifest_that_is_not_the_apps_is_refused() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(3, CHUNK + 7));
    let whole = Component::of(&bytes);
    let other = Bytes::from(Component::manifest(&app(4, CHUNK + 7)));
    let longer = Component {
        size: whole.size + CHUNK as u64,
        ..whole
    };
    for (app, manifest) in [(whole, other), (longer, Component::manifest(&bytes).into())] {
        let refused = store.begin(&app, &manifest).expect_err("not its manifest");
        assert!(matches!(refused, StoreError::Manifest(_)));
    }
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_download_whose_whole_is_another_app_ends() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(3, CHUNK + 7));
    let lie = Component {
        digest: Digest::of(b"another"),
        ..Component::of(&bytes)
    };
    let download = store.begin(&lie, &Component::manifest(&bytes).into());
    let download = download.expect("nobody can know yet");
    for (index, chunk) in chunks(&bytes).into_iter().enumerate() {
        download
            .store_chunk(index, chunk)
            .expect("as the manifest says");
    }
    assert!(matches!(
        finish(&download),
        Err(StoreError::OtherComponent(_))
    ));
    assert_eq!(place.files(), [""; 0]);
    assert!(!store.has(&lie.digest));
}

#[test]
fn a_download_begins_again_after_a_restart() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(3, 3 * CHUNK + 7));
    let digest = Digest::of(&bytes);
    let download = begun(&store, &bytes).expect("begun");
    download.store_chunk(0, chunks(&bytes)[0]).expect("right");
    drop((download, store));
    let store = place.open();
    assert_eq!(place.files(), [""; 0]);
    assert_eq!(store.chunk(&digest, 0).expect("readable"), None);
    assert_eq!(store.manifest(&digest).expect("readable"), None);
    let held = store.find_any(&Component::of(&bytes)).expect("readable");
    assert!(matches!(held, Found::Nothing));
    assert_eq!(fetched(&store, &bytes).expect("whole"), digest);
}

#[test]
fn a_chunk_that_the_disk_changed_is_fetched_again_before_the_end() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(3, 2 * CHUNK));
    let digest = Digest::of(&bytes);
    let download = begun(&store, &bytes).expect("begun");
    for (index, chunk) in chunks(&bytes).into_iter().enumerate() {
        download.store_chunk(index, chunk).expect("right");
    }
    let path = place.apps().join("partial").join(digest.to_string());
    let file = File::options().write(true).open(path).expect("a file");
    file.write_all_at(b"damage", 10).expect("written");
    assert!(matches!(
        finish(&download),
        Err(StoreError::Unfinished { missing: 1, .. })
    ));
    assert_eq!(download.missing(), [0]);
    download.store_chunk(0, chunks(&bytes)[0]).expect("right");
    assert_eq!(finish(&download).expect("whole"), bytes);
}

#[test]
fn a_third_download_ends_the_oldest() {
    let place = Place::new();
    let store = place.open();
    let apps = [1, 2, 3].map(|seed| app(seed, CHUNK + 1));
    let [first, second] = [&apps[0], &apps[1]].map(|app| begun(&store, app).expect("begun"));
    let again = begun(&store, &apps[1]).expect("the same");
    second.store_chunk(1, chunks(&apps[1])[1]).expect("right");
    assert!(again.has(1), "two handles of one download");
    begun(&store, &apps[2]).expect("begun");
    assert!(matches!(
        first.store_chunk(0, chunks(&apps[0])[0]),
        Err(StoreError::Gone(_))
    ));
    second.store_chunk(0, chunks(&apps[1])[0]).expect("goes on");
    assert_eq!(place.files().len(), 2);
}
