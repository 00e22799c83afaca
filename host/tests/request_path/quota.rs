//! What a component may make the host keep for it, hand over in one call, and consist of.

use runtime::generation::validate;

use crate::support::client::{Protocol, fetch};
use crate::support::components::{HANDLER_TYPES, Limits, bytes, runtime, wat};
use crate::support::log::Log;
use crate::support::node::Node;

/// Gets a path that takes too much of the host, and is ended for it.
async fn too_much(what: &str, cause: &str) {
    let log = Log::capture();
    let node = Node::start("fixture-unusual").await;
    let path = format!("/hold/{what}");
    let answer = fetch(Protocol::H1, node.address, &path).await;
    assert_eq!(answer.status, 500, "{what}");
    log.tells_once(&["the app failed", &format!("path=\"{path}\""), cause]);
    assert_eq!(fetch(Protocol::H1, node.address, "/").await.text(), "ok");
    node.idle().await;
}

#[tokio::test]
async fn fields_and_bodies_that_are_held_have_a_budget_of_bytes() {
    for what in ["fields", "clones", "bodies", "requests"] {
        too_much(what, "held more than 16 MiB of fields and bodies at a time").await;
    }
}

#[tokio::test]
async fn handles_that_are_held_are_counted() {
    too_much("handles", "held more than 10000 handles at a time").await;
}

#[tokio::test]
async fn what_is_handed_over_in_one_call_has_a_limit() {
    too_much("much", "handed over more than 1 MiB in one call").await;
}

#[tokio::test]
async fn what_was_let_go_of_does_not_count() {
    let node = Node::start("fixture-unusual").await;
    let answer = fetch(Protocol::H1, node.address, "/hold/nothing").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), "held");
}

#[tokio::test]
async fn sockets_are_refused_and_take_no_file_of_the_node() {
    let node = Node::start("fixture-unusual").await;
    let answer = fetch(Protocol::H1, node.address, "/hold/sockets").await;
    assert!(answer.text().contains("access-denied"), "{}", answer.text());
}

/// A component that has a handler, and these parts beside it.
fn with(parts: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {HANDLER_TYPES}
            (core module $m (func (export "handle") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
              (canon lift (core func $i "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler))
            (core module $part (table 1 funcref) (memory 1))
            (core module $empty)
            {parts})"#
    ))
}

fn instances(module: &str, count: usize) -> String {
    format!("(core instance (instantiate {module}))").repeat(count)
}

#[tokio::test]
async fn a_component_of_many_parts_has_room() {
    for parts in [
        instances("$empty", 199),
        instances("$part", 20),
        format!(
            "(component $inner (core module $m (memory 1)) {}) (instance (instantiate $inner)) (instance (instantiate $inner))",
            instances("$m", 16)
        ),
        "(core module $large (table 100000 funcref)) (core instance (instantiate $large))".into(),
    ] {
        let made = validate(&runtime(Limits::Usual), bytes(with(&parts))).await;
        made.expect("there is room for it");
    }
}

#[tokio::test]
async fn a_component_of_too_many_parts_is_told_which_how_many_and_what_allows_them() {
    for (parts, sentence) in [
        (
            instances("$empty", 200),
            "app.wasm has 201 core instances, more than 200; --max-core-instances 201 allows them",
        ),
        (
            "(core module $memory (memory 1))".to_owned() + &instances("$memory", 33),
            "app.wasm has 33 memories, more than 32; --max-memories 33 allows them",
        ),
        (
            instances("$part", 21),
            "app.wasm has 21 tables, more than 20; --max-tables 21 allows them",
        ),
        (
            "(core module $large (table 100001 funcref)) (core instance (instantiate $large))"
                .to_owned(),
            "app.wasm has a table of 100001 elements, more than 100000; --max-table-elements 100001 allows it",
        ),
    ] {
        let made = validate(&runtime(Limits::Usual), bytes(with(&parts))).await;
        let refusal = made.expect_err("there is no room for it").to_string();
        assert_eq!(refusal, sentence);
    }
}
