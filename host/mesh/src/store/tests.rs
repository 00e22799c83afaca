//! What the store keeps, refuses, notices and survives.

mod downloads;
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
