//! Key-value data between nodes, over real control channels on the loopback interface, and on their
//! disks.

mod support;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::data::{DataKey, DataStore, DataWrite};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use mesh::control::routes::DATA;
use mesh::control::{FutureAnswer, Peer, Service, refusal};
use mesh::data::{DataFile, DataInbox, tell, wall_ms};
use mesh::membership::{Membership, MembershipConfig};
use support::lan::{Lan, lists};
use support::until;
use tokio::task::JoinHandle;

/// Takes what members tell, once it is there.
#[derive(Clone, Default)]
struct Inbox(Arc<OnceLock<DataInbox>>);

impl Service for Inbox {
    fn call(&self, from: Peer, request: Request<Incoming>) -> FutureAnswer {
        let inbox = self.0.clone();
        Box::pin(async move {
            let (Peer::Member(member), Some(inbox)) = (from, inbox.get()) else {
                return refusal(StatusCode::SERVICE_UNAVAILABLE, "not yet");
            };
            assert_eq!(request.uri().path(), DATA.path);
            inbox.answer(&member, request.into_body()).await
        })
    }
}

/// A node with its data.
struct DataNode {
    membership: Membership,
    store: DataStore,
    file: DataFile,
    telling: JoinHandle<()>,
}

impl DataNode {
    fn start(lan: &Lan, last: u8, folder: &Path) -> DataNode {
        let inbox = Inbox::default();
        let settings = lan.settings(last, 1, folder);
        let (store, file) = DataFile::open(&settings.data_dir).expect("usable");
        let membership = Membership::start(MembershipConfig {
            service: Arc::new(inbox.clone()),
            data: store.clone(),
            ..settings
        });
        let membership = membership.expect("started");
        let taking = DataInbox::new(store.clone(), membership.views());
        assert!(inbox.0.set(taking).is_ok());
        let views = membership.views();
        let telling = tokio::spawn(tell(store.clone(), views, membership.client()));
        DataNode {
            membership,
            store,
            file,
            telling,
        }
    }

    fn write(&self, write: DataWrite) {
        self.store.write(wall_ms(), &[write]).expect("room");
    }

    fn get(&self, name: &str) -> Option<Bytes> {
        self.store.get(&key(name))
    }
}

impl Drop for DataNode {
    fn drop(&mut self) {
        self.telling.abort();
    }
}

fn key(name: &str) -> DataKey {
    DataKey::new("default", name).expect("a key")
}

fn put(name: &str, value: impl Into<Bytes>) -> DataWrite {
    DataWrite::Put(key(name), value.into())
}

fn folders<const N: usize>() -> [tempfile::TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().expect("a folder"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_writes_is_readable_on_all_within_milliseconds() {
    let lan = Lan::new();
    let folders = folders::<3>();
    let nodes: Vec<DataNode> = (2..)
        .zip(&folders)
        .map(|(last, it)| DataNode::start(&lan, last, it.path()))
        .collect();
    for node in &nodes {
        lists(&node.membership, &[2, 3, 4]).await;
    }
    let mut times = Vec::new();
    for round in 0..200 {
        let name = round.to_string();
        let writer = &nodes[round % 3];
        let began = Instant::now();
        writer.write(put(&name, vec![7; 1024]));
        until("the write on all nodes", || {
            nodes.iter().all(|it| it.get(&name).is_some())
        })
        .await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("median {:?}, p99 {:?}", times[100], times[197]);
    assert!(times[197] < Duration::from_millis(100), "{:?}", times[197]);
    for _ in 0..30 {
        nodes
            .iter()
            .for_each(|it| it.write(DataWrite::Increment(key("n"), 1)));
    }
    until("the sum", || {
        nodes.iter().all(|it| it.get("n").as_deref() == Some(b"90"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_gets_what_it_missed_and_has_what_it_knew() {
    let lan = Lan::new();
    let folders = folders::<2>();
    let start = |last: u8| DataNode::start(&lan, last, folders[usize::from(last) - 2].path());
    let (one, other) = (start(2), start(3));
    lists(&one.membership, &[2, 3]).await;
    one.write(put("before", "x"));
    until("the first", || other.get("before").is_some()).await;
    drop(other);
    lists(&one.membership, &[2]).await;
    one.write(put("meanwhile", "y"));
    one.write(DataWrite::Delete(key("before")));
    let other = start(3);
    assert_eq!(
        other.get("before").as_deref(),
        Some(&b"x"[..]),
        "from its disk"
    );
    until("what it missed", || {
        other.get("meanwhile").is_some() && other.get("before").is_none()
    })
    .await;
    assert_eq!(other.file.failed(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_many_in_a_second_and_all_arrive() {
    let lan = Lan::new();
    let folders = folders::<2>();
    let (one, other) = (
        DataNode::start(&lan, 2, folders[0].path()),
        DataNode::start(&lan, 3, folders[1].path()),
    );
    lists(&one.membership, &[2, 3]).await;
    lists(&other.membership, &[2, 3]).await;
    let began = Instant::now();
    let value = Bytes::from(vec![7; 1024]);
    // 10,000 writes in a second.
    let mut turns = tokio::time::interval(Duration::from_millis(10));
    for turn in 0..200 {
        turns.tick().await;
        for number in 0..100 {
            one.write(put(&(100 * turn + number).to_string(), value.clone()));
        }
    }
    let written = began.elapsed();
    until("all of them", || other.store.size().0 == 20_000).await;
    println!(
        "20,000 writes in {written:?}, followed after {:?}",
        began.elapsed()
    );
    let began = Instant::now();
    for number in 0..20_000 {
        assert!(one.get(&number.to_string()).is_some());
    }
    println!("a read takes {:?}", began.elapsed() / 20_000);
}
