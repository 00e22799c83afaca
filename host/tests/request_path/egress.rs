//! Requests and connections of apps to other servers: by `wasi:http` in both versions, by the
//! effect `fetch`, and over TCP of their own.

use std::process::{Child, Command, Stdio};

use crate::support::client::{BOTH, Client, Protocol, fetch, get};
use crate::support::components::{Limits, fresh};
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::outside::{Outside, allow};
use crate::support::{soon, until};

/// What the app says when it is asked for this with this field.
async fn ask(node: &Node, path: &str, field: &'static str, value: &str) -> String {
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut request = get(path);
    let value = value.parse().expect("a value");
    request.headers_mut().insert(field, value);
    let answer = client.ask(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

#[tokio::test]
async fn an_app_of_wasi_http_reaches_what_is_allowed_and_hears_in_its_terms_what_is_not() {
    let log = Log::capture();
    let outside = Outside::start().await;
    let port = outside.port;
    let _allowed = outside.allow();
    let _more = allow(&[
        format!("http://loopback.test:{port}"),
        format!("http://unknown.test:{port}"),
    ]);
    let node = Node::start("fixture-proxy").await;
    for (url, came) in [
        (format!("http://localhost:{port}/x"), "200"),
        (
            format!("http://127.0.0.1:{port}/"),
            "ErrorCode::HttpRequestDenied",
        ),
        (
            format!("https://localhost:{port}/"),
            "ErrorCode::HttpRequestDenied",
        ),
        (
            format!("http://loopback.test:{port}/"),
            "ErrorCode::DestinationIpProhibited",
        ),
        (
            format!("http://unknown.test:{port}/"),
            "ErrorCode::DnsError",
        ),
    ] {
        let said = ask(&node, "/fetch", "url", &url).await;
        assert!(said.starts_with(&format!("{url}: {came}")), "{said}");
    }
    let command = format!("`host egress add http://127.0.0.1:{port}` allows it");
    assert!(
        !log.lines(&["denied an outgoing request", &command])
            .is_empty()
    );
    assert_eq!(outside.connections.borrow().0, 1);
}

#[tokio::test]
async fn once_a_rule_is_gone_no_request_goes_out_over_the_connection_that_it_left() {
    let outside = Outside::start().await;
    let url = format!("http://localhost:{}/", outside.port);
    let allowed = outside.allow();
    let node = Node::start("fixture-proxy").await;
    assert_eq!(
        ask(&node, "/fetch", "url", &url).await,
        format!("{url}: 200\n")
    );
    drop(allowed);
    let said = ask(&node, "/fetch", "url", &url).await;
    assert!(said.contains("HttpRequestDenied"), "{said}");
    assert_eq!(outside.connections.borrow().0, 1);
}

#[tokio::test]
async fn an_app_of_wasi_0_3_reaches_what_is_allowed_too() {
    let outside = Outside::start().await;
    let _allowed = outside.allow();
    let node = Node::start("fixture-handler").await;
    let path = format!("/fetch/localhost:{}", outside.port);
    let answer = fetch(Protocol::H1, node.address, &path).await;
    assert_eq!(answer.text(), "answered 200\n");
    let path = format!("/fetch/127.0.0.1:{}", outside.port);
    let answer = fetch(Protocol::H1, node.address, &path).await;
    assert!(
        answer.text().contains("HttpRequestDenied"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_fetch_is_answered_whatever_becomes_of_it() {
    let outside = Outside::start().await;
    let port = outside.port;
    let _allowed = outside.allow();
    let node = Node::start("fixture-misbehave").await;
    for protocol in BOTH {
        for (path, told) in [
            ("items", "answered 200 /items by an app"),
            ("late", "FetchError::TimedOut"),
            ("large", "FetchError::TooLarge"),
        ] {
            let mut client = Client::connect(protocol, node.address).await;
            let mut reader = client.open(&format!("/fetch-from/{port}/{path}")).await;
            let told = format!("fetched 7 {told}\n");
            assert_eq!(reader.to(&told).await, format!("asked\n{told}"));
        }
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/fetch-from/1/items").await;
        reader.to("fetched 7 FetchError::Denied\n").await;
    }
}

#[tokio::test]
async fn a_fetch_outlives_a_change_of_code_and_waits_without_an_instance() {
    let outside = Outside::start().await;
    let _allowed = outside.allow();
    let old = fresh(Limits::Usual, "fixture-misbehave").await;
    let weak = std::sync::Arc::downgrade(&old);
    let node = Node::with_generation(old, Setup::default()).await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let path = format!("/fetch-from/{}/held", outside.port);
    let mut reader = client.open(&path).await;
    reader.to("asked\n").await;
    let mut connections = outside.connections.clone();
    let came = connections.wait_for(|(come, _)| *come == 1);
    soon("the request to go out", came).await.expect("it runs");
    let new = fresh(Limits::Usual, "fixture-misbehave").await;
    let draining = node.swap(new).await;
    soon("the old code to be freed", draining.signals.freed()).await;
    until("the old code to be dropped", || weak.strong_count() == 0).await;
    assert_eq!(outside.connections.borrow().1, 0, "it goes on");
    outside.go.send_replace(true);
    reader.to("fetched 7 answered 200 /held by an app\n").await;
    assert_eq!(outside.connections.borrow().0, 1);
}

#[tokio::test]
async fn a_fetch_ends_with_its_exchange() {
    let outside = Outside::start().await;
    let _allowed = outside.allow();
    let node = Node::start("fixture-misbehave").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let path = format!("/fetch-from/{}/held", outside.port);
    let mut reader = client.open(&path).await;
    reader.to("asked\n").await;
    let mut connections = outside.connections.clone();
    let came = connections.wait_for(|(come, _)| *come == 1);
    soon("the request to go out", came).await.expect("it runs");
    drop((client, reader));
    let ended = connections.wait_for(|(_, ended)| *ended == 1);
    soon("the request to end", ended).await.expect("it runs");
    node.idle().await;
}

/// Debian's Redis, on a port of its own. It ends when it is dropped.
struct Redis {
    port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Redis {
    async fn start() -> Redis {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string(), "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        until("Redis to listen", listens).await;
        Redis {
            port,
            process,
            _folder: folder,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn an_app_speaks_to_redis_by_name_and_by_address_as_far_as_the_rules_allow() {
    if let Some(why) = lab::skip::redis_obstacle() {
        return lab::skip::skip(&why);
    }
    let log = Log::capture();
    let redis = Redis::start().await;
    let port = redis.port;
    let node = Node::start("fixture-proxy").await;
    let by_address = format!("127.0.0.1:{port}");
    let by_name = format!("localhost:{port}");
    for server in [&by_address, &by_name] {
        let said = ask(&node, "/redis", "server", server).await;
        assert!(said.starts_with("PermissionDenied"), "{server}: {said}");
    }
    let address = allow(&[format!("tcp://{by_address}")]);
    assert_eq!(
        ask(&node, "/redis", "server", &by_address).await,
        "+OK hello"
    );
    // The name leads there, but no rule names it.
    let said = ask(&node, "/redis", "server", &by_name).await;
    assert!(said.starts_with("PermissionDenied"), "{said}");
    drop(address);
    let name = allow(&[format!("tcp://{by_name}")]);
    assert_eq!(ask(&node, "/redis", "server", &by_name).await, "+OK hello");
    // An instance that has not looked the name up may not go there.
    let said = ask(&node, "/redis", "server", &by_address).await;
    assert!(said.starts_with("PermissionDenied"), "{said}");
    drop(name);
    let said = ask(&node, "/redis", "server", &by_name).await;
    assert!(said.starts_with("PermissionDenied"), "{said}");
    assert!(
        !log.lines(&["denied an outgoing request", "`host egress add tcp://"])
            .is_empty()
    );
}

#[tokio::test]
async fn a_name_that_is_allowed_and_leads_to_a_private_address_is_not_told_to_an_app() {
    let _allowed = allow(&["tcp://loopback.test:9".to_owned()]);
    let node = Node::start("fixture-proxy").await;
    let said = ask(&node, "/redis", "server", "loopback.test:9").await;
    assert!(said.starts_with("PermissionDenied"), "{said}");
    let said = ask(&node, "/redis", "server", "unknown.test:9").await;
    assert!(said.starts_with("PermissionDenied"), "{said}");
}

#[tokio::test]
async fn an_app_can_neither_listen_nor_send_datagrams_whatever_is_allowed() {
    let _allowed = allow(&["tcp://127.0.0.0/8:9".to_owned()]);
    let node = Node::start("fixture-proxy").await;
    let answer = fetch(Protocol::H1, node.address, "/listen").await;
    assert_eq!(answer.text(), "PermissionDenied PermissionDenied");
}
