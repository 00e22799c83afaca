//! What each app answers on the request path of a node in this process. What its
//! paths do is in `fixtures/makers/README.md`.

use crate::apps::App;
use crate::support::client::{
    BOTH, Client, Protocol, Reader, empty, fetch, full, get, is_cut, request, upload,
};
use crate::support::components;
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::until;

/// A node that serves the app, unless it could not be built here.
async fn serve(app: App) -> Option<Node> {
    Some(Node::serve(&app.file()?, Setup::default()).await)
}

pub(crate) async fn hello(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    for protocol in BOTH {
        let hello = fetch(protocol, node.address, "/").await;
        assert_eq!(hello.status, 200);
        assert_eq!(hello.text(), app.hello());
        assert!(hello.field("content-type").starts_with("text/plain"));
        assert_eq!(fetch(protocol, node.address, "/none").await.status, 404);
    }
    node.idle().await;
    log.tells_no_failure();
}

pub(crate) async fn stream(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    let all: String = (0..5).map(|number| format!("data: {number}\n\n")).collect();
    for protocol in BOTH {
        let answer = fetch(protocol, node.address, "/stream").await;
        assert_eq!(answer.field("content-type"), "text/event-stream");
        assert_eq!(answer.text(), all);
    }
    node.idle().await;
    log.tells_no_failure();
}

pub(crate) async fn endless(app: App) {
    let Some(node) = serve(app).await else { return };
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut reader = client.open("/endless").await;
        for _ in 0..3 {
            reader.to("\n\n").await;
        }
        // Whatever it writes now, nobody reads.
        drop((reader, client));
        node.idle().await;
    }
}

pub(crate) async fn echo(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("one\n").await);
        let response = client.send(request("POST", "/echo", body)).await;
        let mut reader = Reader::new(response.expect("a head"));
        reader.to("one\n").await;
        for line in ["two\n", "three\n"] {
            assert!(pieces.data(line).await);
            assert_eq!(reader.to(line).await, line);
        }
        drop(pieces);
        reader.rest().await.1.expect("it ends as it should");
        let large = vec![b'x'; 1 << 20];
        let answer = client
            .ask(request("POST", "/echo", full(large.clone())))
            .await;
        assert!(answer.body.expect("it ends as it should") == large);
        // What has no body has none to send back.
        let answer = client.ask(request("POST", "/echo", empty())).await;
        assert_eq!(answer.text(), "");
    }
    node.idle().await;
    log.tells_no_failure();
}

pub(crate) async fn early(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let (pieces, body) = upload();
        assert!(pieces.data("the beginning").await);
        let response = client.send(request("POST", "/early", body)).await;
        let mut reader = Reader::new(response.expect("a head"));
        reader.to("early\n").await;
        let (rest, ended) = reader.rest().await;
        ended.expect("it ends as it should");
        assert_eq!(rest, "");
        // Only now the client comes to the end of what nobody reads.
        let _ = pieces.data("the end").await;
        drop(pieces);
        let mut other = Client::connect(protocol, node.address).await;
        assert_eq!(other.get("/").await.text(), app.hello());
    }
    node.idle().await;
    log.tells_no_failure();
}

pub(crate) async fn head(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for _ in 0..25 {
            let head = client.ask(request("HEAD", "/", empty())).await;
            assert_eq!(head.status, 200);
            assert_eq!(head.text(), "");
            assert!(head.field("content-type").starts_with("text/plain"));
        }
        // Nothing of a body was left on the connection.
        assert_eq!(client.get("/").await.text(), app.hello());
    }
    node.idle().await;
    log.tells_no_failure();
}

pub(crate) async fn statuses(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for status in [200, 204, 304, 404, 418, 503] {
            let answer = client.get(&format!("/status/{status}")).await;
            assert_eq!(answer.status, status, "{protocol:?}");
            assert_eq!(answer.text(), "", "{protocol:?} {status}");
        }
    }
    node.idle().await;
    log.tells_no_failure();
}

pub(crate) async fn fields(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        let mut ask = get("/headers");
        let value = "a value, with a comma".parse().expect("a value");
        ask.headers_mut().insert("x-ask", value);
        let answer = client.ask(ask).await;
        assert_eq!(answer.field("x-asked"), "a value, with a comma");
        let cookies = answer.headers.get_all("set-cookie").iter();
        let cookies: Vec<_> = cookies.map(|it| it.as_bytes()).collect();
        assert_eq!(cookies, [b"a=1", b"b=2"], "{protocol:?}");
    }
    node.idle().await;
    log.tells_no_failure();
}

pub(crate) async fn failure(app: App) {
    let Some(file) = app.file() else { return };
    let setup = Setup::default();
    // Its failures may end the requests of others, which belong to other tests.
    let generation = components::alone(setup.limits, &file).await;
    let node = Node::with_generation(generation, setup).await;
    for protocol in BOTH {
        let mut other = Client::connect(protocol, node.address).await;
        let mut stream = other.open("/endless").await;
        stream.to("\n\n").await;
        let failed = fetch(protocol, node.address, "/fail").await;
        assert_eq!(failed.status, 500);
        if app.shares_instances() {
            // What fails ends the instance, with all requests that it has.
            let (_, ended) = stream.rest().await;
            is_cut(&ended.expect_err("it is cut"), protocol);
        } else {
            stream.to("\n\n").await;
            drop(stream);
        }
        assert_eq!(fetch(protocol, node.address, "/").await.text(), app.hello());
        drop(other);
        node.idle().await;
    }
}

pub(crate) async fn layers(app: App) {
    let log = Log::capture();
    let Some(node) = serve(app).await else { return };
    for letter in ["a", "b", "c"] {
        let path = format!("/layer-{letter}");
        let answer = fetch(Protocol::H1, node.address, &path).await;
        assert_eq!(answer.text(), path);
    }
    let answer = fetch(Protocol::H1, node.address, "/layer-d").await;
    assert_eq!(answer.status, 404);
    until("the last request to end", || node.exchanges.live() == 0).await;
    log.tells_no_failure();
}
