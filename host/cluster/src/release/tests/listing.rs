//! The history as people see it.

use super::*;

fn shown(set: &ReleaseSet) -> Vec<(Digest, ReleaseStatus)> {
    let target = set.target();
    listing(set.history(), set.votes(), target.as_ref())
        .into_iter()
        .map(|listed| (listed.release.component().digest, listed.status))
        .collect()
}

fn digest(name: &str) -> Digest {
    component(name).digest
}

#[test]
fn each_release_is_listed_with_what_has_become_of_it() {
    let (mut one, mut other) = (set(2), set(3));
    pushed(&mut one, "first", WALL);
    tell(&one, &mut other);
    pushed(&mut one, "lost", WALL + 1);
    pushed(&mut other, "won", WALL + 2);
    tell(&other, &mut one);
    let bad = pushed(&mut one, "bad", WALL + 3);
    one.learn(vec![], vec![vote(&bad, 3, Verdict::Failed)]);
    assert_eq!(
        shown(&one),
        [
            (digest("bad"), ReleaseStatus::VotedDown),
            (digest("won"), ReleaseStatus::Target),
            (digest("lost"), ReleaseStatus::Superseded),
            (digest("first"), ReleaseStatus::Earlier),
        ]
    );
    rolled_back(&mut one, WALL + 4);
    let listed = shown(&one);
    assert_eq!(listed[0], (digest("won"), ReleaseStatus::Target));
    assert_eq!(listed[1], (digest("bad"), ReleaseStatus::RolledBack));
}

#[test]
fn a_staged_release_bakes_on_its_canaries_and_elsewhere() {
    let mut canary = set(2);
    pushed(&mut canary, "base", WALL);
    release(&mut canary, push(component("next"), staged(&[2])), WALL + 1);
    let mut other = set(3);
    tell(&canary, &mut other);
    for set in [&canary, &other] {
        assert_eq!(shown(set)[0], (digest("next"), ReleaseStatus::Baking));
    }
    assert_eq!(serves(&canary), Some(digest("next")));
    assert_eq!(shown(&other)[1], (digest("base"), ReleaseStatus::Target));
}
