//! New code is tried out: an instance is made, its interfaces are loaded, and it
//! goes on, however few places there are for what runs long.

use std::sync::Arc;
use std::time::Duration;

use runtime::capacity::PlaceLimits;
use runtime::compile::CompilerConfig;
use runtime::contract::{CallLimits, NodeInfo};
use runtime::engine::{Runtime, RuntimeConfig};
use runtime::generation::validate;
use runtime::views::Views;
use tokio::sync::watch;

use crate::support::components::{HANDLER_TYPES, bytes, starts_with, wat};
use crate::support::node::{NAMES, name, view};
use crate::support::until;

/// What runs through several ticks: some ten milliseconds at the least; a tick is five.
const SPIN: &str = "(local $n i32) (local.set $n (i32.const 60000000))
    (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";

/// A `wasi:http` component with `upgrade`, whose every step does this: the start of each instance,
/// and `state-version`.
fn always(spin: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {HANDLER_TYPES}
            (core module $m
              (memory (export "memory") 1)
              (func $start {spin})
              (start $start)
              (func (export "handle") (param i32 i32) unreachable)
              (func (export "state-version") (result i32) {spin} (i32.const 7))
              (func (export "change") (param i32 i32 i32) (result i32) unreachable)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
              (canon lift (core func $i "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler))
            (func $state-version (result u32) (canon lift (core func $i "state-version")))
            (func $up (param "from-version" u32) (param "state" (list u8))
              (result (result (list u8) (error string)))
              (canon lift (core func $i "change")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func $down (param "to-version" u32) (param "state" (list u8))
              (result (result (list u8) (error string)))
              (canon lift (core func $i "change")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $upgrade
              (export "state-version" (func $state-version))
              (export "code-change" (func $up))
              (export "code-change-down" (func $down)))
            (export "ace:raxx/upgrade@0.1.0" (instance $upgrade)))"#
    ))
}

/// A runtime with so little room, in which a callback has so long.
fn runtime(places: PlaceLimits, time: Duration) -> Arc<Runtime> {
    let config = RuntimeConfig {
        instances: Default::default(),
        limits: CallLimits {
            cpu: Duration::from_secs(20),
            wall: time,
            memory: 1 << 20,
            state: 0,
        },
        room: Default::default(),
        places,
        workers: 1,
        code_cache: None,
        compiler: CompilerConfig::in_this_process(),
    };
    let views = watch::channel(Arc::new(view(1, &NAMES[..1]))).1;
    let views = Views::new(views, name(NAMES[0]));
    Runtime::new(config, Arc::new(NodeInfo::closed(views))).expect("an engine")
}

const FEW: PlaceLimits = PlaceLimits {
    calls: 4,
    streams: 4,
    tries: 4,
    idle: 1,
    budget: u64::MAX,
};

#[tokio::test]
async fn a_node_whose_memory_is_used_up_tries_out_the_app_that_would_repair_it() {
    let few = PlaceLimits { budget: 1, ..FEW };
    let runtime = runtime(few, Duration::from_secs(20));
    assert!(runtime.places().now().memory > 1);
    let generation = validate(&runtime, bytes(always(""))).await;
    assert_eq!(generation.expect("it comes up").state_version, 7);
}

#[tokio::test]
async fn where_no_place_to_try_it_is_free_the_machine_is_to_blame_and_not_the_app() {
    let few = PlaceLimits { tries: 1, ..FEW };
    let runtime = runtime(few, Duration::from_millis(50));
    let for_ever = bytes(starts_with("(loop $l (br $l))"));
    let spins = tokio::spawn({
        let runtime = runtime.clone();
        async move { validate(&runtime, for_ever).await.map(drop) }
    });
    until("it to run", || runtime.places().now().tries == 1).await;
    let failed = validate(&runtime, bytes(always("")));
    let failed = failed.await.expect_err("there is no place");
    assert!(failed.is_local(), "{failed}");
    let told = failed.to_string();
    assert!(told.contains("try again in a moment"), "{told}");
    spins.abort();
}

#[tokio::test]
async fn an_app_that_takes_long_is_tried_out_although_there_is_one_place_for_what_does() {
    let runtime = runtime(FEW, Duration::from_secs(20));
    let generation = validate(&runtime, bytes(always(SPIN))).await;
    assert_eq!(generation.expect("it comes up").state_version, 7);
}
