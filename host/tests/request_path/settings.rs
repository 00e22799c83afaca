//! What apps of each kind see of config and secrets: in the environment, by `wasi:config`, and as the
//! config that `ace:raxx` gives. A change is in force for the next call, and no instance is used
//! again that has seen what was set before.

use std::net::Ipv4Addr;
use std::sync::Arc;

use cluster::{ConfigLines, NodeName, Settings};
use host::files::read;
use runtime::generation::validate;
use tokio::sync::watch;

use crate::support::client::{Client, Protocol, fetch};
use crate::support::components::{HANDLER_TYPES, Limits, built, bytes, runtime_with, wat};
use crate::support::node::{Node, Setup};

/// What a node has whose config is in these lines.
fn set(lines: &str) -> Arc<Settings> {
    let me = NodeName::new("example", Ipv4Addr::LOCALHOST).expect("a name");
    let lines = ConfigLines::read(lines).expect("lines");
    Settings::at_start(&me, None, None, &lines)
}

/// A node with this app and these settings, which can be changed.
async fn node(limits: Limits, package: &str, lines: &str) -> (Node, watch::Sender<Arc<Settings>>) {
    let (settings, now) = watch::channel(set(lines));
    let app = read(&built(package)).expect("the component can be read");
    let generation = validate(&runtime_with(limits, now), app)
        .await
        .expect("an app");
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    (
        Node::with_generation(Arc::new(generation), setup).await,
        settings,
    )
}

/// The answer to a request. The next one finds the instance at rest.
async fn ask(node: &Node, path: &str) -> String {
    let answer = fetch(Protocol::H1, node.address, path).await;
    assert_eq!(answer.status, 200, "{path}");
    node.idle().await;
    answer.text().trim().to_owned()
}

#[tokio::test]
async fn a_change_is_in_the_environment_of_the_next_call_and_no_earlier_instance_is_used_again() {
    let (node, settings) = node(Limits::Reused, "fixture-plain", "GREETING=one\na.b=x").await;
    assert_eq!(ask(&node, "/env/GREETING").await, "1 one");
    assert_eq!(
        ask(&node, "/env/GREETING").await,
        "2 one",
        "the same instance"
    );
    assert_eq!(
        ask(&node, "/env/a.b").await,
        "3",
        "no name of the environment"
    );
    settings.send_replace(set("GREETING=two"));
    assert_eq!(ask(&node, "/env/GREETING").await, "1 two", "a new instance");
    assert_eq!(ask(&node, "/env/GREETING").await, "2 two");
    settings.send_replace(set(""));
    assert_eq!(ask(&node, "/env/GREETING").await, "1");
}

#[tokio::test]
async fn an_instance_that_was_made_ready_before_a_change_is_not_used() {
    let (node, settings) = node(Limits::Usual, "fixture-plain", "GREETING=one").await;
    assert_eq!(ask(&node, "/env/GREETING").await, "1 one");
    for round in 0..20 {
        // Some are made ready meanwhile.
        tokio::task::yield_now().await;
        settings.send_replace(set(&format!("GREETING={round}")));
        assert_eq!(ask(&node, "/env/GREETING").await, format!("1 {round}"));
    }
}

#[tokio::test]
async fn a_call_that_runs_while_something_is_set_ends_as_it_began_and_is_the_last_of_its_instance()
{
    let (node, settings) = node(Limits::Reused, "fixture-plain", "GREETING=one").await;
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut stream = client.open("/stream").await;
    stream.to("chunk 0\n").await;
    settings.send_replace(set("GREETING=two"));
    stream.to("chunk 4\n").await;
    drop(stream);
    node.idle().await;
    assert_eq!(ask(&node, "/env/GREETING").await, "1 two");
}

#[tokio::test]
async fn a_component_of_wasi_03_sees_a_change_with_the_next_request() {
    let (node, settings) = node(Limits::Usual, "fixture-handler", "GREETING=one").await;
    assert_eq!(ask(&node, "/env/GREETING").await, "1 one");
    assert_eq!(
        ask(&node, "/env/GREETING").await,
        "2 one",
        "the same instance"
    );
    settings.send_replace(set("GREETING=two"));
    assert_eq!(ask(&node, "/env/GREETING").await, "1 two", "a new instance");
    assert_eq!(ask(&node, "/env/GREETING").await, "2 two");
}

#[tokio::test]
async fn an_app_of_raxx_is_given_what_is_set_as_its_config() {
    let (node, settings) = node(Limits::Reused, "fixture-simple", "A=1\nB=\"two\\nlines\"").await;
    assert_eq!(ask(&node, "/config").await, "A=1\nB=\"two\\nlines\"");
    settings.send_replace(set("A=2"));
    assert_eq!(ask(&node, "/config").await, "A=2");
    assert_eq!(ask(&node, "/calls").await, "2", "of the new instance");
}

#[tokio::test]
async fn wasi_config_has_a_value_for_each_name_that_is_set() {
    for (lines, some, length) in [("name=a value", 1, 7), ("other=1", 0, 0)] {
        let runtime = runtime_with(Limits::Usual, watch::channel(set(lines)).1);
        let app = reads_config(some, length);
        let made = validate(&runtime, bytes(app)).await;
        made.expect("it starts, and finds what it looks for");
    }
}

/// A component that reads the config `name` and all config at its start. It traps unless `some` says
/// whether there is a value, and `length` how long it is; and unless there is one entry.
fn reads_config(some: u32, length: u32) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {HANDLER_TYPES}
            (import "wasi:config/store@0.2.0-rc.1" (instance $it
              (type $e (variant (case "upstream" string) (case "io" string)))
              (export "error" (type $error (eq $e)))
              (export "get" (func (param "key" string)
                (result (result (option string) (error $error)))))
              (export "get-all" (func
                (result (result (list (tuple string string)) (error $error)))))))
            (core module $memory
              (memory (export "memory") 1)
              (global $next (mut i32) (i32.const 2048))
              (data (i32.const 1024) "name")
              (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (i32.const 256)))))
            (core instance $m (instantiate $memory))
            (core func $get (canon lower (func $it "get")
              (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
            (core func $all (canon lower (func $it "get-all")
              (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
            (core module $main
              (import "m" "memory" (memory 1))
              (import "it" "get" (func $get (param i32 i32 i32)))
              (import "it" "all" (func $all (param i32)))
              (func $is (param $at i32) (param $value i32)
                (if (i32.ne (i32.load (local.get $at)) (local.get $value)) (then unreachable)))
              (func $start
                (call $get (i32.const 1024) (i32.const 4) (i32.const 16))
                (if (i32.load8_u (i32.const 16)) (then unreachable))
                (if (i32.ne (i32.load8_u (i32.const 20)) (i32.const {some})) (then unreachable))
                (if (i32.const {some}) (then
                  (call $is (i32.const 28) (i32.const {length}))))
                (call $all (i32.const 64))
                (if (i32.load8_u (i32.const 64)) (then unreachable))
                (call $is (i32.const 72) (i32.const 1)))
              (start $start)
              (func (export "handle") (param i32 i32)))
            (core instance $i (instantiate $main
              (with "m" (instance $m))
              (with "it" (instance (export "get" (func $get)) (export "all" (func $all))))))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
              (canon lift (core func $i "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    ))
}
