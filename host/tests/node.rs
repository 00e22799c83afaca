//! A whole node in this process, started and stopped as the program does it.

mod support;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use host::cli::Command;
use host::node::StartedNode;
use host::node::config::{Environment, NodeConfig};
use http::StatusCode;
use support::client::{Client, Protocol, fetch};
use support::lan::Lan;
use support::{components, soon};

/// A node starts processes. Between fork and exec such a process holds what this one has open,
/// and that is the lock of each folder, also of another test. So there is one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What a node on this machine's loopback is built from. It serves the example.
fn config(folder: &Path) -> NodeConfig {
    config_with(folder, "guest", 1, 0, &[])
}

/// Node 127.0.0.`last` with this app and cluster port.
fn config_with(folder: &Path, app: &str, last: u8, port: u16, more: &[&str]) -> NodeConfig {
    let app = components::built(app);
    let mut words = vec![
        "host".to_owned(),
        format!("--name=example@127.0.0.{last}"),
        "--cookie=a cookie of the tests".to_owned(),
        format!("--http=127.0.0.{last}:0"),
        format!("--cluster-port={port}"),
        format!("--app={}", app.display()),
        format!("--data-dir={}", folder.display()),
    ];
    words.extend(more.iter().map(|word| (*word).to_owned()));
    let words = words.into_iter().map(Into::into);
    let typed = host::cli::parse(words).expect("a command line");
    let Command::Run(run) = typed.command else {
        panic!("{:?} runs no node", typed.command);
    };
    let mut config = NodeConfig::check(*run, Environment::default()).expect("a node that can be");
    // This process is the test, and no `host`.
    config.compiler.program = Some(env!("CARGO_BIN_EXE_host").into());
    config
}

fn address(node: &StartedNode) -> SocketAddr {
    let url = node.url();
    let address = url.strip_prefix("http://").expect("a plain URL");
    address.parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_serves_once_it_is_started_and_is_gone_once_it_is_stopped() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let node = soon("the node", StartedNode::start(config(folder.path()), 2)).await;
    let node = node.expect("it starts");
    assert_eq!(node.name().to_string(), "example@127.0.0.1");
    let address = address(&node);
    let answer = fetch(Protocol::H1, address, "/").await;
    assert_eq!(answer.status, StatusCode::OK);
    soon("the end", node.stop(std::future::pending())).await;
    assert!(TcpStream::connect(address).is_err(), "it listens still");
    // All of it is gone: another one has its folder, and the same history.
    let again = soon(
        "the node again",
        StartedNode::start(config(folder.path()), 2),
    )
    .await;
    soon("its end", again.expect("it starts again").stop(async {})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_given_up_leaves_nothing_behind() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..3 {
        let mut start = std::pin::pin!(StartedNode::start(config(folder.path()), 2));
        tokio::select! {
            biased;
            started = &mut start => panic!("it was to be given up: {}", started.is_ok()),
            () = tokio::task::yield_now() => {}
        }
    }
    let node = soon("the node", StartedNode::start(config(folder.path()), 2)).await;
    soon("its end", node.expect("it starts").stop(async {})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_writes_on_one_node_its_watchers_on_another_hear_and_a_restart_keeps() {
    let _alone = ALONE.lock().await;
    let lan = Lan::new();
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let join = format!("--join=127.0.0.2:{}", lan.port);
    let start = async |at: usize| {
        let (folder, last) = (folders[at].path(), at as u8 + 2);
        let config = config_with(folder, "fixture-misbehave", last, lan.port, &[&join]);
        soon("a node", StartedNode::start(config, 2))
            .await
            .expect("it starts")
    };
    let (one, other) = (start(0).await, start(1).await);
    let mut watching = Client::connect(Protocol::H1, address(&other)).await;
    let mut changes = watching.open("/keys").await;
    changes.to(": subscribed\n\n").await;
    for (ask, change) in [
        ("/ask/put", "key: value\n\n"),
        ("/ask/delete", "key: deleted\n\n"),
        ("/ask/increment/5", "key: 5\n\n"),
    ] {
        let asked = fetch(Protocol::H1, address(&one), ask).await;
        assert_eq!(asked.status, StatusCode::OK, "{ask}");
        assert_eq!(changes.to("\n\n").await, change, "{ask}");
    }
    drop(watching);
    soon("the end", other.stop(async {})).await;
    soon("the end", one.stop(async {})).await;
    let one = start(0).await;
    let mut watching = Client::connect(Protocol::H1, address(&one)).await;
    let mut changes = watching.open("/keys").await;
    changes.to(": subscribed\n\n").await;
    fetch(Protocol::H1, address(&one), "/ask/increment").await;
    assert_eq!(changes.to("\n\n").await, "key: 6\n\n");
    drop(watching);
    soon("the end", one.stop(async {})).await;
}
