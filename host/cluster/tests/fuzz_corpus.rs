//! The corpus of the fuzzers, in `fuzz/corpus`: it is what the code writes
//! today, and every input of it passes. So an input that once made a target
//! fail is put there, and is tried again with every run of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use cluster::fuzz::{TARGETS, corpus};

fn folder(target: &str) -> PathBuf {
    let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crate_folder.join("../../fuzz/corpus").join(target)
}

/// Seeds are called by name; what a fuzzer found is called `found-…`.
#[test]
fn the_corpus_has_the_messages_that_nodes_write_now() {
    let write = std::env::var_os("CORPUS_WRITE").is_some();
    let mut names = BTreeSet::new();
    for (target, name, bytes) in corpus() {
        let file = folder(target).join(&name);
        if write {
            fs::create_dir_all(folder(target)).expect("a folder");
            fs::write(&file, &bytes).expect("a file");
        }
        let kept = fs::read(&file).unwrap_or_default();
        assert!(
            kept == bytes,
            "{} is not what the code writes; if the format was meant to change, \
             run this test with CORPUS_WRITE=1",
            file.display()
        );
        assert!(!bytes.is_empty(), "{target}/{name}");
        names.insert((target, name));
    }
    for (target, _) in TARGETS {
        for entry in fs::read_dir(folder(target)).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy().into_owned();
            let known = names.contains(&(target, name.clone())) || name.starts_with("found-");
            assert!(known, "{target}/{name} is no input of the corpus any more");
        }
    }
}

#[test]
fn no_input_of_the_corpus_breaks_a_rule() {
    let mut tried = 0;
    for (name, target) in TARGETS {
        for entry in fs::read_dir(folder(name)).expect("a folder") {
            let input = fs::read(entry.expect("an entry").path()).expect("a file");
            target(&input);
            tried += 1;
        }
    }
    assert!(tried > TARGETS.len(), "{tried} inputs");
}

/// The fuzzers are a workspace of their own, with versions of their own.
#[test]
fn the_fuzzers_decode_with_the_same_crates_as_the_nodes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file| fs::read_to_string(root.join(file)).expect(file);
    let (nodes, fuzzers) = (read("Cargo.lock"), read("fuzz/Cargo.lock"));
    for name in ["bytes", "foca", "postcard", "serde"] {
        let version = |lock: &str| {
            let (_, after) = lock.split_once(&format!("name = \"{name}\"\n"))?;
            Some(after.lines().next()?.to_owned())
        };
        assert!(version(&nodes).is_some(), "{name}");
        assert_eq!(
            version(&nodes),
            version(&fuzzers),
            "{name}; cargo update --manifest-path fuzz/Cargo.toml -p {name} --precise VERSION"
        );
    }
}
