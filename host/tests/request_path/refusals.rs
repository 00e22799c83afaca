//! What is no app: each is refused in one sentence that names the cause and
//! the remedy.

use std::path::Path;

use host::files::read;
use mesh::store::MAX_APP;
use runtime::generation::validate;

use crate::support::components::{
    HANDLER_TYPES, Limits, built, bytes, runtime, starts_with, wants_memory, wat, written,
};

/// Has something refused, and returns the sentence.
async fn refused(limits: Limits, app: Vec<u8>) -> String {
    let refusal = validate(&runtime(limits), bytes(app)).await;
    let sentence = refusal.expect_err("it is no app").to_string();
    assert!(
        sentence.starts_with("app.wasm "),
        "it names the file: {sentence}"
    );
    assert!(!sentence.contains('\n'), "one line: {sentence}");
    assert!(
        sentence.chars().count() < 600,
        "of bounded length: {sentence}"
    );
    sentence
}

#[track_caller]
fn says(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "{part:?} in: {sentence}");
    }
}

#[tokio::test]
async fn what_is_not_webassembly() {
    let page = b"<!doctype html><title>404</title>".to_vec();
    let random: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for app in [
        Vec::new(),
        page,
        random,
        b"\0asm".to_vec(),
        b"\x7fELF\x02\x01\x01\0".to_vec(),
    ] {
        let sentence = refused(Limits::Usual, app).await;
        says(
            &sentence,
            &[
                "is not WebAssembly",
                "--app takes a component",
                "cargo component build",
            ],
        );
    }
}

#[tokio::test]
async fn a_core_module() {
    let sentence = refused(Limits::Usual, written("core-module.wat")).await;
    says(
        &sentence,
        &["is a core module, not a component", "build it with"],
    );
}

#[tokio::test]
async fn a_component_that_was_cut_off() {
    let whole = std::fs::read(built("fixture-simple")).expect("it was built");
    for part in [2, 3, 10] {
        let sentence = refused(Limits::Usual, whole[..whole.len() / part].to_vec()).await;
        says(&sentence, &["cannot be compiled", "build it again"]);
    }
}

#[tokio::test]
async fn a_component_with_random_bytes_in_it() {
    let mut broken = std::fs::read(built("fixture-simple")).expect("it was built");
    for (at, byte) in broken.iter_mut().enumerate().skip(8).step_by(97) {
        *byte ^= (at % 255 + 1) as u8;
    }
    says(
        &refused(Limits::Usual, broken).await,
        &["cannot be compiled", "build it again"],
    );
    let noise = b"\0asm\x0d\0\x01\0"
        .iter()
        .copied()
        .chain((0..200).map(|n| n * 37));
    says(
        &refused(Limits::Usual, noise.collect()).await,
        &["cannot be compiled"],
    );
}

#[tokio::test]
async fn a_component_without_a_handler() {
    let sentence = refused(Limits::Usual, written("no-handler.wat")).await;
    says(
        &sentence,
        &[
            "has no handler: it exports run",
            "ace:raxx/server",
            "wasi:http/incoming-handler",
        ],
    );
    let sentence = refused(Limits::Usual, wat("(component)")).await;
    says(&sentence, &["has no handler: it exports nothing"]);
}

#[tokio::test]
async fn a_component_that_imports_what_no_host_gives() {
    let sentence = refused(Limits::Usual, written("wants-more.wat")).await;
    says(
        &sentence,
        &[
            "imports what this host does not give",
            "test:unknown/thing",
            "remove the import",
        ],
    );
}

#[tokio::test]
async fn all_interfaces_that_are_missing_are_named_and_those_that_are_there_are_not() {
    let app = wat(r#"(component
            (import "test:unknown/thing" (instance (export "do-it" (func))))
            (import "wasi:random/random@0.2.99" (instance
              (export "get-random-u64" (func (result u64)))))
            (import "wasi:nn/graph@0.2.0-rc-2024-10-28" (instance (export "f" (func))))
            (import "wasi:http/types@1.0.0" (instance (export "f" (func))))
            (import "run" (func))
            (import "wasi:random/random@0.2.0" (instance
              (export "get-random-u64" (func (result u64))) (export "get-dice" (func)))))"#);
    let sentence = refused(Limits::Usual, app).await;
    says(
        &sentence,
        &[
            "give: test:unknown/thing, wasi:nn/graph@0.2.0-rc-2024-10-28, wasi:http/types@1.0.0, ",
            ", run, wasi:random/random@0.2.0 (get-dice); remove",
        ],
    );
    let many: String = (0..100)
        .map(|n| format!(r#"(import "test:many/thing-{n}" (instance (export "f" (func))))"#))
        .collect();
    let sentence = refused(Limits::Usual, wat(&format!("(component {many})"))).await;
    says(&sentence, &["test:many/thing-0, ", " more; remove"]);
    // A function that is there, with another type.
    let app = wat(r#"(component (import "wasi:random/random@0.2.0" (instance
            (export "get-random-u64" (func (result u8))))))"#);
    let sentence = refused(Limits::Usual, app).await;
    says(&sentence, &["wasi:random/random@0.2.0", "get-random-u64"]);
}

