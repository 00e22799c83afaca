//! Apps that were built against earlier versions of the contract run on this
//! host. The components are kept as they were; see `tests/kept/README.md`.

use crate::support::client::{BOTH, Client, Protocol, fetch, full, post, request};
use crate::support::components::{Limits, generation, kept};
use crate::support::node::{NAMES, Node, Setup, view};

#[tokio::test]
async fn the_guest_of_0_1_0_serves_its_page_and_its_stream() {
    let node = Node::serve(&kept("guest-0.1.0.wasm"), Setup::default()).await;
    for protocol in BOTH {
        node.see(view(1, &NAMES[..2]));
        let mut client = Client::connect(protocol, node.address).await;
        let page = client.get("/").await;
        assert_eq!(page.status, 200);
        for text in ["Ace Raxx cluster example", "node-list", NAMES[0], NAMES[1]] {
            assert!(page.text().contains(text), "{text} in the page");
        }
        assert_eq!(client.get("/none").await.text(), "not found");
        let mut reader = client.open("/updates").await;
        reader
            .to(&format!("data: [\"{}\", \"{}\"]", NAMES[0], NAMES[1]))
            .await;
        node.see(view(2, &NAMES));
        reader.to(&format!("\"{}\"]", NAMES[2])).await;
    }
    node.stop();
    node.stopped().await;
}

#[tokio::test]
async fn a_streaming_app_of_0_1_0_has_the_whole_contract() {
    let node = Node::serve(&kept("misbehave-0.1.0.wasm"), Setup::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        assert_eq!(client.get("/ok").await.text(), "ok");
        assert_eq!(client.get("/panic").await.status, 500);
    }
    let mut client = Client::connect(Protocol::H2, node.address).await;
    assert_eq!(
        client
            .ask(request("POST", "/echo", full("abc")))
            .await
            .text(),
        "abc"
    );
    assert_eq!(
        client
            .ask(request("POST", "/upload-count", full("abcd")))
            .await
            .text(),
        "4"
    );
    assert_eq!(client.get("/timer").await.text(), "timer 7\n");
    assert!(client.get("/lag").await.text().starts_with("lagged "));
    assert_eq!(client.get("/download/1").await.text().len(), 1 << 20);
    // Its calls were told what is refused.
    let told = "subscribe: too-many after 32\nsend-after: too-many after 32\npublish: too-many after 32\n\
                no topic: bad-topic after 0\nlong topic: bad-topic after 0\nlarge: payload-too-large after 0\n";
    assert_eq!(client.get("/too-many").await.text(), told);
    let mut promises = client.open("/topic/promises").await;
    promises.to(": subscribed\n\n").await;
    let panicked = fetch(Protocol::H1, node.address, "/publish-then-panic/promises");
    assert_eq!(panicked.await.status, 500);
    post(Protocol::H1, node.address, "/publish/promises", "kept").await;
    assert!(promises.to("\n\n").await.contains("data: kept\n"));
    let mut reader = client.open("/topic/kept").await;
    reader.to(": subscribed\n\n").await;
    assert_eq!(
        client
            .ask(request("POST", "/publish/kept", full("news")))
            .await
            .text(),
        "published"
    );
    reader.to("data: news\n\n").await;
    let mut waiting = client.open("/wait").await;
    waiting.to("waiting\n").await;
    assert_eq!(
        fetch(Protocol::H1, node.address, "/upgrade-ws")
            .await
            .status,
        501
    );
    node.stop();
    assert_eq!(waiting.rest().await.0, "closing shutdown\n");
}

#[tokio::test]
async fn a_simple_app_of_0_1_0_answers() {
    let setup = Setup {
        config: "colour=blue",
        ..Setup::default()
    };
    let node = Node::serve(&kept("simple-0.1.0.wasm"), setup).await;
    for protocol in BOTH {
        let answer = post(protocol, node.address, "/", "four").await;
        for text in ["body: 4 bytes\n", "config: \"colour=blue\"\n"] {
            assert!(answer.text().contains(text), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_streaming_app_of_0_2_0_has_the_whole_contract() {
    let node = Node::serve(&kept("misbehave-0.2.0.wasm"), Setup::default()).await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for (path, status) in [
            ("/ok", 200),
            ("/panic", 500),
            ("/ask/put", 200),
            ("/ask/publish/33", 500),
        ] {
            assert_eq!(client.get(path).await.status, status, "{path}");
        }
        assert_eq!(client.get("/timer").await.text(), "timer 7\n");
        assert_eq!(client.get("/system/write").await.text(), "written");
        assert!(client.get("/system/clocks").await.text().contains(" Some("));
    }
    let mut client = Client::connect(Protocol::H2, node.address).await;
    for (path, told) in [
        ("/echo", "abc"),
        ("/upload-count", "3"),
        ("/collect/whole/3", "3 bytes, trailers []\n"),
    ] {
        let answer = client.ask(request("POST", path, full("abc"))).await;
        assert_eq!(answer.text(), told, "{path}");
    }
    let mut fetching = client.open("/fetch/1").await;
    fetching.to("fetched 0 another error\n").await;
    let mut members = client.open("/updates").await;
    members
        .to(&format!("data: [\"{}\", \"{}\"]", NAMES[0], NAMES[1]))
        .await;
    let mut reader = client.open("/topic/kept").await;
    reader.to(": subscribed\n\n").await;
    post(Protocol::H1, node.address, "/publish/kept", "news").await;
    reader.to("data: news\n\n").await;
    let mut waiting = client.open("/wait").await;
    waiting.to("waiting\n").await;
    node.stop();
    assert_eq!(waiting.rest().await.0, "closing shutdown\n");
}

#[tokio::test]
async fn what_an_app_of_0_2_0_says_of_its_state_is_known() {
    let generation = generation(Limits::Usual, &kept("misbehave-0.2.0.wasm")).await;
    assert_eq!(generation.state_version, 2);
    assert_eq!(generation.state_shape.as_deref(), Some("kind"));
}

#[tokio::test]
async fn the_state_version_that_an_app_of_0_1_0_exports_is_known() {
    assert_eq!(
        generation(Limits::Usual, &kept("misbehave-0.1.0.wasm"))
            .await
            .state_version,
        2
    );
    assert_eq!(
        generation(Limits::Usual, &kept("guest-0.1.0.wasm"))
            .await
            .state_version,
        0
    );
}
