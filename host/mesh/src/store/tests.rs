//! What the store keeps, refuses, notices and survives.

mod full_disk;
mod unchanged;
mod uploads;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// A store in its own folder, with what is needed to open it again.
struct Place {
    temporary: tempfile::TempDir,
    limits: StoreLimits,
}

impl Place {
    fn new() -> Place {
        Place {
            temporary: tempfile::tempdir().expect("a folder"),
            limits: StoreLimits::default(),
        }
    }

    fn open(&self) -> Store {
        open(self.temporary.path(), self.limits)
    }

    fn apps(&self) -> std::path::PathBuf {
        self.temporary.path().join("components")
    }

    /// Changes one byte of a whole component on the disk.
    fn damage(&self, digest: &Digest) {
        let path = self.apps().join(digest.to_string());
        let mut content = std::fs::read(&path).expect("it is there");
        content[0] ^= 1;
        std::fs::write(&path, content).expect("written");
    }

    /// The names of all files in the folder of the store.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for folder in ["", "partial", "quarantine"] {
            for entry in std::fs::read_dir(self.apps().join(folder)).expect("a folder") {
                let entry = entry.expect("an entry");
                if entry.path().is_file() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    files.push(Path::new(folder).join(name).display().to_string());
                }
            }
        }
        files.sort();
        files
    }
}

fn open(folder: &Path, limits: StoreLimits) -> Store {
    let folder = DataDir::open(folder).expect("a data folder");
    Store::open(Arc::new(folder), limits).expect("a store")
}

/// Bytes of this length that differ from seed to seed, and from chunk to chunk.
fn app(seed: u8, len: usize) -> Bytes {
    let bytes = (0..len).map(|at| (at / 1000) as u8 ^ (at as u8) ^ seed);
    bytes.collect::<Vec<u8>>().into()
}

fn chunks(app: &Bytes) -> Vec<&[u8]> {
    app.chunks(CHUNK).collect()
}

/// Stores a component, and returns its digest.
fn stored(store: &Store, bytes: &Bytes) -> Result<Digest, StoreError> {
    let component = ComponentBytes::of(bytes.clone());
    store.store(&component).map(|()| component.digest())
}

/// The bytes of a stored component.
fn read(store: &Store, digest: &Digest) -> Option<Bytes> {
    let found = store.find(digest).expect("readable");
    found.map(|component| component.bytes().clone())
}

fn begun(store: &Store, app: &Bytes) -> Result<Download, StoreError> {
    store.begin(&Component::of(app), &Component::manifest(app).into())
}

/// Makes a download a whole component, and returns its bytes.
fn finish(download: &Download) -> Result<Bytes, StoreError> {
    let component = download.component()?;
    download.finish(&component)?;
    Ok(component.bytes().clone())
}

/// Downloads a component in chunks, and returns its digest.
fn fetched(store: &Store, app: &Bytes) -> Result<Digest, StoreError> {
    let download = begun(store, app)?;
    for (index, chunk) in chunks(app).into_iter().enumerate() {
        download.store_chunk(index, chunk)?;
    }
    finish(&download).map(|app| Digest::of(&app))
}

