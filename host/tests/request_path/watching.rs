//! The file of `--app` while it changes: what is taken up, and what never is.
//! What a node makes of it is in `releases/file.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cluster::Digest;
use host::app::{AppFileSearch, Seen, WatchMode, WatchedFile};
use lab::components::custom_section;

use crate::support::components::{Limits, runtime};
use crate::support::soon;

const MODES: [WatchMode; 2] = [WatchMode::Notify, WatchMode::Poll];

/// An empty component that differs from others by its number, and is `size`
/// bytes larger than it need be.
fn component(number: u32, size: usize) -> Vec<u8> {
    let mut content = number.to_le_bytes().to_vec();
    content.resize(content.len() + size, 0);
    [&b"\0asm\x0d\0\x01\0"[..], &custom_section(&content)].concat()
}

/// A folder with an app in it, and the watch of that.
struct Watched {
    folder: tempfile::TempDir,
    path: PathBuf,
    file: WatchedFile,
}

fn watched(mode: WatchMode) -> Watched {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.wasm");
    let first = component(0, 0);
    fs::write(&path, &first).expect("written");
    let file = WatchedFile::watch(AppFileSearch::of(&path), Some(Digest::of(&first)), mode)
        .compiling_ahead(runtime(Limits::Usual));
    Watched { folder, path, file }
}

impl Watched {
    async fn next(&mut self) -> Seen {
        soon("the change to be seen", self.file.next()).await
    }

    /// The next thing that is seen is this content, whole.
    async fn sees(&mut self, content: &[u8]) {
        let app = self.next().await.app.expect("an app");
        let component = &app.component;
        let length = component.bytes().len();
        assert_eq!(component.digest(), Digest::of(content), "{length} bytes");
    }

    /// Nothing more is seen.
    async fn rests(&mut self) {
        let more = tokio::time::timeout(Duration::from_millis(300), self.file.next()).await;
        assert!(
            more.is_err(),
            "{:?}",
            more.map(|seen| seen.app.map(|app| app.component.digest()))
        );
    }
}

fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("written");
    fs::rename(new, path).expect("renamed");
}

fn link(target: &Path, path: &Path) {
    let new = path.with_extension("link");
    std::os::unix::fs::symlink(target, &new).expect("linked");
    fs::rename(new, path).expect("renamed");
}

#[tokio::test]
async fn a_file_is_seen_however_it_is_changed() {
    for mode in MODES {
        let mut watched = watched(mode);
        fs::write(&watched.path, component(1, 0)).expect("written");
        watched.sees(&component(1, 0)).await;
        replace(&watched.path, &component(2, 0));
        watched.sees(&component(2, 0)).await;
        // A link to a file elsewhere, the change of that file, another link.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let (one, two) = (elsewhere.path().join("one"), elsewhere.path().join("two"));
        fs::write(&one, component(3, 0)).expect("written");
        fs::write(&two, component(5, 0)).expect("written");
        link(&one, &watched.path);
        watched.sees(&component(3, 0)).await;
        fs::write(&one, component(4, 0)).expect("written");
        watched.sees(&component(4, 0)).await;
        link(&two, &watched.path);
        watched.sees(&component(5, 0)).await;
        watched.rests().await;
    }
}

#[tokio::test]
async fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    for mode in MODES {
        let mut watched = watched(mode);
        fs::remove_dir_all(watched.folder.path()).expect("removed");
        assert!(watched.next().await.app.is_err());
        fs::create_dir(watched.folder.path()).expect("made");
        fs::write(&watched.path, component(1, 0)).expect("written");
        watched.sees(&component(1, 0)).await;
        fs::write(&watched.path, component(2, 0)).expect("written");
        watched.sees(&component(2, 0)).await;
    }
}

