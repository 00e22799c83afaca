//! What wasmtime's tests of its own server, and the guests that they use, ask of a
//! host of `wasi:http`, asked of this one.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;

use crate::support::client::{BOTH, Client, Protocol, fetch, full, get, request};
use crate::support::components::Limits;
use crate::support::log::Log;
use crate::support::node::{Node, Setup};

/// Clients that ask at once, and what each of them asks over its connection.
const CLIENTS: usize = 20;
const REQUESTS: usize = 5;

async fn start() -> Node {
    Node::start("fixture-proxy").await
}

/// What an app says that finds everything as it has to be.
async fn finds_nothing_wrong(path: &str) -> String {
    let node = start().await;
    let answer = fetch(Protocol::H1, node.address, path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

#[tokio::test]
async fn a_request_has_scheme_authority_and_path_and_cannot_be_changed() {
    let node = start().await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut asked = get("/request");
        asked
            .headers_mut()
            .insert("x-own", "yes".parse().expect("a value"));
        let answer = client.ask(asked).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.text(), "GET http://127.0.0.1/request");
    }
}

#[tokio::test]
async fn fields_of_the_connection_are_no_affair_of_an_app() {
    finds_nothing_wrong("/own-fields").await;
}

#[tokio::test]
async fn an_app_has_no_files() {
    assert_eq!(finds_nothing_wrong("/files").await, "none");
}

#[tokio::test]
async fn an_app_sees_nothing_of_the_environment_of_its_host() {
    let seen = finds_nothing_wrong("/surroundings").await;
    for (name, _) in std::env::vars() {
        assert!(!seen.contains(&format!("{name}=")), "{seen}");
    }
}

#[tokio::test]
async fn a_megabyte_comes_back_as_it_was_with_its_type() {
    let node = start().await;
    let mut byte = 0_u8;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        byte = byte.wrapping_add(251);
        byte
    })
    .take(1 << 20)
    .collect();
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut post = request("POST", "/echo", full(body.clone()));
        let kind = "application/octet-stream".parse().expect("a type");
        post.headers_mut().insert(CONTENT_TYPE, kind);
        let answer = client.ask(post).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("content-type"), "application/octet-stream");
        assert!(answer.body.expect("it is whole") == body, "{protocol:?}");
        // With another method, it is no echo.
        assert_eq!(client.get("/echo").await.status, 405);
    }
}

#[tokio::test]
async fn a_request_to_another_server_that_is_denied_is_an_error_and_no_trap() {
    let log = Log::capture();
    let node = start().await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut asked = get("/fetch");
    // With a port and without one.
    let urls = ["http://forbidden.example:8080/a", "https://example.org/get"];
    for url in urls {
        asked
            .headers_mut()
            .append("url", url.parse().expect("a value"));
    }
    let answer = client.ask(asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (line, url) in answer.text().lines().zip(urls) {
        assert!(line.starts_with(url), "{line}");
        assert!(line.ends_with("HttpRequestDenied"), "{line}");
    }
    assert_eq!(answer.text().lines().count(), urls.len());
    node.idle().await;
    log.tells_no_failure();
}

#[tokio::test]
async fn what_an_app_prints_in_pieces_is_logged_in_lines_for_each_request() {
    let log = Log::capture();
    let node = start().await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    for asked in 1..=2 {
        assert_eq!(client.get("/print").await.status, 200);
        node.idle().await;
        for line in [
            "half a line on stdout",
            "after an empty line on stdout",
            "half a line on stderr",
            "after an empty line on stderr",
            "a line is begun 1234",
        ] {
            let found = log.lines(&[line]).len();
            assert_eq!(found, asked, "{line:?} in {:#?}", log.lines(&[]));
        }
    }
}

#[tokio::test]
async fn an_app_that_ends_without_an_answer_is_500_each_time_and_the_log_says_why() {
    for (path, why) in [
        ("/return", "returned without setting a response"),
        ("/trap", "unreachable"),
    ] {
        let log = Log::capture();
        let node = start().await;
        for asked in 1..=2 {
            let answer = fetch(Protocol::H1, node.address, path).await;
            assert_eq!(answer.status, 500);
            let path = format!("path=\"{path}\"");
            let told = log.lines(&["the app failed", &path, why]).len();
            assert_eq!(told, asked, "{:#?}", log.lines(&[]));
        }
        assert_eq!(log.lines(&["panicked"]), [""; 0]);
    }
}

/// Many clients at once, each with several requests over one connection.
async fn many(node: &Node, path: &'static str, expected: (u16, &'static str)) {
    let clients = (0..CLIENTS).map(|number| {
        let protocol = BOTH[number % BOTH.len()];
        let address = node.address;
        tokio::spawn(async move {
            let mut client = Client::connect(protocol, address).await;
            for _ in 0..REQUESTS {
                let answer = client.get(path).await;
                assert_eq!(answer.status, expected.0, "{protocol:?}");
                assert!(answer.text().contains(expected.1), "{}", answer.text());
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("every answer is as it has to be");
    }
    node.idle().await;
}

#[tokio::test]
async fn many_clients_are_greeted_over_many_connections() {
    let log = Log::capture();
    let node = start().await;
    many(&node, "/hello", (200, "Hello, WASI!")).await;
    log.tells_no_failure();
}

#[tokio::test]
async fn an_app_that_sleeps_past_its_time_is_500_for_each_of_many_clients() {
    let setup = Setup {
        limits: Limits::Hurried,
        ..Setup::default()
    };
    let log = Log::capture();
    let node = Node::with("fixture-proxy", setup).await;
    many(&node, "/sleep", (500, "")).await;
    let told = log.lines(&["the app failed", "path=\"/sleep\""]).len();
    assert!(told > 0, "{:#?}", log.lines(&[]));
}

#[tokio::test]
async fn an_app_that_answers_when_its_client_has_gone_does_not_trap() {
    let log = Log::capture();
    let node = start().await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let asking = tokio::spawn(async move { client.send(get("/late")).await });
        crate::support::until("it to run", || node.exchanges.live() == 1).await;
        asking.abort();
        node.idle().await;
    }
    log.tells_no_failure();
}

#[tokio::test]
async fn a_body_that_is_not_read_to_its_end_holds_nothing_up() {
    let node = start().await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let post = request("POST", "/echo", full(vec![b'x'; 1 << 20]));
        let mut response = client.send(post).await.expect("a head");
        let first = response.body_mut().frame().await;
        assert!(first.is_some_and(|frame| frame.is_ok()));
        drop((response, client));
        tokio::time::timeout(Duration::from_secs(30), node.idle())
            .await
            .expect("the exchange ends");
        let hello = fetch(protocol, node.address, "/hello").await;
        assert_eq!(hello.text(), "Hello, WASI!");
    }
}
