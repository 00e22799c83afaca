//! App files: first starts, changes, stale files and synced folders.

use super::*;

fn look(set: &mut ReleaseSet, name: &str, wall_ms: u64) -> Option<Arc<Release>> {
    set.file(file(name), wall_ms, None)
}

#[test]
fn the_first_start_is_a_bootstrap_and_the_earliest_one_wins() {
    let (mut one, mut other) = (set(2), set(3));
    let early = look(&mut one, "early", WALL).expect("a release");
    let late = look(&mut other, "late", WALL + 1000).expect("a release");
    assert_eq!(
        (early.kind(), late.kind()),
        (ReleaseKind::Bootstrap, ReleaseKind::Bootstrap)
    );
    tell(&one, &mut other);
    tell(&other, &mut one);
    assert_eq!(serves(&one), Some(component("early").digest));
    assert_eq!(serves(&other), Some(component("early").digest));
}

#[test]
fn a_bootstrap_never_wins_against_a_decision() {
    let (mut one, mut other) = (set(2), set(3));
    pushed(&mut one, "decided", WALL);
    look(&mut other, "bootstrap", WALL - 1000);
    tell(&one, &mut other);
    assert_eq!(serves(&other), Some(component("decided").digest));
    look(&mut other, "changed", WALL + 1000);
    assert_eq!(
        serves(&other),
        Some(component("changed").digest),
        "but a change does"
    );
}

#[test]
fn the_same_file_on_three_nodes_is_one_release_at_the_start_and_when_it_changes() {
    let mut books: Vec<ReleaseSet> = (2..5).map(set).collect();
    let mut ids = Vec::new();
    for (turn, name) in ["one", "two", "three"].into_iter().enumerate() {
        let time = WALL + turn as u64 * 1000;
        // No node has heard of the others' releases yet.
        let made: Vec<_> = books
            .iter_mut()
            .filter_map(|it| look(it, name, time))
            .collect();
        assert_eq!(made.len(), 3);
        assert!(made.iter().all(|release| release.id() == made[0].id()));
        ids.push(made[0].id());
        for from in 0..3 {
            for to in 0..3 {
                let records = books[from].history().newest().cloned().collect();
                books[to].learn(records, Vec::new());
            }
        }
    }
    for set in &books {
        assert_eq!(set.history().len(), 3);
        assert_eq!(set.target().map(|target| target.id), ids.last().copied());
    }
}

#[test]
fn a_file_that_did_not_change_releases_nothing_whatever_was_released_since() {
    let mut set = set(2);
    look(&mut set, "mine", WALL);
    pushed(&mut set, "other", WALL + 1);
    let mut set = ReleaseSet::load(node(2), None, &set.store().expect("bytes")).expect("loaded");
    assert_eq!(look(&mut set, "mine", WALL + 2), None);
    assert_eq!(serves(&set), Some(component("other").digest));
}

#[test]
fn a_lagging_watcher_does_not_undo_a_rollback() {
    let (mut one, mut lagging) = (set(2), set(3));
    look(&mut one, "old", WALL);
    look(&mut lagging, "old", WALL);
    tell(&one, &mut lagging);
    tell(&lagging, &mut one);
    look(&mut one, "bad", WALL + 10);
    rolled_back(&mut one, WALL + 20);
    // The node has heard all of it, and only now looks at its synced file.
    tell(&one, &mut lagging);
    assert_eq!(look(&mut lagging, "bad", WALL + 30), None);
    assert_eq!(serves(&lagging), Some(component("old").digest));
    // If a file is changed back and then to the same content again, somebody has changed it.
    look(&mut lagging, "old", WALL + 40);
    look(&mut lagging, "bad", WALL + 50);
    assert_eq!(serves(&lagging), Some(component("bad").digest));
}

#[test]
fn a_watcher_that_was_cut_off_does_not_undo_a_rollback_either() {
    let (mut one, mut cut_off) = (set(2), set(3));
    look(&mut one, "old", WALL);
    look(&mut cut_off, "old", WALL);
    tell(&one, &mut cut_off);
    tell(&cut_off, &mut one);
    look(&mut one, "bad", WALL + 10);
    rolled_back(&mut one, WALL + 20);
    assert!(look(&mut cut_off, "bad", WALL + 30).is_some());
    tell(&one, &mut cut_off);
    tell(&cut_off, &mut one);
    assert_eq!(serves(&one), Some(component("old").digest));
    assert_eq!(serves(&cut_off), Some(component("old").digest));
}

#[test]
fn a_changed_file_waits_while_the_clock_is_ahead() {
    let mut set = set(2);
    look(&mut set, "old", WALL);
    news(&mut set);
    assert_eq!(set.file(file("new"), WALL + 9000, Some(9000)), None);
    let refused = News::File {
        file: file("new"),
        outcome: Err(DraftError::ClockAhead(9000)),
    };
    assert_eq!(news(&mut set), [refused]);
    assert!(set.file(file("new"), WALL, Some(3)).is_some());
}

#[test]
fn marks_are_bounded() {
    let mut set = set(2);
    for path in 0..100u8 {
        let path = PathId::of(&[path]);
        set.file(
            AppFile {
                path,
                component: component("x"),
            },
            WALL,
            None,
        );
        assert!(set.marks().is_bounded());
    }
}