#[test]
fn an_app_reads_back_also_after_a_restart_and_is_for_this_user_only() {
    let place = Place::new();
    let bytes = app(1, 3 * CHUNK + 5);
    let store = place.open();
    let digest = stored(&store, &bytes).expect("kept");
    assert_eq!(digest, Digest::of(&bytes));
    assert_eq!(stored(&store, &bytes).expect("kept already"), digest);
    drop(store);
    let store = place.open();
    assert!(store.has(&digest));
    assert_eq!(read(&store, &digest), Some(bytes.clone()));
    let manifest = store.manifest(&digest).expect("readable");
    assert_eq!(manifest, Some(Component::manifest(&bytes).into()));
    for (index, chunk) in chunks(&bytes).into_iter().enumerate() {
        let read = store.chunk(&digest, index).expect("readable");
        assert_eq!(read.as_deref(), Some(chunk), "chunk {index}");
    }
    assert_eq!(store.chunk(&digest, 4).expect("readable"), None);
    assert_eq!(place.files(), [digest.to_string()]);
    let metadata = std::fs::metadata(place.apps().join(digest.to_string()));
    assert_eq!(metadata.unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_app_that_is_not_there_is_none() {
    let place = Place::new();
    let (store, digest) = (place.open(), Digest::of(b"x"));
    assert!(!store.has(&digest));
    assert_eq!(read(&store, &digest), None);
    assert_eq!(store.chunk(&digest, 0).expect("readable"), None);
    assert_eq!(store.manifest(&digest).expect("readable"), None);
}

#[test]
fn a_damaged_app_is_put_aside_counted_and_taken_again() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(1, CHUNK + 1));
    let digest = stored(&store, &bytes).expect("kept");
    place.damage(&digest);
    assert_eq!(read(&store, &digest), None);
    assert!(!store.has(&digest));
    assert_eq!(store.quarantined(), 1);
    assert_eq!(place.files(), [format!("quarantine/{digest}")]);
    stored(&store, &bytes).expect("kept again");
    assert_eq!(read(&store, &digest), Some(bytes));
}

#[test]
fn an_app_that_was_damaged_on_the_disk_is_replaced_when_it_is_put_again() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(1, 100));
    let digest = stored(&store, &bytes).expect("kept");
    place.damage(&digest);
    stored(&store, &bytes).expect("kept");
    assert_eq!(store.quarantined(), 1);
    assert_eq!(read(&store, &digest), Some(bytes));
}

#[test]
fn no_chunk_of_a_damaged_app_is_given_on() {
    let place = Place::new();
    let (store, bytes) = (place.open(), app(1, 2 * CHUNK));
    let digest = stored(&store, &bytes).expect("kept");
    assert!(store.chunk(&digest, 0).expect("readable").is_some());
    // The manifest is known by now, so the chunk alone shows the damage.
    place.damage(&digest);
    assert!(store.chunk(&digest, 1).expect("readable").is_some());
    assert_eq!(store.chunk(&digest, 0).expect("no error"), None);
    assert!(!store.has(&digest));
    assert_eq!(store.quarantined(), 1);
}

#[test]
fn the_quarantine_keeps_the_newest_three() {
    let place = Place::new();
    let store = place.open();
    let mut damaged = Vec::new();
    for seed in 0..5 {
        let digest = stored(&store, &app(seed, 100)).expect("kept");
        place.damage(&digest);
        assert_eq!(read(&store, &digest), None);
        damaged.push(digest);
        // The times of files are coarse.
        let aside = place.apps().join("quarantine").join(digest.to_string());
        let aside = File::options().write(true).open(aside).expect("a file");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seed.into());
        aside.set_modified(time).expect("a time");
    }
    let mut expected: Vec<String> = damaged[2..]
        .iter()
        .map(|digest| format!("quarantine/{digest}"))
        .collect();
    expected.sort();
    assert_eq!(place.files(), expected);
    assert_eq!(store.quarantined(), 5);
}

#[test]
fn what_is_in_use_is_never_collected_and_else_the_newest_stay() {
    let place = Place::new();
    let store = place.open();
    let put: Vec<Digest> = (0..8)
        .map(|seed| stored(&store, &app(seed, 100)).expect("kept"))
        .collect();
    assert_eq!(
        store.components(),
        put,
        "nothing is known to be surplus yet"
    );
    assert_eq!(store.collect(&[put[0], put[1]]).expect("collected"), 3);
    assert_eq!(store.components(), [put[0], put[1], put[5], put[6], put[7]]);
    // A stored component makes an unused one go; one that is stored again counts as new.
    stored(&store, &app(5, 100)).expect("there already");
    let new = stored(&store, &app(9, 100)).expect("kept");
    assert_eq!(store.components(), [put[0], put[1], put[7], put[5], new]);
    let all = store.components();
    let more: Vec<Digest> = all.iter().copied().chain([put[2], put[3]]).collect();
    assert_eq!(store.collect(&more).expect("collected"), 0, "all in use");
    let newest = stored(&store, &app(10, 100)).expect("kept");
    assert_eq!(store.components().len(), 6, "what came just now stays");
    assert!(store.has(&newest));
}

