//! Which calls share an instance, and which do not: an app that counts its calls in a variable of
//! its own tells.

use std::sync::Arc;

use runtime::generation::{Generation, InstancePolicy, validate};

use crate::support::client::{BOTH, Client, Protocol, Reader, fetch, full, request, upload};
use crate::support::components::{HANDLER_TYPES, Limits, bytes, fresh, runtime, wat};
use crate::support::log::Log;
use crate::support::node::{Node, Setup};
use crate::support::until;

/// Each exports a handler of its own kind.
const KINDS: [&str; 2] = ["fixture-plain", "fixture-simple"];

/// A node with instances of its own.
async fn node(limits: Limits, package: &str) -> Node {
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    Node::with_generation(fresh(limits, package).await, setup).await
}

/// The app says how many calls its instance has had. The next call finds the instance at rest.
async fn calls(node: &Node, path: &str) -> String {
    let answer = fetch(Protocol::H1, node.address, path).await;
    assert_eq!(answer.status, 200, "{path}");
    node.idle().await;
    answer.text().to_owned()
}

#[tokio::test]
async fn a_call_shares_its_instance_only_if_the_node_was_told_so() {
    assert_eq!(InstancePolicy::default(), InstancePolicy::Fresh);
    for package in KINDS {
        let fresh = node(Limits::Usual, package).await;
        for _ in 0..3 {
            assert_eq!(calls(&fresh, "/calls").await, "1", "{package}");
        }
        let reused = node(Limits::Reused, package).await;
        for call in 1..=3 {
            assert_eq!(
                calls(&reused, "/calls").await,
                call.to_string(),
                "{package}"
            );
        }
    }
}

#[tokio::test]
async fn an_instance_is_renewed_after_its_last_call() {
    for package in KINDS {
        let node = node(Limits::Thrice, package).await;
        for call in ["1", "2", "3", "1", "2", "3", "1"] {
            assert_eq!(calls(&node, "/calls").await, call, "{package}");
        }
    }
}

#[tokio::test]
async fn no_instance_outlives_its_failure_or_what_it_keeps() {
    for (package, path, status) in [
        ("fixture-plain", "/panic", 500),
        ("fixture-plain", "/spin", 500),
        ("fixture-plain", "/alloc", 500),
        ("fixture-plain", "/silent", 500),
        ("fixture-plain", "/grow", 200),
        ("fixture-plain", "/litter", 200),
        ("fixture-plain", "/exit", 200),
        ("fixture-simple", "/panic", 500),
        ("fixture-simple", "/grow", 200),
    ] {
        let node = node(Limits::Reused, package).await;
        assert_eq!(calls(&node, "/calls").await, "1");
        assert_eq!(calls(&node, "/calls").await, "2");
        let ends = fetch(Protocol::H1, node.address, path).await;
        assert_eq!(ends.status, status, "{path}");
        node.idle().await;
        assert_eq!(calls(&node, "/calls").await, "1", "{package} {path}");
        assert_eq!(calls(&node, "/calls").await, "2", "{package} {path}");
    }
}

#[tokio::test]
async fn an_instance_whose_client_has_gone_takes_no_other_request() {
    let node = node(Limits::Reused, "fixture-plain").await;
    assert_eq!(calls(&node, "/calls").await, "1");
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut reader = client.open("/hold").await;
    reader.to("holding\n").await;
    // Who streams keeps its instance.
    assert_eq!(
        fetch(Protocol::H1, node.address, "/calls").await.text(),
        "1"
    );
    drop((client, reader));
    node.idle().await;
    assert_eq!(calls(&node, "/calls").await, "2");
}

#[tokio::test]
async fn nothing_of_the_old_code_is_used_after_a_swap_nor_kept() {
    for package in KINDS {
        let node = node(Limits::Reused, package).await;
        assert_eq!(calls(&node, "/calls").await, "1");
        assert_eq!(calls(&node, "/calls").await, "2");
        let draining = node.swap(fresh(Limits::Reused, package).await).await;
        assert_eq!(calls(&node, "/calls").await, "1", "{package}");
        assert_eq!(calls(&node, "/calls").await, "2", "{package}");
        // No exchange is on it, and no instance either.
        draining.signals.freed().await;
    }
}

#[tokio::test]
async fn a_request_that_is_open_at_a_swap_ends_in_its_instance_which_then_goes() {
    let node = node(Limits::Reused, "fixture-plain").await;
    let old = node.slot.current().expect("an app");
    let (pieces, body) = upload();
    let mut client = Client::connect(Protocol::H1, node.address).await;
    assert!(pieces.data("first").await);
    let response = client.send(request("POST", "/echo", body)).await;
    let mut reader = Reader::new(response.expect("a response"));
    reader.to("first").await;
    let draining = node
        .swap(fresh(Limits::Reused, "fixture-plain").await)
        .await;
    drop((pieces, old));
    reader.rest().await.1.expect("it ends as it should");
    draining.signals.freed().await;
}

#[tokio::test]
async fn a_node_that_stops_keeps_no_instance() {
    let node = node(Limits::Reused, "fixture-plain").await;
    let mut client = Client::connect(Protocol::H2, node.address).await;
    assert_eq!(client.get("/calls").await.text(), "1");
    node.idle().await;
    let serving = node.slot.current().expect("an app");
    assert_eq!(serving.idle_instances(), 1);
    node.stop();
    drop(client);
    node.stopped().await;
    assert_eq!(serving.idle_instances(), 0);
}