#[tokio::test]
async fn half_a_file_is_never_taken() {
    for mode in MODES {
        let mut watched = watched(mode);
        let (path, whole) = (watched.path.clone(), component(1, 1 << 20));
        let writing = tokio::task::spawn_blocking(move || {
            for end in [0, 4, whole.len() / 2, whole.len() - 1, whole.len()] {
                fs::write(&path, &whole[..end]).expect("written");
                // Far longer than the file need rest to be read.
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        watched.sees(&component(1, 1 << 20)).await;
        writing.await.expect("written");
        watched.rests().await;
    }
}

#[tokio::test]
async fn a_build_that_removes_the_file_and_puts_a_core_module_there_first_is_one_change() {
    for mode in MODES {
        let mut watched = watched(mode);
        let path = watched.path.clone();
        let building = tokio::task::spawn_blocking(move || {
            fs::remove_file(&path).expect("removed");
            std::thread::sleep(Duration::from_millis(100));
            fs::write(&path, b"\0asm\x01\0\0\0").expect("written");
            std::thread::sleep(Duration::from_millis(100));
            fs::write(&path, component(1, 0)).expect("written");
        });
        watched.sees(&component(1, 0)).await;
        building.await.expect("built");
        watched.rests().await;
    }
}

#[tokio::test]
async fn a_file_that_stays_unfinished_is_told_of_after_two_seconds() {
    let mut watched = watched(WatchMode::Notify);
    fs::write(&watched.path, b"\0asm\x01\0\0\0").expect("written");
    let core_module = watched.next().await;
    assert!(core_module.at.elapsed() >= Duration::from_secs(2));
    assert_eq!(
        core_module
            .app
            .expect("it can be read")
            .component
            .bytes()
            .len(),
        8
    );
    fs::remove_file(&watched.path).expect("removed");
    let gone = watched.next().await;
    assert!(gone.at.elapsed() >= Duration::from_secs(2));
    let sentence = gone.app.expect_err("it is gone").to_string();
    assert!(sentence.contains("there is no app file"), "{sentence}");
    watched.rests().await;
}

#[tokio::test]
async fn a_burst_of_writes_is_one_change_and_what_was_there_before_is_none() {
    for mode in MODES {
        let mut watched = watched(mode);
        watched.rests().await;
        for number in 1..=50 {
            fs::write(&watched.path, component(number, 0)).expect("written");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        watched.sees(&component(50, 0)).await;
        watched.rests().await;
        // Written again with the same content.
        fs::write(&watched.path, component(50, 0)).expect("written");
        watched.rests().await;
    }
}

/// A workspace in which a bare name stands for what was built last, and the
/// watch of that.
struct Workspace {
    folder: tempfile::TempDir,
    file: WatchedFile,
    /// How many builds there were.
    builds: u64,
}

impl Workspace {
    /// One in which this was built last.
    fn with(build: &str, content: &[u8], mode: WatchMode) -> Workspace {
        let folder = tempfile::tempdir().expect("a folder");
        put(&folder.path().join(build), content, 0);
        let places = AppFileSearch::seen_from(folder.path(), Path::new("app.wasm"));
        let file = WatchedFile::watch(places, Some(Digest::of(content)), mode);
        Workspace {
            folder,
            file,
            builds: 0,
        }
    }

    fn build(&mut self, build: &str, content: &[u8]) {
        self.builds += 1;
        put(&self.folder.path().join(build), content, self.builds);
    }

    async fn next(&mut self) -> Seen {
        soon("the change to be seen", self.file.next()).await
    }

    /// The next thing that is seen is this content, from this folder.
    async fn sees(&mut self, build: &str, content: &[u8]) {
        let app = self.next().await.app.expect("an app");
        assert_eq!(app.component.digest(), Digest::of(content));
        assert_eq!(app.path, self.folder.path().join(build).join("app.wasm"));
    }

    async fn rests(&mut self) {
        let more = tokio::time::timeout(Duration::from_millis(1500), self.file.next()).await;
        assert!(more.is_err(), "{:?}", more.map(|seen| seen.app.is_ok()));
    }
}

/// Puts a build there, each a second after the one before, as the file system
/// has it: its own clock does not tell two apart that come at once.
fn put(folder: &Path, content: &[u8], number: u64) {
    fs::create_dir_all(folder).expect("made");
    let new = folder.join("app.new");
    fs::write(&new, content).expect("written");
    let at = SystemTime::now() - Duration::from_secs(1000 - number);
    let file = fs::File::options().write(true).open(&new).expect("there");
    file.set_modified(at).expect("set");
    fs::rename(new, folder.join("app.wasm")).expect("renamed");
}

const DEBUG: &str = "target/wasm32-wasip1/debug";
const RELEASE: &str = "target/wasm32-wasip1/release";

#[tokio::test]
async fn a_bare_name_goes_on_to_stand_for_the_newest_build() {
    for mode in MODES {
        let mut workspace = Workspace::with(DEBUG, &component(0, 0), mode);
        // Its folder was not there before.
        workspace.build(RELEASE, &component(1, 0));
        workspace.sees(RELEASE, &component(1, 0)).await;
        workspace.build(RELEASE, &component(2, 0));
        workspace.sees(RELEASE, &component(2, 0)).await;
        workspace.build(DEBUG, &component(3, 0));
        workspace.sees(DEBUG, &component(3, 0)).await;
        // All are gone, and one is built again.
        fs::remove_dir_all(workspace.folder.path().join("target")).expect("removed");
        assert!(workspace.next().await.app.is_err());
        workspace.build(RELEASE, &component(4, 0));
        workspace.sees(RELEASE, &component(4, 0)).await;
        // A file in the folder itself comes before what is built.
        workspace.build("", &component(5, 0));
        workspace.sees("", &component(5, 0)).await;
        workspace.build(DEBUG, &component(6, 0));
        workspace.rests().await;
    }
}

#[tokio::test]
async fn a_build_that_is_gone_for_a_moment_or_for_good_brings_back_no_earlier_one() {
    for mode in MODES {
        let mut workspace = Workspace::with(RELEASE, &component(0, 0), mode);
        workspace.build(DEBUG, &component(1, 0));
        workspace.sees(DEBUG, &component(1, 0)).await;
        let debug = workspace.folder.path().join(DEBUG).join("app.wasm");
        let rebuilding = tokio::task::spawn_blocking({
            let debug = debug.clone();
            move || {
                fs::remove_file(&debug).expect("removed");
                std::thread::sleep(Duration::from_millis(300));
                fs::write(&debug, component(2, 0)).expect("written");
            }
        });
        workspace.sees(DEBUG, &component(2, 0)).await;
        rebuilding.await.expect("built");
        fs::remove_file(&debug).expect("removed");
        let gone = workspace.next().await.app.expect_err("it is gone");
        assert!(gone.to_string().contains(DEBUG), "{gone}");
        workspace.rests().await;
    }
}
