//! What a node knows before others have told it anything.

use super::*;
use crate::release::PathId;

fn file(name: &str) -> AppFile {
    AppFile {
        path: PathId::of(b"/srv/app.wasm"),
        app: app(name),
    }
}

fn start(stored: Option<&[u8]>, name: &str) -> (Option<Digest>, bool) {
    let known = at_start(stored, &node(2), None, Some(&file(name)));
    (known.in_force.map(|(_, digest)| digest), known.file_is_news)
}

#[test]
fn a_node_that_never_ran_takes_its_file_for_news() {
    assert_eq!(start(None, "one"), (None, true));
    assert_eq!(start(Some(b"damaged"), "one"), (None, true));
    assert!(!at_start(None, &node(2), None, None).file_is_news);
}

#[test]
fn a_file_is_news_only_if_it_changed_since_it_was_seen() {
    let mut book = book(2);
    book.file(file("one"), WALL, None).expect("a bootstrap");
    pushed(&mut book, "two", WALL + 1);
    let stored = book.store().expect("bytes");
    let two = Some(app("two").digest);
    assert_eq!(start(Some(&stored), "one"), (two, false), "as it was");
    assert_eq!(start(Some(&stored), "two"), (two, false), "released since");
    assert_eq!(start(Some(&stored), "three"), (two, true));
    let elsewhere = AppFile {
        path: PathId::of(b"/elsewhere"),
        ..file("three")
    };
    let known = at_start(Some(&stored), &node(2), None, Some(&elsewhere));
    assert!(!known.file_is_news, "never seen there, and others decided");
}