#[tokio::test]
async fn an_instance_that_gets_no_call_is_given_back_within_seconds() {
    let node = node(Limits::Reused, "fixture-plain").await;
    let serving = node.slot.current().expect("an app");
    assert_eq!(calls(&node, "/calls").await, "1");
    assert_eq!(serving.idle_instances(), 1);
    until("it to be given back", || serving.idle_instances() == 0).await;
    assert_eq!(calls(&node, "/calls").await, "1");
}

#[tokio::test]
async fn each_call_is_told_of_the_release_under_which_it_is_made() {
    let node = node(Limits::Reused, "fixture-plain").await;
    let serving = node.slot.current().expect("an app");
    let first = serving.release();
    assert_eq!(calls(&node, "/release").await, format!("1 {first:.32}"));
    let other = cluster::Serving::bootstrap(cluster::Digest::of(b"another")).release;
    serving.serve_as(other);
    assert_eq!(calls(&node, "/release").await, format!("2 {other:.32}"));
}

#[tokio::test]
async fn a_connection_goes_on_though_the_app_keeps_the_handle_of_a_request_it_never_read() {
    let node = node(Limits::Reused, "fixture-plain").await;
    for protocol in BOTH {
        let mut client = Client::connect(protocol, node.address).await;
        for _ in 0..3 {
            let answer = client.ask(request("POST", "/keep", full("some"))).await;
            assert_eq!(answer.status, 200);
        }
    }
    node.idle().await;
    assert_eq!(calls(&node, "/calls").await, "7");
}

#[tokio::test]
async fn an_app_that_never_finishes_its_bodies_is_reused_and_keeps_no_more_than_it_may() {
    let node = node(Limits::Reused, "fixture-plain").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    // More than there would be room for, if each body kept what a body may keep.
    for call in 1..=300 {
        let answer = client.get("/open").await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, &*call.to_string())
        );
        node.idle().await;
    }
}

/// A component that works for some milliseconds when it is set up. Its handler answers nothing.
fn slow_to_set_up() -> Vec<u8> {
    wat(&format!(
        r#"(component
            {HANDLER_TYPES}
            (core module $m
              (func $start (local $left i32)
                (local.set $left (i32.const 20000000))
                (loop $again
                  (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                  (br_if $again (local.get $left))))
              (start $start)
              (func (export "handle") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
              (canon lift (core func $i "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    ))
}

async fn generation(limits: Limits, component: Vec<u8>) -> Arc<Generation> {
    let generation = validate(&runtime(limits), bytes(component)).await;
    Arc::new(generation.expect("the component is an app"))
}

#[tokio::test]
async fn what_is_slow_to_set_up_is_ready_before_its_calls_and_goes_with_its_code() {
    let setup = Setup::default();
    let serving = generation(setup.limits, slow_to_set_up()).await;
    assert_eq!(serving.idle_instances(), 0);
    let node = Node::with_generation(serving.clone(), setup).await;
    for _ in 0..2 {
        until("the stock to be full", || serving.idle_instances() == 4).await;
        let answer = fetch(Protocol::H1, node.address, "/").await;
        assert_eq!(answer.status, 500, "it answers nothing");
    }
    let next = fresh(Limits::Usual, "fixture-plain").await;
    let draining = node.swap(next).await;
    drop(serving);
    draining.signals.freed().await;
}

#[tokio::test]
async fn where_instances_are_reused_or_only_tried_out_none_is_made_before_its_call() {
    let setup = Setup {
        limits: Limits::Reused,
        ..Setup::default()
    };
    let tried = generation(setup.limits, slow_to_set_up()).await;
    let serving = generation(setup.limits, slow_to_set_up()).await;
    let node = Node::with_generation(serving.clone(), setup).await;
    assert_eq!(fetch(Protocol::H1, node.address, "/").await.status, 500);
    node.idle().await;
    assert_eq!((serving.idle_instances(), tried.idle_instances()), (0, 0));
}

#[tokio::test]
async fn an_app_that_does_not_bear_a_second_call_gets_new_instances_from_then_on() {
    let log = Log::capture();
    let node = node(Limits::Reused, "fixture-plain").await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(
            fetch(Protocol::H1, node.address, "/once")
                .await
                .status
                .as_u16(),
        );
        node.idle().await;
    }
    assert_eq!(statuses, [200, 500, 200, 500, 200, 200, 200, 200]);
    log.tells_once(&["the app failed whenever an instance was used again"]);
    let serving = node.slot.current().expect("an app");
    assert_eq!(serving.idle_instances(), 0);
}

#[tokio::test]
async fn an_app_that_bore_a_second_call_is_reused_however_it_fails_later() {
    let node = node(Limits::Reused, "fixture-plain").await;
    for _ in 0..4 {
        assert_eq!(calls(&node, "/calls").await, "1");
        assert_eq!(calls(&node, "/calls").await, "2");
        let failed = fetch(Protocol::H1, node.address, "/panic").await;
        assert_eq!(failed.status, 500);
        node.idle().await;
    }
}
