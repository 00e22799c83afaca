//! How responses of `wasi:http` components leave: what was finished is delivered, whatever follows;
//! what HTTP does not allow does not get out; what is not finished is named in the log.

use hyper::body::Body as _;

use crate::support::client::{BOTH, Client, Protocol, empty, fetch, get, request, whole};
use crate::support::log::Log;
use crate::support::node::Node;

async fn node() -> Node {
    Node::start("fixture-unusual").await
}

#[tokio::test]
async fn a_response_that_was_finished_is_delivered_and_what_follows_is_logged() {
    let log = Log::capture();
    let node = node().await;
    for protocol in BOTH {
        for (path, cause) in [
            ("/then/trap", "asked to panic after the response"),
            ("/then/exit/3", "called exit(3)"),
        ] {
            let answer = fetch(protocol, node.address, path).await;
            assert_eq!(answer.text(), "all of it", "{path} over {protocol:?}");
            node.idle().await;
            let said = [
                "an app went wrong, and its response was complete",
                path,
                cause,
            ];
            assert!(!log.lines(&said).is_empty(), "{:#?}", log.lines(&[]));
        }
    }
    log.tells_no_failure();
}

#[tokio::test]
async fn an_exit_without_an_error_is_no_fault() {
    let log = Log::capture();
    let node = node().await;
    let answer = fetch(Protocol::H1, node.address, "/then/exit/0").await;
    assert_eq!(answer.text(), "all of it");
    node.idle().await;
    assert_eq!(log.lines(&["app"]), [""; 0]);
    // Before there is a response, it is as if it had returned.
    assert_eq!(
        fetch(Protocol::H1, node.address, "/exit/0").await.status,
        500
    );
    log.tells_once(&["the app failed", "returned without setting a response"]);
    assert_eq!(
        fetch(Protocol::H1, node.address, "/exit/3").await.status,
        500
    );
    log.tells_once(&["the app failed", "called exit(3)"]);
}

#[tokio::test]
async fn what_has_no_body_has_none_on_either_version() {
    let log = Log::capture();
    let node = node().await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for path in ["/status/204", "/bare/204", "/status/304", "/bare/304"] {
            let response = client.send(get(path)).await.expect("a head");
            assert!(response.body().is_end_stream(), "{path} over {protocol:?}");
            let answer = whole(response).await;
            assert_eq!(answer.text(), "");
            if path.ends_with("204") {
                let length = answer.headers.get("content-length");
                assert_eq!(length, None, "{path} over {protocol:?}");
            }
        }
        // The connection is as good as before.
        assert_eq!(client.get("/ok").await.text(), "ok");
    }
    node.idle().await;
    log.tells_no_failure();
}

#[tokio::test]
async fn an_empty_body_ends_with_its_head_or_its_trailers() {
    let node = node().await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    let response = client.send(get("/empty")).await.expect("a head");
    assert!(response.body().is_end_stream(), "no DATA follows");
    let answer = client.get("/trailers").await;
    assert_eq!(answer.text(), "");
    assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "12");
    // What is known as a whole has a length.
    for (path, text) in [("/empty", ""), ("/ok", "ok")] {
        let answer = fetch(Protocol::H1, node.address, path).await;
        assert_eq!(answer.field("content-length"), text.len().to_string());
        assert_eq!(answer.text(), text);
    }
}

#[tokio::test]
async fn statuses_and_numbers_of_fields_that_are_not_allowed_are_500_and_logged() {
    let log = Log::capture();
    for (path, cause) in [
        ("/status/101", "sent the status 101; 200 to 599 are allowed"),
        ("/bare/199", "sent the status 199; 200 to 599 are allowed"),
        ("/status/600", "sent the status 600; 200 to 599 are allowed"),
        ("/status/999", "sent the status 999; 200 to 599 are allowed"),
        ("/fields/513", "sent 513 fields, more than 512"),
    ] {
        // A node of its own, since each logs ten failures a second.
        let node = node().await;
        for protocol in BOTH {
            let answer = fetch(protocol, node.address, path).await;
            assert_eq!(answer.status, 500, "{path}");
        }
        assert_eq!(
            log.lines(&["the app failed", path, cause]).len(),
            2,
            "{path}"
        );
    }
    // hyper's client takes no more than 16 KiB of fields.
    let many = fetch(Protocol::H2, node().await.address, "/fields/350").await;
    assert_eq!(many.headers.get_all("x-field").iter().count(), 350);
}

#[tokio::test]
async fn a_body_that_was_not_finished_is_named_in_the_log() {
    let log = Log::capture();
    let (open, short) = (
        "never finished the body",
        "after 4 of the 10 bytes of its content-length",
    );
    for (path, cause) in [
        ("/dropped", open),
        ("/bare/200", "after 0 of the 4 bytes of its content-length"),
        ("/unfinished", open),
        ("/later/unfinished", open),
        ("/short", short),
        ("/later/short", short),
    ] {
        let node = node().await;
        for protocol in BOTH {
            let mut client = Client::connect(protocol, node.address).await;
            // What becomes known before the head has gone out is a 500.
            let response = client.send(get(path)).await.expect("a head");
            match path.starts_with("/later/") {
                true => whole(response).await.was_cut(protocol),
                false => assert_eq!(response.status(), 500, "{path}"),
            }
        }
        node.idle().await;
        let said = log.lines(&["the app failed", &format!("path=\"{path}\""), cause]);
        assert_eq!(said.len(), 2, "{path}: {:#?}", log.lines(&[]));
    }
}

#[tokio::test]
async fn a_body_that_is_kept_until_the_app_returns_is_taken_to_be_whole() {
    let log = Log::capture();
    let node = node().await;
    for path in ["/kept", "/later/kept"] {
        for protocol in BOTH {
            let answer = fetch(protocol, node.address, path).await;
            assert_eq!(answer.text(), "four", "{path} over {protocol:?}");
        }
        node.idle().await;
        let said = log.lines(&[path, "returned without finishing the body"]);
        assert_eq!(said.len(), 2, "{:#?}", log.lines(&[]));
    }
    log.tells_no_failure();
}

#[tokio::test]
async fn a_head_request_may_be_answered_with_the_length_of_get_and_no_body() {
    let log = Log::capture();
    let node = node().await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for path in ["/promised", "/bare/200", "/status/200"] {
            let answer = client.ask(request("HEAD", path, empty())).await;
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.field("content-length"),
                "4",
                "{path} over {protocol:?}"
            );
        }
    }
    node.idle().await;
    assert_eq!(log.lines(&["app"]), [""; 0]);
}
