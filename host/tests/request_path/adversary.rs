//! Clients that are slow, rude or clever, against a release that bakes and is well: it is
//! not voted down, whatever they do. They come from this machine, so it counts in full.

use std::sync::Arc;
use std::time::Duration;

use host::app::bake::{BakeTask, Past, Rule};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use runtime::exchange::BodyLimits;
use tokio::net::TcpStream;

use crate::support::client::{Client, Protocol, empty, get, request, upload};
use crate::support::components::{Limits, fresh};
use crate::support::node::{Node, Setup};
use crate::support::raw::Raw;
use crate::support::soon;

/// More than decide.
const MANY: usize = 30;
/// Longer than any test.
const BAKE: Option<Duration> = Some(Duration::from_secs(3600));
/// After so long a release that fails is found.
const LOOKED: Duration = Duration::from_millis(600);
/// What both apps do well: their paths that read a body, and that stream one.
const APPS: [(&str, &str, &str); 2] = [
    ("fixture-plain", "/count", "/large"),
    ("fixture-misbehave", "/upload-count", "/download/64"),
];

/// A node whose release bakes.
struct Baking {
    node: Node,
    task: BakeTask,
}

impl Baking {
    /// The same code has answered requests to this path quickly before.
    async fn begin(package: &str, reads: &str) -> Baking {
        let setup = Setup {
            bodies: BodyLimits {
                idle: Duration::from_secs(1),
                ..BodyLimits::default()
            },
            ..Setup::default()
        };
        let node = Node::with_generation(fresh(Limits::Usual, package).await, setup).await;
        let task = Self::task(&node, Past::default());
        let mut client = Client::connect(Protocol::H1, node.address).await;
        for _ in 0..100 {
            let (pieces, body) = upload();
            assert!(pieces.data("some").await);
            drop(pieces);
            let answer = client.ask(request("POST", reads, body)).await;
            assert_eq!(answer.text(), "4");
        }
        tokio::time::sleep(LOOKED).await;
        let past = task.past();
        node.swap(fresh(Limits::Usual, package).await).await;
        let task = Self::task(&node, past);
        Baking { node, task }
    }

    fn task(node: &Node, past: Past) -> BakeTask {
        let stats = node.slot.current().expect("it serves").stats.clone();
        BakeTask::begin(stats, past, Some(Rule::default()), BAKE)
    }

    /// Nothing is held against the release, also once all clients have gone.
    async fn is_unharmed(&self, what: &str) {
        self.node.idle().await;
        let outcome = tokio::time::timeout(LOOKED, self.task.outcome()).await;
        assert!(outcome.is_err(), "{what}: {outcome:?}");
        let tally = self
            .node
            .slot
            .current()
            .expect("it serves")
            .stats
            .requests();
        assert_eq!(tally.failed(), 0, "{what}: {tally:?}");
    }
}

/// Lets so many clients do this at the same time.
async fn all<F: Future<Output = ()> + Send + 'static>(client: impl Fn() -> F) {
    let clients: Vec<_> = (0..MANY).map(|_| tokio::spawn(client())).collect();
    for client in clients {
        soon("a client to end", client)
            .await
            .expect("it does not panic");
    }
}

#[tokio::test]
async fn who_sends_slowly_or_nothing_more_does_not_make_an_app_slow_or_bad() {
    for (package, reads, _) in APPS {
        let baking = Baking::begin(package, reads).await;
        let to = baking.node.address;
        for protocol in [Protocol::H1, Protocol::H2] {
            all(|| async move {
                let mut client = Client::connect(protocol, to).await;
                let (pieces, body) = upload();
                let sending = tokio::spawn(async move {
                    for _ in 0..6 {
                        tokio::time::sleep(Duration::from_millis(150)).await;
                        assert!(pieces.data("a").await);
                    }
                });
                let answer = client.ask(request("POST", reads, body)).await;
                assert_eq!(answer.text(), "6");
                sending.await.expect("all was taken");
            })
            .await;
            baking.is_unharmed("slow uploads").await;
            all(|| async move {
                let mut client = Client::connect(protocol, to).await;
                let (pieces, body) = upload();
                assert!(pieces.data("a").await);
                let answer = client.ask(request("POST", reads, body)).await;
                assert_eq!(answer.status, 408);
            })
            .await;
            baking.is_unharmed("stalled uploads").await;
        }
    }
}

#[tokio::test]
async fn who_closes_a_half_or_all_of_a_connection_at_any_moment_harms_nobody() {
    for (package, reads, streams) in APPS {
        let baking = Baking::begin(package, reads).await;
        let to = baking.node.address;
        let get = Arc::new(format!("GET {streams} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc";
        let post = Arc::new(post.replace(" / ", &format!(" {reads} ")));
        for (text, what) in [(get, "downloads"), (post, "uploads")] {
            for (reads_head, closes) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let (text, is_upload) = (text.clone(), what == "uploads");
                all(|| {
                    let text = text.clone();
                    async move {
                        let mut raw = Raw::connect(to).await;
                        raw.send(text.as_bytes()).await;
                        if closes {
                            raw.close_sending().await;
                        }
                        if reads_head && !is_upload {
                            raw.head().await;
                        }
                    }
                })
                .await;
                baking.is_unharmed(what).await;
            }
        }
    }
}

#[tokio::test]
async fn who_has_a_window_of_one_byte_or_cancels_a_stream_harms_nobody() {
    for (package, reads, streams) in APPS {
        let baking = Baking::begin(package, reads).await;
        let to = baking.node.address;
        all(|| async move {
            let io = TokioIo::new(TcpStream::connect(to).await.expect("a connection"));
            let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            client.initial_stream_window_size(1);
            let (mut sender, connection) = client.handshake(io).await.expect("HTTP/2");
            tokio::spawn(connection);
            for method in ["GET", "HEAD"] {
                let mut asked = request(method, streams, empty());
                asked.headers_mut().remove("host");
                let response = sender.send_request(asked).await.expect("a head");
                assert_eq!(response.status(), 200);
                let mut body = response.into_body();
                for _ in 0..20 {
                    match body.frame().await {
                        Some(piece) => drop(piece.expect("it is whole")),
                        None => break,
                    }
                }
                // What is left of it is reset.
            }
        })
        .await;
        baking.is_unharmed("windows of a byte").await;
        all(|| async move {
            let mut client = Client::connect(Protocol::H2, to).await;
            for _ in 0..3 {
                let response = client.send(get(streams)).await.expect("a head");
                drop(response);
            }
        })
        .await;
        baking.is_unharmed("cancelled streams").await;
    }
}
