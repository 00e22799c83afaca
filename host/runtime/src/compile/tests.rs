//! Tests of what is shared by all who want the same component compiled. The process that
//! compiles is tested with the program `host`, in its package.

use std::sync::Arc;

use super::*;

/// An empty component.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn compiler(folder: Option<&Path>) -> Compiler {
    let config = CompilerConfig::in_this_process();
    Compiler::start(&config, CodeSettings::default(), 1, folder).unwrap()
}

fn component(bytes: &'static [u8]) -> ComponentBytes {
    ComponentBytes::of(bytes.into())
}

#[tokio::test]
async fn who_wants_the_same_component_gets_the_same_work_and_a_failure_is_told() {
    let compiler = compiler(None);
    let (one, other) = (component(EMPTY), component(b"no app"));
    let (first, second) = (compiler.compile(&one), compiler.compile(&one));
    assert!(Arc::ptr_eq(&first, &second));
    first.done().await.unwrap();
    assert!(matches!(
        compiler.compile(&other).done().await,
        Err(CompileError::Refused(_))
    ));
    // Once nobody has it any more, it is begun anew.
    let before = Arc::downgrade(&first);
    drop((first, second));
    assert!(before.upgrade().is_none());
    compiler.compile(&one).done().await.unwrap();
}

#[tokio::test]
async fn what_was_begun_ahead_is_taken_or_given_up() {
    let compiler = compiler(None);
    // Keeps all places, so that nothing is done before this is dropped.
    let places = compiler.shared.places.acquire_many(AT_A_TIME as u32).await;
    let (one, other) = (component(EMPTY), component(b"second"));
    let begun = |component: &ComponentBytes| {
        let running = compiler.shared.running.lock();
        running.get(&component.digest()).and_then(Weak::upgrade)
    };
    compiler.compile_ahead(&one);
    // One at a time.
    compiler.compile_ahead(&other);
    let ahead = begun(&one).expect("it was begun");
    assert!(begun(&other).is_none());
    let taken = compiler.compile(&one);
    assert!(Arc::ptr_eq(&taken, &ahead));
    drop(ahead);
    let task = taken.task.clone();
    drop(taken);
    assert!(begun(&one).is_none(), "nobody wants it any more");
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
    compiler.compile_ahead(&one);
    let wanted = compiler.compile(&other);
    assert!(begun(&one).is_none(), "the file has other content by now");
    drop(places);
    assert!(wanted.done().await.is_err());
}

#[tokio::test]
async fn kept_code_is_not_compiled_again_and_code_that_the_engine_does_not_take_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = compiler(Some(folder.path()));
    let one = component(EMPTY);
    let code = compiler.compile(&one).done().await.unwrap();
    assert!(!code.is_kept());
    let kept = compiler.shared.kept.as_ref().unwrap();
    kept.store(&one.digest(), &code).unwrap();
    let found = compiler.compile(&one).done().await.unwrap();
    assert!(found.is_kept());
    let settings = CodeSettings::default();
    let engine = Engine::new(&settings.config()).unwrap();
    compiler.map(&engine, &one.digest(), &found).unwrap();
    // As after an update of this program: an engine of other settings.
    let other = CodeSettings {
        concurrent: false,
        checked: Some((1 << 20, 1 << 16)),
    };
    let engine = Engine::new(&other.config()).unwrap();
    assert!(compiler.map(&engine, &one.digest(), &found).is_err());
    assert!(kept.find(&one.digest()).is_none());
}

#[tokio::test]
async fn what_a_component_exports_decides_which_engine_takes_its_code() {
    let compiler = compiler(None);
    let handler = r#"(component (instance $i) (export "wasi:http/handler@0.3.0" (instance $i)))"#;
    let handler = ComponentBytes::of(wat::parse_str(handler).unwrap().into());
    let settings = CodeSettings::default();
    let usual = Engine::new(&settings.config()).unwrap();
    let concurrent = Engine::new(&settings.concurrent().config()).unwrap();
    for (component, engine, other) in [
        (component(EMPTY), &usual, &concurrent),
        (handler, &concurrent, &usual),
    ] {
        let code = compiler.compile(&component).done().await.unwrap();
        let digest = component.digest();
        assert!(compiler.map(engine, &digest, &code).is_ok());
        assert!(compiler.map(other, &digest, &code).is_err());
    }
}