#[test]
fn an_app_over_the_limit_is_refused_and_one_at_it_is_taken() {
    let mut place = Place::new();
    place.limits.component = 1000;
    let store = place.open();
    stored(&store, &app(1, 1000)).expect("kept");
    let error = stored(&store, &app(1, 1001)).expect_err("too large");
    assert!(matches!(
        error,
        StoreError::TooLarge {
            size: 1001,
            most: 1000
        }
    ));
    assert!(error.to_string().contains("--max-component"), "{error}");
    let error = begun(&store, &app(1, 1001)).expect_err("too large");
    assert!(matches!(error, StoreError::TooLarge { .. }));
    assert_eq!(place.files().len(), 1);
}

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

#[test]
fn what_a_crash_left_half_written_is_swept_up_at_the_start() {
    let place = Place::new();
    let store = place.open();
    let kept = stored(&store, &app(1, 100)).expect("kept");
    let download = begun(&store, &app(2, 2 * CHUNK)).expect("begun");
    drop((download, store));
    let apps = place.apps();
    std::fs::write(apps.join(".new"), b"half an app").expect("written");
    // An earlier version kept manifests beside its downloads.
    let manifest = format!("{}.manifest", Digest::of(b"alone"));
    std::fs::write(apps.join("partial").join(manifest), b"").expect("written");
    place.open();
    assert_eq!(place.files(), [kept.to_string()]);
}

#[test]
fn full_disks_and_quotas_are_told_apart_and_say_what_to_do() {
    let of =
        |error: rustix::io::Errno| StoreError::write(Path::new("/data/x"), 2 << 20, error.into());
    let full = of(rustix::io::Errno::NOSPC);
    assert!(matches!(full, StoreError::Full { .. }));
    assert!(
        full.to_string()
            .contains("no room for the component of 2.0 MiB"),
        "{full}"
    );
    let quota = of(rustix::io::Errno::DQUOT);
    assert!(matches!(quota, StoreError::Quota { .. }));
    assert!(quota.to_string().contains("disk quota"), "{quota}");
    assert!(full.is_local() && quota.is_local());
    assert!(matches!(
        of(rustix::io::Errno::IO),
        StoreError::Write { .. }
    ));
}

#[test]
fn an_app_that_is_asked_for_while_it_becomes_whole_is_there_at_any_moment() {
    for _ in 0..50 {
        let place = Place::new();
        let store = place.open();
        let bytes = app(1, 3 * CHUNK + 77);
        let it = Component::of(&bytes);
        let held = store.find_any(&it).expect("readable");
        assert!(matches!(held, Found::Nothing));
        let download = store.begin(&it, &Component::manifest(&bytes).into());
        let download = download.expect("begun");
        for (index, chunk) in chunks(&bytes).into_iter().enumerate() {
            download.store_chunk(index, chunk).expect("right");
        }
        std::thread::scope(|scope| {
            let finishing = scope.spawn(|| finish(&download).expect("whole"));
            loop {
                match store.find_any(&it).expect("readable") {
                    Found::Whole(whole) => {
                        assert_eq!(*whole.bytes(), bytes);
                        break;
                    }
                    Found::Begun(full) => {
                        assert_eq!(*full.component().expect("full").bytes(), bytes);
                    }
                    Found::Nothing => panic!("it is there"),
                }
            }
            finishing.join().expect("no panic");
        });
        assert_eq!(place.files(), [it.digest.to_string()]);
    }
}