#[tokio::test]
async fn a_component_for_wasi_03_that_has_no_handler_is_named_as_what_it_is() {
    // The one can be read; the other has what this engine does not know.
    let command = r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $run (export "run" (func $f)))
            (export "wasi:cli/run@0.3.0" (instance $run)))"#;
    let stream = r#"(component
            (import "wasi:http/types@0.3.0-rc-2026-01-06" (instance
              (export "f" (func (param "s" (stream u8)))))))"#;
    for (app, interface) in [
        (command, "wasi:cli/run@0.3.0"),
        (stream, "wasi:http/types@0.3.0-rc-2026-01-06"),
    ] {
        let sentence = refused(Limits::Usual, wat(app)).await;
        let is_for = format!("is for WASI 0.3 ({interface})");
        says(&sentence, &[&is_for, "export wasi:http/handler@0.3"]);
    }
}

#[tokio::test]
async fn a_handler_of_wasi_03_is_refused_for_what_is_wrong_with_it() {
    let handler = |import: &str| {
        wat(&format!(
            r#"(component {import}
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $handler (export "handle" (func $f)))
            (export "wasi:http/handler@0.3.0" (instance $handler)))"#
        ))
    };
    let sentence = refused(Limits::Usual, handler("")).await;
    says(&sentence, &["does not fit the contract"]);
    let wants = r#"(import "wasi:nn/graph@0.3.0" (instance (export "f" (func))))
            (import "wasi:random/random@0.3.1" (instance (export "get-dice" (func))))"#;
    let sentence = refused(Limits::Usual, handler(wants)).await;
    says(
        &sentence,
        &["give: wasi:nn/graph@0.3.0, wasi:random/random@0.3.1; remove"],
    );
}

