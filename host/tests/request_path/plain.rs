//! `wasi:http` components: same listener, same limits.

use crate::support::client::{
    BOTH, Client, Protocol, Reader, empty, fetch, full, get, request, upload,
};
use crate::support::components::Limits;
use crate::support::log::Log;
use crate::support::node::{NAMES, Node, Setup};

async fn tight() -> Node {
    let setup = Setup {
        limits: Limits::Tight,
        ..Setup::default()
    };
    Node::with("fixture-plain", setup).await
}

#[tokio::test]
async fn it_knows_the_node_and_the_cluster() {
    let node = Node::start("fixture-plain").await;
    for protocol in BOTH {
        let hello = fetch(protocol, node.address, "/").await;
        assert_eq!(hello.text(), format!("hello from {}\n", NAMES[0]));
        let nodes = fetch(protocol, node.address, "/nodes").await;
        assert_eq!(nodes.text(), format!("{}\n{}\n", NAMES[0], NAMES[1]));
    }
    node.idle().await;
}

#[tokio::test]
async fn head_is_a_head_alone() {
    let node = Node::start("fixture-plain").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for path in ["/", "/stream", "/none"] {
            let head = client.ask(request("HEAD", path, empty())).await;
            assert_eq!(head.status, if path == "/none" { 404 } else { 200 });
            assert_eq!(head.text(), "");
            assert_eq!(head.field("content-type"), "text/plain; charset=utf-8");
        }
        assert_eq!(client.get("/none").await.text(), "not found");
    }
    node.idle().await;
}

#[tokio::test]
async fn an_upload_streams_through_it() {
    let node = Node::start("fixture-plain").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        let response = client.send(request("POST", "/echo", body)).await;
        let mut reader = Reader::new(response.expect("a head"));
        for line in ["one\n", "two\n", "three\n"] {
            assert!(pieces.data(line).await);
            assert_eq!(reader.to(line).await, line);
        }
        drop(pieces);
        reader.rest().await.1.expect("it ends as it should");
        let large = vec![b'x'; 4 << 20];
        let answer = client
            .ask(request("POST", "/echo", full(large.clone())))
            .await;
        assert!(
            answer.body.expect("it ends as it should") == large,
            "{protocol:?}"
        );
    }
    node.idle().await;
}

#[tokio::test]
async fn a_slow_stream_goes_out_piece_by_piece() {
    let node = Node::start("fixture-plain").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/stream").await;
        for number in 0..5 {
            // A piece comes alone, while the component sleeps before the next.
            let piece = reader
                .piece()
                .await
                .expect("it goes on")
                .expect("it is whole");
            assert_eq!(piece, format!("chunk {number}\n"));
        }
        let (rest, ended) = reader.rest().await;
        ended.expect("it ends as it should");
        assert_eq!(rest, "");
    }
}

#[tokio::test]
async fn a_panic_is_500_and_the_log_says_where() {
    let log = Log::capture();
    let node = Node::start("fixture-plain").await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/panic").await.status,
        500
    );
    let release = format!("release={}", node.release);
    log.tells_once(&[
        "the app failed",
        &release,
        "path=\"/panic\"",
        "asked to panic",
    ]);
    assert_eq!(fetch(Protocol::H1, node.address, "/").await.status, 200);
    node.idle().await;
}

#[tokio::test]
async fn a_panic_in_a_stream_cuts_it() {
    for protocol in BOTH {
        let log = Log::capture();
        let node = Node::start("fixture-plain").await;
        let mut client = Client::connect(protocol, node.address).await;
        match client.send(get("/stream-then-panic")).await {
            Ok(response) => whole(response).await.was_cut(protocol),
            // The head and the cut came at once.
            Err(error) => is_cut(&error, protocol),
        }
        node.idle().await;
        log.tells_once(&[
            "the app failed",
            "path=\"/stream-then-panic\"",
            "asked to panic after a chunk",
        ]);
    }
}

#[tokio::test]
async fn it_is_ended_by_the_cpu_deadline_and_others_are_answered_meanwhile() {
    let log = Log::capture();
    let node = tight().await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let spinning = tokio::spawn(async move { client.get("/spin").await.status });
    crate::support::until("it to run", || node.exchanges.live() == 1).await;
    assert_eq!(fetch(Protocol::H1, node.address, "/").await.status, 200);
    assert!(!spinning.is_finished());
    assert_eq!(spinning.await.expect("an answer"), 500);
    log.tells_once(&[
        "the app failed",
        "path=\"/spin\"",
        "used its 0.3 s of processor time",
    ]);
    node.idle().await;
}

#[tokio::test]
async fn it_is_ended_by_the_memory_cap() {
    let log = Log::capture();
    let node = tight().await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/alloc").await.status,
        500
    );
    log.tells_once(&[
        "the app failed",
        "path=\"/alloc\"",
        "asked for more than its 16 MiB of memory",
    ]);
    node.idle().await;
}

#[tokio::test]
async fn one_that_returns_without_an_answer_is_500() {
    let log = Log::capture();
    let node = Node::start("fixture-plain").await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/silent").await.status,
        500
    );
    log.tells_once(&[
        "the app failed",
        "path=\"/silent\"",
        "returned without setting a response",
    ]);
    node.idle().await;
}

#[tokio::test]
async fn a_client_that_goes_ends_the_instance() {
    let node = Node::start("fixture-plain").await;
    for protocol in BOTH {
        for path in ["/stream", "/spin"] {
            let mut client = Client::connect(protocol, node.address).await;
            let asking = tokio::spawn(async move {
                let response = client.send(get(path)).await.expect("a head");
                // Held, and not read.
                std::future::pending::<()>().await;
                drop((response, client));
            });
            crate::support::until("it to run", || node.exchanges.live() == 1).await;
            asking.abort();
            node.idle().await;
        }
    }
}

#[tokio::test]
async fn the_wall_deadline_is_one_for_the_head_and_not_for_the_stream() {
    let setup = Setup {
        limits: Limits::Hurried,
        ..Setup::default()
    };
    let node = Node::with("fixture-plain", setup).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    // An upload that lasts longer than the deadline, echoed.
    let (pieces, body) = upload();
    let response = client.send(request("POST", "/echo", body)).await;
    let mut reader = Reader::new(response.expect("a head"));
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
    for _ in 0..6 {
        pause.tick().await;
        assert!(pieces.data("x\n").await);
        reader.to("x\n").await;
    }
    drop(pieces);
    reader.rest().await.1.expect("it ends as it should");
}
