//! An app on its way from member to member over real control channels on the
//! loopback interface: what is wrong is dropped,
//! and a fetch that breaks off goes on.

#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use cluster::ComponentBytes;
use cluster::release::{CHUNK, Component};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use lab::small_disk::{self, Small};
use mesh::control::{Body, FutureAnswer, Peer, Refuse, Service, refusal};
use mesh::data_dir::DataDir;
use mesh::membership::Membership;
use mesh::store::{Store, StoreError, StoreLimits};
use mesh::transfer::{ChunkServer, Fetcher, TransferError};
use support::lan::{Lan, lists};
use support::log::Log;
use support::{soon, until};
use tempfile::TempDir;
use tokio::sync::watch;

/// How many chunks the app of these tests has.
const CHUNKS: usize = 12;

/// An app of which no two chunks are the same.
fn app() -> Bytes {
    let bytes = (0..CHUNKS * CHUNK - 100).map(|at| (at / 1000) as u8 ^ (at as u8));
    bytes.collect()
}

fn store(folder: &Path) -> Store {
    let data = DataDir::open(folder).expect("a data folder");
    Store::open(Arc::new(data), StoreLimits::default()).expect("a store")
}

/// What a holder of the app does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Changes a byte of each chunk.
    WrongChunks,
    /// Changes a byte of the manifest.
    WrongManifest,
    /// Gives so many chunks, and never answers after that.
    StopsAfter(usize),
    /// Refuses the first question, since it is just starting.
    Starting,
}

/// A node that has the app, or answers as if it had.
struct Giver {
    server: ChunkServer,
    manner: Manner,
    /// How many chunks it was asked for and gave.
    given: Arc<AtomicUsize>,
}

impl Service for Giver {
    fn call(&self, from: Peer, request: Request<Incoming>) -> FutureAnswer {
        assert!(matches!(from, Peer::Member(_)));
        let (server, manner) = (self.server.clone(), self.manner);
        let given = self.given.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let is_chunk = path.ends_with("/chunk");
            if let Manner::StopsAfter(most) = manner
                && is_chunk
                && given.load(SeqCst) >= most
            {
                std::future::pending::<()>().await;
            }
            if manner == Manner::Starting && given.fetch_add(1, SeqCst) == 0 {
                let why = "this node is starting; try again in a moment";
                return refusal(StatusCode::SERVICE_UNAVAILABLE, why);
            }
            let answer = server.answer(&path, request.into_body()).await;
            if is_chunk && answer.status() == StatusCode::OK {
                given.fetch_add(1, SeqCst);
            }
            let wrong = match manner {
                Manner::WrongChunks => is_chunk,
                Manner::WrongManifest => !is_chunk,
                Manner::Honest | Manner::StopsAfter(_) | Manner::Starting => false,
            };
            if wrong {
                tampered(answer).await
            } else {
                answer
            }
        })
    }
}

/// The answer with its last byte changed.
async fn tampered(answer: Response<Body>) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let mut bytes = body.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
    Response::from_parts(head, body.boxed())
}

struct Node {
    membership: Membership,
    given: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl Node {
    /// A node that has the app.
    fn giving(lan: &Lan, last: u8, app: &Bytes, manner: Manner) -> Node {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder.path().join("store"));
        let component = ComponentBytes::of(app.clone());
        store.store(&component).expect("stored");
        let given = Arc::new(AtomicUsize::new(0));
        let giver = Giver {
            server: ChunkServer::new(store),
            manner,
            given: given.clone(),
        };
        let release = Some(component.digest());
        let membership = lan.start(last, folder.path(), release, Arc::new(giver));
        Node {
            membership,
            given,
            _folder: folder,
        }
    }
}

/// A node that fetches.
struct Getter {
    membership: Membership,
    fetcher: Fetcher,
    progress: watch::Sender<(u64, u64)>,
}

impl Getter {
    fn start(lan: &Lan, last: u8, folder: &Path) -> Getter {
        Self::start_giving(lan, last, folder, false)
    }

    /// One that gives to others what it has, if it is to.
    fn start_giving(lan: &Lan, last: u8, folder: &Path, gives: bool) -> Getter {
        let store = store(&folder.join("store"));
        let service: Arc<dyn Service> = match gives {
            true => Arc::new(Giver {
                server: ChunkServer::new(store.clone()),
                manner: Manner::Honest,
                given: Arc::default(),
            }),
            false => Arc::new(Refuse),
        };
        let membership = lan.start(last, folder, None, service);
        let fetcher = Fetcher::new(membership.views(), membership.client(), store);
        Getter {
            membership,
            fetcher,
            progress: watch::Sender::default(),
        }
    }