#[tokio::test]
async fn a_mailbox_for_an_app_without_exchanges() {
    let app = wat(r#"(component
            (import "ace:raxx/mailbox@0.1.0" (instance
              (export "subscribe-nodes" (func))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $handler (export "handle" (func $f)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#);
    let sentence = refused(Limits::Usual, app).await;
    says(
        &sentence,
        &["ace:raxx/mailbox is for apps that export ace:raxx/server"],
    );
}

#[tokio::test]
async fn a_handler_of_another_type_than_the_contract_says() {
    let app = wat(r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $server (export "handle-head" (func $f)))
            (export "ace:raxx/server@0.1.0" (instance $server)))"#);
    let sentence = refused(Limits::Usual, app).await;
    says(
        &sentence,
        &["does not fit the contract", "wit/ of this host's version"],
    );
}

/// A component with these imports and exports, all of which have a function without parameters.
fn of_interfaces(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let imports = imports.iter().map(|name| {
        let function = r#"(instance (export "f" (func)))"#;
        format!("(import \"{name}\" {function})\n")
    });
    let exports = exports.iter().map(|name| {
        let instance = r#"(instance (export "f" (func $f)))"#;
        let id = name.replace(['/', ':', '@'], "-");
        let instance = instance.replacen("(instance", &format!("(instance ${id}"), 1);
        format!("{instance}\n(export \"{name}\" (instance ${id}))\n")
    });
    let imports: String = imports.collect();
    let exports: String = exports.collect();
    wat(&format!(
        r#"(component
            {imports}
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            {exports})"#
    ))
}

#[tokio::test]
async fn a_version_of_the_contract_that_is_not_served() {
    const SERVES: &str = "this host serves ace:raxx 0.2.0 and 0.1.0";
    let later = [
        "ace:raxx/server@0.3.0",
        "ace:raxx/simple-server@1.0.0",
        "ace:raxx/server@0.20.0",
        "ace:raxx/server",
    ];
    for handler in later {
        let sentence = refused(Limits::Usual, of_interfaces(&[], &[handler])).await;
        says(&sentence, &[&format!("needs {handler};"), SERVES]);
    }
    let imports = ["ace:raxx/cluster@0.3.0", "ace:raxx/system@0.3.0"];
    let app = of_interfaces(&imports, &["ace:raxx/server@0.3.0"]);
    let needs = "needs ace:raxx/server@0.3.0, ace:raxx/cluster@0.3.0, ace:raxx/system@0.3.0";
    says(&refused(Limits::Usual, app).await, &[needs, SERVES]);
}

#[tokio::test]
async fn interfaces_of_two_versions_of_the_contract() {
    let (server, other) = ("ace:raxx/server@0.2.0", "ace:raxx/upgrade@0.1.0");
    for (imports, exports, other) in [
        (&[][..], &[server, other][..], other),
        (
            &["ace:raxx/mailbox@0.1.0"],
            &[server],
            "ace:raxx/mailbox@0.1.0",
        ),
    ] {
        let sentence = refused(Limits::Usual, of_interfaces(imports, exports)).await;
        let mixes = format!("mixes versions of the contract, {server} and {other};");
        says(&sentence, &[&mixes, "build all of it against one of these"]);
    }
}

#[tokio::test]
async fn a_function_that_only_a_later_version_has_is_named_as_missing() {
    let app = of_interfaces(&["ace:raxx/system@0.2.9"], &["ace:raxx/server@0.2.9"]);
    let sentence = refused(Limits::Usual, app).await;
    says(
        &sentence,
        &[
            "imports what this host does not give",
            "ace:raxx/system@0.2.9",
        ],
    );
}

#[tokio::test]
async fn a_shape_of_a_state_that_takes_too_many_bytes() {
    let shaped = |bytes: u32| {
        wat(&format!(
            r#"(component
            (core module $m
              (memory (export "memory") 1)
              (data (i32.const 8) "\10\00\00\00")
              (func $start (i32.store (i32.const 12) (i32.const {bytes})))
              (start $start)
              (func (export "handle"))
              (func (export "version") (result i32) (i32.const 1))
              (func (export "shape") (result i32)
                (memory.fill (i32.const 16) (i32.const 65) (i32.const {bytes}))
                (i32.const 8))
              (func (export "change") (param i32 i32 i32) (result i32) unreachable)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (func $version (result u32) (canon lift (core func $i "version")))
            (func $shape (result string) (canon lift (core func $i "shape")
              (memory (core memory $i "memory"))))
            (func $up (param "from-version" u32) (param "state" (list u8))
              (result (result (list u8) (error string)))
              (canon lift (core func $i "change")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func $down (param "to-version" u32) (param "state" (list u8))
              (result (result (list u8) (error string)))
              (canon lift (core func $i "change")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            {HANDLER_TYPES}
            (core module $h (func (export "handle") (param i32 i32) unreachable))
            (core instance $h (instantiate $h))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
              (canon lift (core func $h "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler))
            (instance $upgrade
              (export "state-version" (func $version))
              (export "state-shape" (func $shape))
              (export "code-change" (func $up))
              (export "code-change-down" (func $down)))
            (export "ace:raxx/upgrade@0.2.0" (instance $upgrade)))"#
        ))
    };
    let taken = validate(&runtime(Limits::Usual), bytes(shaped(256))).await;
    let shape = taken.expect("it is an app").state_shape;
    assert_eq!(shape.expect("it says its shape").len(), 256);
    let sentence = refused(Limits::Usual, shaped(257)).await;
    says(
        &sentence,
        &["the shape of its state in 257 bytes, more than the 256 allowed"],
    );
}

#[tokio::test]
async fn a_component_that_traps_at_its_start() {
    let sentence = refused(Limits::Usual, starts_with("unreachable")).await;
    says(&sentence, &["does not start", "unreachable"]);
}

#[tokio::test]
async fn a_component_that_loops_at_its_start() {
    let sentence = refused(Limits::Tight, starts_with("(loop br 0)")).await;
    says(&sentence, &["does not start", "processor time"]);
}

#[tokio::test]
async fn a_component_that_wants_more_memory_than_is_allowed() {
    for pages in [1000, 65_536] {
        says(
            &refused(Limits::Tight, wants_memory(pages)).await,
            &["memory"],
        );
    }
}

#[test]
fn a_folder_a_missing_file_and_a_file_that_is_too_large() {
    let folder = tempfile::tempdir().expect("a folder");
    let sentence = |path: &Path| read(path).expect_err("it is no app").to_string();
    says(
        &sentence(folder.path()),
        &["is not a file", "--app takes a component"],
    );
    says(
        &sentence(&folder.path().join("none.wasm")),
        &["none.wasm", "No such file"],
    );
    let large = folder.path().join("large.wasm");
    let file = std::fs::File::create(&large).expect("a file");
    file.set_len(MAX_APP + 1).expect("a length");
    says(
        &sentence(&large),
        &[
            "large.wasm has 67108865 bytes, more than the 67108864",
            "release mode",
        ],
    );
}

#[tokio::test]
async fn a_refused_app_leaves_the_engine_as_it_was() {
    refused(Limits::Tight, starts_with("unreachable")).await;
    let app = read(&built("fixture-simple")).expect("it was built");
    let generation = validate(&runtime(Limits::Tight), app)
        .await
        .expect("it is an app");
    assert_eq!(generation.kind.name(), "ace:raxx/simple-server");
}
