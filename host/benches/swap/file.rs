//! From a file that is written to the first answer of its code, step by step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::app::{WatchMode, WatchedFile};
use host::files::{AppFileSearch, read};
use runtime::capacity::{MachineLimits, PlaceLimits};
use runtime::compile::{CompileLimits, CompilerConfig};
use runtime::component::NamedComponent;
use runtime::contract::{CallLimits, NodeInfo};
use runtime::engine::{Runtime, RuntimeConfig};
use runtime::generation::validate;
use runtime::loader::{Loader, Swapped};
use runtime::views::Views;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::component::another;
use super::spread::Spread;
use crate::support::client::{Client, Protocol};
use crate::support::node::{NAMES, Node, Setup, name, view};
use crate::support::soon;

/// Apart so far that each change is one of its own, and nothing of the one
/// before goes on.
const PAUSE: Duration = Duration::from_millis(300);

/// One change, as the node sees it.
struct Change {
    seen: Instant,
    read: Instant,
    swapped: Swapped,
    done: Instant,
}

/// A runtime as a node has it, with a cache of compiled code.
pub(crate) fn runtime(cache: &Path) -> Arc<Runtime> {
    let config = RuntimeConfig {
        limits: CallLimits {
            cpu: Duration::from_secs(10),
            wall: Duration::from_secs(30),
            memory: 128 << 20,
            state: 64 << 10,
        },
        places: PlaceLimits::of(MachineLimits::look(), None),
        room: Default::default(),
        instances: Default::default(),
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        code_cache: Some(cache.to_owned()),
        compiler: CompilerConfig {
            program: Some(env!("CARGO_BIN_EXE_host").into()),
            limits: CompileLimits::of_this_machine(Duration::from_secs(120)),
        },
    };
    let views = watch::channel(Arc::new(view(1, &NAMES[..2]))).1;
    let views = Views::new(views, name(NAMES[0]));
    Runtime::new(config, Arc::new(NodeInfo::closed(views))).expect("an engine")
}

/// What the rows of a change say, in their order.
const ROWS: [&str; 6] = [
    "written -> answered",
    "  seen",
    "  at rest, and read",
    "  compiled, or loaded",
    "  validated",
    "  swapped",
];

/// Changes the file so often, and prints how long it took: with code that the
/// node has never seen, with code whose functions it has compiled for another
/// app, and with code that it has compiled as it is.
pub(crate) async fn measure(what: &str, component: Vec<u8>, rounds: usize) {
    let size = component.len();
    println!("\na file of {what} is written, {size} bytes, {rounds} times");
    let mut rows = Rows::default();
    for number in 1..=rounds {
        let mut watched = Watched::start(None).await;
        rows.add(watched.change(another(&component, number)).await);
        watched.stop().await;
    }
    rows.print("all of it new");
    let mut watched = Watched::start(Some(another(&component, 0))).await;
    for (kind, first) in [("its functions known", 1), ("code compiled before", 0)] {
        let mut rows = Rows::default();
        for number in first..first + rounds {
            rows.add(watched.change(another(&component, number)).await);
        }
        rows.print(kind);
    }
    let (mut whole, mut stores) = (Spread::default(), Spread::default());
    for number in 0..rounds {
        let (answered, store) = watched.load(another(&component, number)).await;
        whole.add(answered);
        stores.add(store);
    }
    whole.print("loaded at once, compiled before: -> answered");
    stores.print("  the store");
    watched.stop().await;
}

#[derive(Default)]
struct Rows([Spread; ROWS.len()]);

impl Rows {
    fn add(&mut self, times: [Duration; ROWS.len()]) {
        for (row, time) in self.0.iter_mut().zip(times) {
            row.add(time);
        }
    }

    fn print(&self, kind: &str) {
        for (row, name) in self.0.iter().zip(ROWS) {
            row.print(&format!("{kind}: {name}"));
        }
    }
}

/// A node that follows a file, and a client that asks it.
struct Watched {
    folder: TempDir,
    _node: Node,
    loader: Arc<Loader>,
    client: Client,
    changes: mpsc::Receiver<Change>,
    following: JoinHandle<()>,
}

impl Watched {
    /// One that serves this app and has seen no other.
    async fn start(component: Option<Vec<u8>>) -> Watched {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.wasm");
        let runtime = runtime(&folder.path().join("code"));
        let (node, digest) = match component {
            None => (Node::without_app().await, None),
            Some(bytes) => {
                std::fs::write(&path, bytes).expect("a file");
                let app = read(&path).expect("it can be read");
                let digest = app.component.digest();
                let first = validate(&runtime, app).await.expect("it is an app");
                let node = Node::with_generation(Arc::new(first), Setup::default()).await;
                (node, Some(digest))
            }
        };
        let loader = Arc::new(Loader::new(runtime.clone(), node.slot.clone()));
        let file = WatchedFile::watch(AppFileSearch::of(&path), digest, WatchMode::Notify)
            .compiling_ahead(runtime);
        let (told, changes) = mpsc::channel(1);
        let following = tokio::spawn(follow(file, loader.clone(), told));
        Watched {
            client: Client::connect(Protocol::H1, node.address).await,
            folder,
            _node: node,
            loader,
            changes,
            following,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.wasm")
    }

    /// Writes an app to the file, and waits until it answers.
    async fn change(&mut self, bytes: Vec<u8>) -> [Duration; ROWS.len()] {
        let digest = cluster::Digest::of(&bytes).to_string();
        tokio::time::sleep(PAUSE).await;
        std::fs::write(self.path(), bytes).expect("a file");
        let written = Instant::now();
        while !self.client.get("/").await.text().contains(&digest) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let answered = written.elapsed();
        let change = soon("the change", self.changes.recv()).await;
        let change = change.expect("it follows");
        let swapped = &change.swapped;
        // A file that was not there counts as one that is being built.
        let seen = change.seen.max(written);
        [
            answered,
            seen - written,
            change.read - seen,
            swapped.compiled,
            (change.done - change.read).saturating_sub(swapped.compiled + swapped.swapped),
            swapped.swapped,
        ]
    }

    /// Loads an app past the file, and waits until it answers. Gives how long
    /// that took, and how long the store of it.
    async fn load(&mut self, bytes: Vec<u8>) -> (Duration, Duration) {
        let app = NamedComponent {
            path: self.path(),
            component: cluster::ComponentBytes::of(bytes.into()),
        };
        self.following.abort();
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let ready = self.loader.prepare(app).await.expect("it is an app");
        let swapped = ready.activate();
        assert_eq!(self.client.get("/").await.status, 200);
        (began.elapsed(), swapped.swapped)
    }

    async fn stop(self) {
        self.following.abort();
        let _ = self.following.await;
    }
}

/// Takes up each change, as a node does.
async fn follow(mut file: WatchedFile, loader: Arc<Loader>, told: mpsc::Sender<Change>) {
    loop {
        let seen = file.next().await;
        let app = seen.app.expect("it can be read");
        let read = Instant::now();
        let swapped = loader.prepare(app).await.expect("it is an app").activate();
        let change = Change {
            seen: seen.at,
            read,
            swapped,
            done: Instant::now(),
        };
        if told.send(change).await.is_err() {
            return;
        }
    }
}