    async fn fetch(&self, app: &Bytes) -> Result<Bytes, TransferError> {
        let what = Component::of(app);
        let fetched = soon("the app", self.fetcher.fetch(&what, &self.progress)).await?;
        Ok(fetched.bytes().clone())
    }

    /// How many chunks are there, as far as was said.
    fn have(&self) -> usize {
        self.progress.borrow().0.div_ceil(CHUNK as u64) as usize
    }
}

#[tokio::test]
async fn an_app_reaches_all_who_lack_it_and_they_give_it_to_each_other() {
    let (lan, app) = (Lan::new(), app());
    let holder = Node::giving(&lan, 2, &app, Manner::Honest);
    let folders: [TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().expect("a folder"));
    let getters: [Getter; 3] = std::array::from_fn(|at| {
        Getter::start_giving(&lan, at as u8 + 3, folders[at].path(), true)
    });
    lists(&holder.membership, &[2, 3, 4, 5]).await;
    for getter in &getters {
        lists(&getter.membership, &[2, 3, 4, 5]).await;
    }
    let [a, b, c] = &getters;
    let (a_got, b_got, c_got) = tokio::join!(a.fetch(&app), b.fetch(&app), c.fetch(&app));
    for (getter, got) in [(a, a_got), (b, b_got), (c, c_got)] {
        assert_eq!(got.expect("fetched"), app);
        let len = app.len() as u64;
        assert_eq!(*getter.progress.borrow(), (len, len));
        assert_eq!(getter.fetcher.fetches().wrong, 0);
    }
    let given = holder.given.load(SeqCst);
    assert!(given >= CHUNKS, "{given}");
    println!("the holder gave {given} of {} chunks", 3 * CHUNKS);
    // It is there now, and nobody is asked again: nobody is left.
    let [a, b, c] = getters;
    drop((holder, b, c));
    lists(&a.membership, &[3]).await;
    assert_eq!(a.fetch(&app).await.expect("there"), app);
}

/// A liar alone gives nothing but wrong bytes; then an honest member comes.
async fn wrong_bytes_are_dropped(manner: Manner) {
    let log = Log::capture();
    let (lan, app) = (Lan::new(), app());
    let folder = tempfile::tempdir().expect("a folder");
    let liar = Node::giving(&lan, 2, &app, manner);
    let getter = Getter::start(&lan, 3, folder.path());
    lists(&getter.membership, &[2, 3]).await;
    let fetching = getter.fetch(&app);
    let watching = async {
        until("wrong bytes to be counted", || {
            getter.fetcher.fetches().wrong == 1
        })
        .await;
        assert_eq!(getter.have(), 0, "nothing of it is kept");
        Node::giving(&lan, 4, &app, Manner::Honest)
    };
    let (fetched, _honest) = tokio::join!(fetching, watching);
    assert_eq!(fetched.expect("fetched"), app);
    assert_eq!(
        getter.fetcher.fetches().wrong,
        1,
        "the liar is not asked again"
    );
    log.tells_once(&["example@127.0.0.2", "wrong bytes"]);
    drop(liar);
}

#[tokio::test]
async fn a_tampered_chunk_is_dropped_counted_and_logged_and_comes_from_another_member() {
    wrong_bytes_are_dropped(Manner::WrongChunks).await;
}

#[tokio::test]
async fn a_tampered_manifest_is_dropped_counted_and_logged_and_comes_from_another_member() {
    wrong_bytes_are_dropped(Manner::WrongManifest).await;
}

#[tokio::test]
async fn a_member_whose_refusal_is_longer_than_its_answer_would_be_is_no_liar_and_asked_again() {
    // The manifest of one chunk has 32 bytes.
    let (lan, app) = (Lan::new(), app().slice(..1000));
    let folder = tempfile::tempdir().expect("a folder");
    let _starting = Node::giving(&lan, 2, &app, Manner::Starting);
    let getter = Getter::start(&lan, 3, folder.path());
    lists(&getter.membership, &[2, 3]).await;
    assert_eq!(getter.fetch(&app).await.expect("fetched"), app);
    assert_eq!(getter.fetcher.fetches().wrong, 0);
}

#[tokio::test]
async fn a_holder_that_dies_in_the_middle_is_replaced_by_another() {
    let (lan, app) = (Lan::new(), app());
    let folder = tempfile::tempdir().expect("a folder");
    let first = Node::giving(&lan, 2, &app, Manner::StopsAfter(5));
    let getter = Getter::start(&lan, 3, folder.path());
    lists(&getter.membership, &[2, 3]).await;
    let fetching = getter.fetch(&app);
    let dying = async {
        until("five chunks", || getter.have() == 5).await;
        drop(first);
        Node::giving(&lan, 4, &app, Manner::Honest)
    };
    let (fetched, second) = tokio::join!(fetching, dying);
    assert_eq!(fetched.expect("fetched"), app);
    let given = second.given.load(SeqCst);
    assert_eq!(given, CHUNKS - 5, "what was there was not fetched again");
}

