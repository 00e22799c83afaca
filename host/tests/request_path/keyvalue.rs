//! `wasi:keyvalue`, as components of any maker use it.

use crate::imports::{checks, is, starts};

#[tokio::test]
async fn it_links_in_both_drafts_and_a_bucket_is_opened() {
    for (version, cursor, delta) in [
        ("0.2.0-draft", "u64", "u64"),
        ("0.2.0-draft2", "string", "s64"),
    ] {
        for many in [
            "(list (option (tuple string (list u8))))",
            "(list (tuple string (option (list u8))))",
        ] {
            let imports = format!(
                r#"(import "wasi:keyvalue/store@{version}" (instance $it
                  (export "bucket" (type $bucket (sub resource)))
                  (type $e (variant (case "no-such-store") (case "access-denied") (case "other" string)))
                  (export "error" (type $error (eq $e)))
                  (type $r (record (field "keys" (list string)) (field "cursor" (option {cursor}))))
                  (export "key-response" (type $response (eq $r)))
                  (export "[method]bucket.list-keys" (func (param "self" (borrow $bucket))
                    (param "cursor" (option {cursor})) (result (result $response (error $error)))))
                  (export "open" (func (param "identifier" string)
                    (result (result (own $bucket) (error $error)))))))
                (alias export $it "bucket" (type $bucket))
                (alias export $it "error" (type $error))
                (import "wasi:keyvalue/atomics@{version}" (instance
                  (alias outer 1 $bucket (type $b'))
                  (alias outer 1 $error (type $e'))
                  (export "bucket" (type $b (eq $b')))
                  (export "error" (type $e (eq $e')))
                  (export "increment" (func (param "bucket" (borrow $b)) (param "key" string)
                    (param "delta" {delta}) (result (result {delta} (error $e)))))))
                (import "wasi:keyvalue/batch@{version}" (instance
                  (alias outer 1 $bucket (type $b'))
                  (alias outer 1 $error (type $e'))
                  (export "bucket" (type $b (eq $b')))
                  (export "error" (type $e (eq $e')))
                  (export "get-many" (func (param "bucket" (borrow $b)) (param "keys" (list string))
                    (result (result {many} (error $e)))))))"#
            );
            starts(checks(&imports, "open", &is(16, 0))).await;
        }
    }
}

/// A component that opens a bucket, sets a key and gets it again.
fn sets_and_gets() -> Vec<u8> {
    checks(
        r#"(import "wasi:keyvalue/store@0.2.0-draft2" (instance $it
          (export "bucket" (type $bucket (sub resource)))
          (type $e (variant (case "no-such-store") (case "access-denied") (case "other" string)))
          (export "error" (type $error (eq $e)))
          (export "[method]bucket.set" (func (param "self" (borrow $bucket))
            (param "key" string) (param "value" (list u8)) (result (result (error $error)))))
          (export "[method]bucket.get" (func (param "self" (borrow $bucket))
            (param "key" string) (result (result (option (list u8)) (error $error)))))
          (export "open" (func (param "identifier" string)
            (result (result (own $bucket) (error $error)))))))
        (core module $more_memory (memory (export "memory") 1)
          (data (i32.const 1024) "name")
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 3072)))
        (core instance $mm (instantiate $more_memory))
        (core func $open (canon lower (func $it "open")
          (memory (core memory $mm "memory")) (realloc (core func $mm "realloc"))))
        (core func $set (canon lower (func $it "[method]bucket.set")
          (memory (core memory $mm "memory")) (realloc (core func $mm "realloc"))))
        (core func $get (canon lower (func $it "[method]bucket.get")
          (memory (core memory $mm "memory")) (realloc (core func $mm "realloc"))))
        (core module $both
          (import "m" "memory" (memory 1))
          (import "it" "open" (func $open (param i32 i32 i32)))
          (import "it" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
          (import "it" "get" (func $get (param i32 i32 i32 i32)))
          (func $check (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
          (func $start
            (call $open (i32.const 1024) (i32.const 4) (i32.const 16))
            (call $set (i32.load (i32.const 20)) (i32.const 1024) (i32.const 4)
              (i32.const 1024) (i32.const 3) (i32.const 32))
            (call $check (i32.eqz (i32.load8_u (i32.const 32))))
            (call $get (i32.load (i32.const 20)) (i32.const 1024) (i32.const 4) (i32.const 64))
            (call $check (i32.eqz (i32.load8_u (i32.const 64))))
            (call $check (i32.load8_u (i32.const 68)))
            (call $check (i32.eq (i32.load (i32.const 76)) (i32.const 3)))
            (call $check (i32.eq (i32.load8_u (i32.load (i32.const 72))) (i32.const 110))))
          (start $start))
        (core instance $sets (instantiate $both
          (with "m" (instance $mm))
          (with "it" (instance
            (export "open" (func $open)) (export "set" (func $set)) (export "get" (func $get))))))"#,
        "open",
        "",
    )
}

#[tokio::test]
async fn a_component_reads_what_it_has_written() {
    starts(sets_and_gets()).await;
}
