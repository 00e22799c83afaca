//! The file of `--app` while it changes: what is taken up, what never is, and
//! what a node makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::Digest;
use cluster::release::App;
use host::app::{Loader, MAX_APP, Seen, WatchMode, WatchedFile, follow};
use tokio::sync::mpsc;

use crate::refusals::{starts_with, wants_memory};
use crate::support::client::{Client, Protocol};
use crate::support::components::{Limits, built, fresh, read_built, runtime, written};
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::{soon, until};

const MODES: [WatchMode; 2] = [WatchMode::Notify, WatchMode::Poll];

/// An empty component that differs from others by its number, and is `size`
/// bytes larger than it need be.
fn component(number: u32, size: usize) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let mut content = vec![1, b'n'];
    content.extend(number.to_le_bytes());
    content.resize(content.len() + size, 0);
    bytes.push(0);
    let mut length = content.len();
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
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
    let file = WatchedFile::watch(&path, Digest::of(&first), mode);
    let file = file.compiling_ahead(runtime(Limits::Usual));
    Watched { folder, path, file }
}

impl Watched {
    async fn next(&mut self) -> Seen {
        soon("the change to be seen", self.file.next()).await
    }

    /// The next thing that is seen is this content, whole.
    async fn sees(&mut self, content: &[u8]) {
        let app = self.next().await.app.expect("an app");
        assert_eq!(app.digest, Digest::of(content), "{} bytes", app.bytes.len());
    }

    /// Nothing more is seen.
    async fn rests(&mut self) {
        let more = tokio::time::timeout(Duration::from_millis(300), self.file.next()).await;
        assert!(
            more.is_err(),
            "{:?}",
            more.map(|seen| seen.app.map(|app| app.digest))
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
    assert_eq!(core_module.app.expect("it can be read").bytes.len(), 8);
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

/// A node that follows a file in which the first release of the counter is.
struct Following {
    node: Node,
    folder: tempfile::TempDir,
    swapped: mpsc::Receiver<App>,
    follower: tokio::task::JoinHandle<()>,
}

impl Following {
    async fn start(limits: Limits) -> Following {
        let generation = fresh(limits, "fixture-counter-v1").await;
        let digest = generation.digest;
        let setup = Setup {
            limits,
            ..Setup::default()
        };
        let node = Node::with_generation(generation, setup).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.wasm");
        fs::copy(built("fixture-counter-v1"), &path).expect("copied");
        let file = WatchedFile::watch(&path, digest, WatchMode::Notify);
        let file = file.compiling_ahead(runtime(limits));
        let loader = Loader::new(runtime(limits), node.slot.clone());
        let (sender, swapped) = mpsc::channel(1);
        Following {
            node,
            folder,
            swapped,
            follower: tokio::spawn(follow(file, loader, sender)),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.wasm")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

#[tokio::test]
async fn a_node_serves_what_is_in_its_file_now() {
    let log = Log::capture();
    let mut following = Following::start(Limits::Usual).await;
    let mut client = Client::connect(Protocol::H1, following.node.address).await;
    let mut stream = Client::connect(Protocol::H1, following.node.address).await;
    let mut stream = stream.open("/count/tea").await;
    let new = read_built("fixture-counter-v2");
    let began = std::time::Instant::now();
    replace(&following.path(), &new);
    until("the new code to serve", || {
        following
            .node
            .slot
            .current()
            .map(|generation| generation.digest)
            == Some(Digest::of(&new))
    })
    .await;
    println!("from the last write to the new code: {:?}", began.elapsed());
    assert_eq!(client.get("/").await.text(), "v2");
    assert_eq!(following.swapped.recv().await, Some(App::of(&new)));
    client.get("/tick").await;
    assert_eq!(stream.to("\n\n").await, "data: v2 unnamed 1\n\n");
    until("the old code to be gone", || {
        !log.lines(&["the app before is gone", "carried=1", "refused=0", "cut=0"])
            .is_empty()
    })
    .await;
    log.tells_once(&["the app changed", "swapped_us", "compiled_ms"]);
}

#[tokio::test]
async fn what_is_no_app_is_refused_with_a_sentence_and_the_old_one_goes_on() {
    let whole = read_built("fixture-counter-v2");
    let bad: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "truncated",
            whole[..whole.len() / 2].to_vec(),
            "cannot be compiled",
        ),
        (
            "random",
            (0..4096_u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
            "is not WebAssembly",
        ),
        (
            "core module",
            written("core-module.wat"),
            "is a core module",
        ),
        (
            "wrong world",
            written("wants-more.wat"),
            "imports what this host does not give",
        ),
        ("no export", written("no-handler.wat"), "has no handler"),
        ("traps", starts_with("unreachable"), "unreachable"),
        ("loops", starts_with("(loop br 0)"), "processor time"),
        ("4 GiB", wants_memory(65_536), "memory"),
    ];
    let log = Log::capture();
    let following = Following::start(Limits::Tight).await;
    let mut client = Client::connect(Protocol::H2, following.node.address).await;
    let before = following.node.slot.current().expect("it serves").digest;
    for (what, bytes, sentence) in bad {
        replace(&following.path(), &bytes);
        until(what, || {
            !log.lines(&[sentence, "goes on serving"]).is_empty()
        })
        .await;
        assert_eq!(client.get("/").await.text(), "v1", "{what}");
    }
    // What is not even read.
    let path = following.path();
    let big = fs::File::create(path.with_extension("big")).expect("made");
    big.set_len(200 << 20).expect("sparse");
    fs::rename(path.with_extension("big"), &path).expect("renamed");
    let too_large = format!("more than the {MAX_APP}");
    until("200 MB", || !log.lines(&[&too_large]).is_empty()).await;
    fs::remove_file(&path).expect("removed");
    until("gone", || !log.lines(&["there is no app file"]).is_empty()).await;
    fs::create_dir(&path).expect("made");
    until("a folder", || !log.lines(&["is not a file"]).is_empty()).await;
    assert_eq!(client.get("/").await.text(), "v1");
    let now = following.node.slot.current().expect("it serves").digest;
    assert_eq!(now, before);
    assert!(
        following.node.slot.draining().is_none(),
        "nothing was put in"
    );
    // And it still takes up what is good.
    fs::remove_dir(&path).expect("removed");
    replace(&path, &whole);
    until("the good one", || {
        following
            .node
            .slot
            .current()
            .map(|generation| generation.digest)
            == Some(Digest::of(&whole))
    })
    .await;
    assert_eq!(client.get("/").await.text(), "v2");
}
