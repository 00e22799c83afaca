//! Apps and clients that use too much: processor time, time, memory, bytes.

use std::time::{Duration, Instant};

use runtime::exchange::BodyLimits;

use crate::support::client::{BOTH, Client, Protocol, fetch, full, post, request, upload, whole};
use crate::support::components::Limits;
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::raw::Raw;

/// Gets a path under limits that it does not keep.
async fn overruns(limits: Limits, path: &str, cause: &str) {
    let log = Log::capture();
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let node = Node::with("fixture-misbehave", setup).await;
    let answer = fetch(Protocol::H1, node.address, path).await;
    assert_eq!(answer.status, 500, "{path}");
    let release = format!("release={}", node.release);
    log.tells_once(&[
        "the app failed",
        &release,
        &format!("path=\"{path}\""),
        cause,
    ]);
    assert_eq!(fetch(Protocol::H1, node.address, "/ok").await.text(), "ok");
    node.idle().await;
}

#[tokio::test]
async fn a_callback_that_loops_is_ended_by_the_cpu_deadline() {
    let began = Instant::now();
    overruns(
        Limits::Tight,
        "/spin",
        "used its 0.3 s of processor time; --cpu-limit allows more",
    )
    .await;
    assert!(
        began.elapsed() >= Duration::from_millis(290),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_callback_that_sleeps_is_ended_by_the_wall_deadline() {
    overruns(
        Limits::Hurried,
        "/sleep",
        "did not return within 0.3 s; --wall-limit allows more",
    )
    .await;
}

#[tokio::test]
async fn a_callback_that_allocates_without_end_is_ended_by_the_memory_cap() {
    overruns(
        Limits::Tight,
        "/alloc",
        "asked for more than its 16 MiB of memory; --memory-limit allows more",
    )
    .await;
}

#[tokio::test]
async fn requests_are_answered_while_a_callback_sleeps() {
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let Client::H2(sender) = &client else {
        unreachable!("it was asked for")
    };
    let mut other = Client::H2(sender.clone());
    let asleep = tokio::spawn(async move {
        other
            .send(crate::support::client::get("/sleep"))
            .await
            .map(drop)
    });
    for _ in 0..10 {
        assert_eq!(client.get("/ok").await.text(), "ok");
    }
    asleep.abort();
}

fn small_bodies() -> Setup {
    Setup {
        bodies: BodyLimits {
            whole: 1000,
            ..BodyLimits::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_whole_body_up_to_the_limit_is_taken() {
    let node = Node::with("fixture-simple", small_bodies()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let answer = client
            .ask(request("POST", "/", full(vec![b'x'; 1000])))
            .await;
        assert!(
            answer.text().contains("body: 1000 bytes\n"),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_content_length_over_the_limit_is_413_before_the_body_is_sent() {
    let node = Node::with("fixture-simple", small_bodies()).await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n")
        .await;
    let said = raw.response().await;
    assert_eq!(said.status, 413);
    assert_eq!(
        said.body,
        "the body is larger than the 1000 bytes that are taken\n"
    );
}

#[tokio::test]
async fn a_body_of_unknown_length_is_413_once_it_is_over_the_limit() {
    let node = Node::with("fixture-simple", small_bodies()).await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    raw.send(format!("3e9\r\n{}\r\n", "x".repeat(0x3e9))).await;
    assert_eq!(raw.response().await.status, 413);

    let mut client = Client::connect(Protocol::H2, node.address).await;
    let (pieces, body) = upload();
    // For ever, unless it is refused.
    let sending = tokio::spawn(async move { while pieces.data(vec![b'x'; 400]).await {} });
    assert_eq!(client.ask(request("POST", "/", body)).await.status, 413);
    sending.abort();
}

#[tokio::test]
async fn the_limit_of_whole_bodies_is_not_one_of_streams() {
    let node = Node::with("fixture-misbehave", small_bodies()).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let answer = client
        .ask(request("POST", "/upload-count", full(vec![b'x'; 100_000])))
        .await;
    assert_eq!(answer.text(), "100000");
}

fn impatient() -> Setup {
    let short = Duration::from_millis(200);
    Setup {
        bodies: BodyLimits {
            idle: short,
            least_rate: u64::MAX,
            ..BodyLimits::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn an_upload_that_pauses_too_long_is_408_and_its_exchange_ends() {
    for (fixture, path) in [
        ("fixture-misbehave", "/upload-count"),
        ("fixture-simple", "/"),
    ] {
        for protocol in BOTH {
            let node = Node::with(fixture, impatient()).await;
            let mut client = Client::connect(protocol, node.address).await;
            let (pieces, body) = upload();
            assert!(pieces.data("some").await);
            let answer = client.ask(request("POST", path, body)).await;
            assert_eq!(answer.status, 408, "{fixture} over {protocol:?}");
            node.idle().await;
        }
    }
}

#[tokio::test]
async fn an_upload_that_pauses_too_long_cuts_the_response_that_had_begun() {
    for protocol in BOTH {
        let node = Node::with("fixture-misbehave", impatient()).await;
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("some").await);
        let response = client.send(request("POST", "/early-stream", body)).await;
        whole(response.expect("a head")).await.was_cut(protocol);
        node.idle().await;
    }
}

#[tokio::test]
async fn an_upload_that_goes_on_is_never_too_late() {
    let node = Node::with("fixture-misbehave", impatient()).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let (pieces, body) = upload();
    let sending = tokio::spawn(async move {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..20 {
            pause.tick().await;
            assert!(pieces.data("x").await);
        }
    });
    let answer = client.ask(request("POST", "/upload-count", body)).await;
    assert_eq!(answer.text(), "20");
    sending.await.expect("all was taken");
}

#[tokio::test]
async fn a_whole_body_may_take_longer_than_the_longest_pause_if_it_goes_on() {
    let setup = Setup {
        bodies: BodyLimits {
            idle: Duration::from_millis(300),
            least_rate: 1,
            ..BodyLimits::default()
        },
        ..Setup::default()
    };
    let node = Node::with("fixture-simple", setup).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let (pieces, body) = upload();
    let sending = tokio::spawn(async move {
        let mut pause = tokio::time::interval(Duration::from_millis(30));
        for _ in 0..20 {
            pause.tick().await;
            assert!(pieces.data("x").await);
        }
    });
    let answer = client.ask(request("POST", "/", body)).await;
    assert!(
        answer.text().contains("body: 20 bytes\n"),
        "{}",
        answer.text()
    );
    sending.await.expect("all was taken");
}

#[tokio::test]
async fn a_whole_body_that_drips_is_408() {
    let node = Node::with("fixture-simple", impatient()).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let (pieces, body) = upload();
    let sending = tokio::spawn(async move { while pieces.data("x").await {} });
    assert_eq!(client.ask(request("POST", "/", body)).await.status, 408);
    sending.abort();
}

/// A client that reads nothing before all of its body was sent, as most are.
fn send_all_then_read(to: std::net::SocketAddr, length: usize) -> std::io::Result<Vec<u8>> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(to)?;
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&vec![b'x'; length])?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_body_that_is_too_large_reads_its_413() {
    let node = Node::with("fixture-simple", small_bodies()).await;
    let address = node.address;
    let sent = tokio::task::spawn_blocking(move || send_all_then_read(address, 20_000_000));
    let answer = sent.await.expect("it ends").expect("it is not cut off");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.ends_with("that are taken\n"), "{answer}");
}

#[tokio::test]
async fn the_config_of_the_app_is_the_first_state() {
    let setup = || Setup {
        config: "colour=blue",
        ..Setup::default()
    };
    let node = Node::with("fixture-misbehave", setup()).await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/config").await.text(),
        "colour=blue"
    );
    let node = Node::with("fixture-simple", setup()).await;
    let said = post(Protocol::H1, node.address, "/", "").await;
    assert!(
        said.text().contains("config: \"colour=blue\"\n"),
        "{}",
        said.text()
    );
}
