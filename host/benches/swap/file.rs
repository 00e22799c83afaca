//! From a file that is written to the first answer of its code, step by step.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::app::{
    AppBytes, Loader, Places, Runtime, RuntimeConfig, Swapped, WatchMode, WatchedFile, read,
    validate,
};
use host::cluster_view::Views;
use host::contract::{CallLimits, NodeInfo};
use tokio::sync::{mpsc, watch};

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
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        code_cache: Some(cache.to_owned()),
    };
    let views = watch::channel(Arc::new(view(1, &NAMES[..2]))).1;
    let views = Views::new(views, name(NAMES[0]));
    Runtime::new(config, Arc::new(NodeInfo { views })).expect("an engine")
}

/// Changes the file so often, and prints how long it took: with code that is
/// new, and with code that was compiled before.
pub(crate) async fn measure(what: &str, component: Vec<u8>, rounds: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.wasm");
    let runtime = runtime(&folder.path().join("code"));
    std::fs::write(&path, another(&component, 0)).expect("a file");
    let app = read(&path).expect("it can be read");
    let digest = app.digest;
    let first = validate(&runtime, app).await.expect("it is an app");
    let node = Node::with_generation(Arc::new(first), Setup::default()).await;
    let loader = Loader::new(runtime.clone(), node.slot.clone());
    let file = WatchedFile::watch(Places::of(&path), Some(digest), WatchMode::Notify)
        .compiling_ahead(runtime);
    let (told, mut changes) = mpsc::channel(1);
    let loader = Arc::new(loader);
    let following = tokio::spawn(follow(file, loader.clone(), told));
    let size = component.len();
    println!("\na file of {what} is written, {size} bytes, {rounds} times");
    let mut client = Client::connect(Protocol::H1, node.address).await;
    for (kind, first) in [("new code", 1), ("code compiled before", 0)] {
        let mut rows: [Spread; 6] = Default::default();
        for number in first..first + rounds {
            let bytes = another(&component, number);
            let digest = cluster::Digest::of(&bytes).to_string();
            tokio::time::sleep(PAUSE).await;
            std::fs::write(&path, bytes).expect("a file");
            let written = Instant::now();
            while !client.get("/").await.text().contains(&digest) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let answered = written.elapsed();
            let change = soon("the change", changes.recv())
                .await
                .expect("it follows");
            let swapped = &change.swapped;
            for (row, time) in rows.iter_mut().zip([
                answered,
                change.seen.saturating_duration_since(written),
                change.read - change.seen,
                swapped.compiled,
                (change.done - change.read).saturating_sub(swapped.compiled + swapped.swapped),
                swapped.swapped,
            ]) {
                row.add(time);
            }
        }
        for (row, name) in rows.iter().zip([
            "written -> answered",
            "  seen",
            "  at rest, and read",
            "  compiled, or loaded",
            "  validated",
            "  swapped",
        ]) {
            row.print(&format!("{kind}: {name}"));
        }
    }
    following.abort();
    let _ = following.await;
    let (mut whole, mut stores) = (Spread::default(), Spread::default());
    for number in 0..rounds {
        let bytes = another(&component, number);
        let app = AppBytes {
            path: path.clone(),
            digest: cluster::Digest::of(&bytes),
            bytes: bytes.into(),
        };
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let swapped = loader.prepare(app).await.expect("it is an app").activate();
        assert_eq!(client.get("/").await.status, 200);
        whole.add(began.elapsed());
        stores.add(swapped.swapped);
    }
    whole.print("loaded at once, compiled before: -> answered");
    stores.print("  the store");
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
