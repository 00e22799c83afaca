//! Interfaces of WASI that are not the engine's own, as components import them.

use runtime::generation::validate;

use crate::support::components::{HANDLER_TYPES, Limits, bytes, runtime, wat};

/// A component that checks this at its start, and traps if it is not so. `imports` has the
/// interface `$it`; the core function `call` calls one of its functions, and stores the result at 16.
pub(crate) fn checks(imports: &str, call: &str, checks: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {HANDLER_TYPES}
            {imports}
            (core module $memory
              (memory (export "memory") 1)
              (data (i32.const 1024) "name")
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048)))
            (core instance $m (instantiate $memory))
            (core func $call (canon lower (func $it "{call}")
              (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
            (core module $main
              (import "m" "memory" (memory 1))
              (import "it" "call" (func $call (param i32 i32 i32)))
              (func $start
                (call $call (i32.const 1024) (i32.const 4) (i32.const 16))
                {checks})
              (start $start)
              (func (export "handle") (param i32 i32)))
            (core instance $i (instantiate $main
              (with "m" (instance $m))
              (with "it" (instance (export "call" (func $call))))))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
              (canon lift (core func $i "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    ))
}

/// Traps unless the byte at this place has this value.
pub(crate) fn is(at: u32, value: u32) -> String {
    format!("(if (i32.ne (i32.load8_u (i32.const {at})) (i32.const {value})) (then unreachable))")
}

pub(crate) async fn starts(app: Vec<u8>) {
    let made = validate(&runtime(Limits::Usual), bytes(app)).await;
    made.expect("it starts, and finds what it looks for");
}

#[tokio::test]
async fn config_links_under_its_names_and_what_is_not_set_is_none() {
    for version in ["0.2.0-rc.1", "0.2.0-draft"] {
        let imports = format!(
            r#"(import "wasi:config/store@{version}" (instance $it
              (type $e (variant (case "upstream" string) (case "io" string)))
              (export "error" (type $error (eq $e)))
              (export "get" (func (param "key" string)
                (result (result (option string) (error $error)))))))"#
        );
        // No error; and no value.
        let checks = is(16, 0) + &is(20, 0);
        starts(self::checks(&imports, "get", &checks)).await;
    }
}
