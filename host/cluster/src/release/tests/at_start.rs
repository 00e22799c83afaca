//! What a node knows of releases before it has heard anybody.

use super::*;

fn start(set: &ReleaseSet, file: Option<AppFile>) -> AtStart {
    at_start(&node(2), None, set.store().as_deref(), file)
}

#[test]
fn the_target_at_the_end_is_the_target_at_the_start() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let new = pushed(&mut set, "new", WALL + 1);
    assert_eq!(start(&set, None).target, set.target());
    set.learn(vec![], vec![vote(&new, 3, Verdict::Failed)]);
    let known = start(&set, None).target.expect("a release");
    assert_eq!(known.digest, component("old").digest);
    assert_eq!(
        known.release.expect("its record").component(),
        component("old")
    );
}

#[test]
fn what_served_before_the_target_is_known_at_the_start() {
    let mut set = set(2);
    for (number, name) in ["first", "second", "third"].into_iter().enumerate() {
        pushed(&mut set, name, WALL + number as u64);
    }
    let before = start(&set, None).before;
    let before: Vec<_> = before.into_iter().map(|it| it.digest).collect();
    let digests = ["second", "first"].map(|name| component(name).digest);
    assert_eq!(before, digests);
}

#[test]
fn a_file_is_news_exactly_if_the_running_node_releases_it() {
    let mut set = set(2);
    let look = |set: &mut ReleaseSet, name: &str| {
        let said = start(set, Some(file(name))).file;
        set.see(&file(name));
        let made = set.file(file(name), WALL, None);
        assert_eq!(said, made.map(|release| release.kind()), "{name}");
        said
    };
    assert_eq!(look(&mut set, "first"), Some(ReleaseKind::Bootstrap));
    assert_eq!(look(&mut set, "first"), None);
    assert_eq!(look(&mut set, "changed"), Some(ReleaseKind::Push));
    pushed(&mut set, "of another", WALL + 1);
    assert_eq!(look(&mut set, "changed"), None, "it is stale");
    assert_eq!(look(&mut set, "of another"), None, "it was released");
}

#[test]
fn a_file_that_was_never_seen_is_no_news_where_releases_are_known() {
    let mut set = set(2);
    let first = Some(file("new"));
    assert_eq!(start(&set, first).file, Some(ReleaseKind::Bootstrap));
    pushed(&mut set, "of another", WALL);
    assert_eq!(start(&set, first).file, None);
}

#[test]
fn a_file_is_no_news_where_releases_must_be_signed() {
    let (key, _) = deploy_key(1);
    let said = at_start(&node(2), Some(key), None, Some(file("new")));
    assert_eq!((said.target, said.file), (None, None));
}

#[test]
fn what_is_damaged_counts_for_nothing() {
    let said = at_start(&node(2), None, Some(b"garbage"), Some(file("new")));
    assert_eq!(
        (said.target, said.file),
        (None, Some(ReleaseKind::Bootstrap))
    );
}

#[test]
fn a_history_without_signatures_is_left_with_a_word_once_a_deploy_key_is_set() {
    let (key, sign) = deploy_key(1);
    let mut set = set(2);
    pushed(&mut set, "unsigned", WALL);
    // A node with the key makes drafts for the key's cluster.
    let mut keyed = ReleaseSet::new(node(3), Some(key.clone()));
    tell(&set, &mut keyed);
    let draft = keyed.draft(push(component("signed"), Plan::default()), WALL + 1, None);
    set.learn(vec![sign(&draft.expect("a draft"))], Vec::new());
    let stored = set.store().expect("bytes");
    let mut set = ReleaseSet::load(node(2), Some(key.clone()), &stored).expect("loaded");
    assert_eq!(serves(&set), Some(component("signed").digest));
    let forgotten = News::Forgotten {
        unsigned: 1,
        kept: 1,
    };
    assert_eq!(news(&mut set)[0], forgotten);
    let stored = set.store().expect("bytes");
    let mut set = ReleaseSet::load(node(2), Some(key.clone()), &stored).expect("loaded");
    let told = news(&mut set);
    assert!(!told.iter().any(|it| matches!(it, News::Forgotten { .. })));
}