#[tokio::test]
async fn a_node_that_is_restarted_in_the_middle_fetches_all_of_it_again() {
    let (lan, app) = (Lan::new(), app());
    let folder = tempfile::tempdir().expect("a folder");
    let first = Node::giving(&lan, 2, &app, Manner::StopsAfter(7));
    let getter = Getter::start(&lan, 3, folder.path());
    lists(&getter.membership, &[2, 3]).await;
    tokio::select! {
        fetched = getter.fetch(&app) => panic!("it cannot be whole: {fetched:?}"),
        () = until("seven chunks", || getter.have() == 7) => {}
    }
    drop((getter, first));
    // Requests that were given up are dropped a moment later, and hold it open.
    let store = folder.path().join("store");
    until("the store to be closed", || DataDir::open(&store).is_ok()).await;
    let second = Node::giving(&lan, 4, &app, Manner::Honest);
    let getter = Getter::start(&lan, 3, folder.path());
    lists(&getter.membership, &[3, 4]).await;
    assert_eq!(getter.fetch(&app).await.expect("fetched"), app);
    assert_eq!(second.given.load(SeqCst), CHUNKS);
}

#[tokio::test]
async fn who_gives_up_a_fetch_and_begins_it_again_goes_on_with_what_came() {
    let (lan, app) = (Lan::new(), app());
    let folder = tempfile::tempdir().expect("a folder");
    let first = Node::giving(&lan, 2, &app, Manner::StopsAfter(7));
    let getter = Getter::start(&lan, 3, folder.path());
    lists(&getter.membership, &[2, 3]).await;
    tokio::select! {
        fetched = getter.fetch(&app) => panic!("it cannot be whole: {fetched:?}"),
        () = until("seven chunks", || getter.have() == 7) => {}
    }
    drop(first);
    let second = Node::giving(&lan, 4, &app, Manner::Honest);
    lists(&getter.membership, &[3, 4]).await;
    assert_eq!(getter.fetch(&app).await.expect("fetched"), app);
    assert_eq!(second.given.load(SeqCst), CHUNKS - 7);
}

#[tokio::test]
async fn what_is_larger_than_the_node_takes_is_refused_before_anything_is_asked_for() {
    let (lan, app) = (Lan::new(), app());
    let folder = tempfile::tempdir().expect("a folder");
    let holder = Node::giving(&lan, 2, &app, Manner::Honest);
    let membership = lan.start(3, folder.path(), None, Arc::new(Refuse));
    let data = DataDir::open(&folder.path().join("store")).expect("a data folder");
    let limits = StoreLimits {
        component: app.len() as u64 - 1,
        ..StoreLimits::default()
    };
    let store = Store::open(Arc::new(data), limits).expect("a store");
    let fetcher = Fetcher::new(membership.views(), membership.client(), store);
    lists(&membership, &[2, 3]).await;
    let (what, progress) = (Component::of(&app), watch::Sender::default());
    let refused = soon("a refusal", fetcher.fetch(&what, &progress)).await;
    assert!(matches!(
        refused,
        Err(TransferError::Store(StoreError::TooLarge { .. }))
    ));
    assert_eq!(holder.given.load(SeqCst), 0);
}

/// The test runs itself once more, in a mount namespace with a disk of 2 MiB.
#[test]
fn an_app_for_which_there_is_no_room_on_the_disk_is_refused_and_nothing_is_left() {
    let name = "an_app_for_which_there_is_no_room_on_the_disk_is_refused_and_nothing_is_left";
    let Some(disk) = small_disk::inner() else {
        return small_disk::run_again(name, Small::Disk(2));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(fetch_to(&disk));
}

/// The inner run: the disk has less room than the app needs.
async fn fetch_to(disk: &Path) {
    let (lan, app) = (Lan::new(), app());
    let _holder = Node::giving(&lan, 2, &app, Manner::Honest);
    let getter = Getter::start(&lan, 3, disk);
    lists(&getter.membership, &[2, 3]).await;
    let refused = getter.fetch(&app).await;
    assert!(
        matches!(refused, Err(TransferError::Store(StoreError::Full { .. }))),
        "{refused:?}"
    );
    let partial = std::fs::read_dir(disk.join("store/components/partial")).expect("a folder");
    assert_eq!(partial.count(), 0, "half a download is left");
    assert_eq!(
        getter.fetcher.fetches().wrong,
        0,
        "the holder did nothing wrong"
    );
}
