//! What each path answers to each method.

use raxx::mailbox::Effect;
use raxx::{DELETE, GET, HEAD, POST, Part, ResponseBody, request, testing};

use super::*;

fn answer(method: &Method, target: &str) -> Response {
    testing::set_cluster(3, &["example@10.10.10.2", "example@10.10.10.3"]);
    match App.handle_head(request(method, target), b"") {
        Step::Done(done) => done.response,
        step => panic!("{method:?} {target} goes on: {step:?}"),
    }
}

#[test]
fn the_root_is_the_page() {
    let page = answer(GET, "/");
    assert_eq!(page.status(), 200);
    assert_eq!(
        page.headers().get("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(!page.body_bytes().is_empty());
}

#[test]
fn head_is_answered_as_get() {
    assert_eq!(answer(HEAD, "/"), answer(GET, "/"));
    assert_eq!(answer(HEAD, "/nope"), answer(GET, "/nope"));
    let updates = answer(HEAD, "/updates");
    assert_eq!(
        updates.headers().get("content-type"),
        Some("text/event-stream")
    );
    assert_eq!(updates.body_kind(), &ResponseBody::None);
}

#[test]
fn anything_else_is_not_found_as_plain_text() {
    for target in [
        "/nope",
        "/updates/x",
        "/talk/x",
        "/favicon.ico",
        "/index.html?x",
    ] {
        let answer = answer(GET, target);
        assert_eq!(answer.status(), 404, "{target}");
        assert_eq!(answer.body_bytes(), b"not found");
        assert_eq!(
            answer.headers().get("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    assert_eq!(answer(POST, "/nope").status(), 404);
}

#[test]
fn other_methods_on_a_known_path_are_told_what_is_allowed() {
    for method in [POST, DELETE, raxx::OPTIONS, &Method::Other("BREW".into())] {
        for target in ["/", "/updates", "/talk/lines"] {
            let answer = answer(method, target);
            assert_eq!(answer.status(), 405, "{method:?} {target}");
            assert_eq!(answer.headers().get("allow"), Some("GET, HEAD"));
        }
    }
}

#[test]
fn updates_opens_a_stream_that_asks_for_the_nodes_and_a_heartbeat() {
    testing::set_cluster(3, &["example@10.10.10.2"]);
    let Step::Continue(open) = App.handle_head(request(GET, "/updates"), b"") else {
        panic!("the stream goes on");
    };
    let Part::Head(head) = &open.parts[0] else {
        panic!("the head comes first");
    };
    assert_eq!(
        head.headers().get("content-type"),
        Some("text/event-stream")
    );
    assert_eq!(head.headers().get("cache-control"), Some("no-store"));
    assert_eq!(head.body_kind(), &ResponseBody::Streamed);
    assert_eq!(
        open.parts[1],
        Part::Data(b"retry: 1000\nevent: self\ndata: example@10.10.10.2\n\n".to_vec())
    );
    assert_eq!(
        open.effects,
        [
            Effect::SubscribeNodes,
            Effect::SendAfter {
                milliseconds: 15_000,
                token: 0
            }
        ]
    );
}
