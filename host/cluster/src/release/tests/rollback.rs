//! Rollbacks: a person goes back to the release before, or to a named one.

use super::*;
use crate::release::votes::VOTED;

#[test]
fn a_rollback_goes_back_to_the_app_before_and_one_more_goes_further() {
    let mut set = set(2);
    for (turn, name) in ["one", "two", "three"].into_iter().enumerate() {
        pushed(&mut set, name, WALL + turn as u64);
    }
    rolled_back(&mut set, WALL + 10);
    assert_eq!(serves(&set), Some(component("two").digest));
    rolled_back(&mut set, WALL + 20);
    assert_eq!(serves(&set), Some(component("one").digest));
    let wanted = request(What::Rollback(RollbackTo::Previous));
    assert_eq!(
        set.draft(wanted, WALL + 30, None),
        Err(DraftError::NothingBefore)
    );
}

#[test]
fn a_rollback_skips_what_was_voted_down() {
    let mut set = set(2);
    pushed(&mut set, "good", WALL);
    let bad = pushed(&mut set, "bad", WALL + 1);
    set.learn(vec![], vec![vote(&bad, 3, Verdict::Failed)]);
    pushed(&mut set, "new", WALL + 2);
    rolled_back(&mut set, WALL + 3);
    assert_eq!(serves(&set), Some(component("good").digest));
}

#[test]
fn a_rollback_to_a_named_release_takes_it_whatever_was_said_of_it() {
    let mut set = set(2);
    pushed(&mut set, "base", WALL);
    let named = pushed(&mut set, "named", WALL + 1);
    rolled_back(&mut set, WALL + 2);
    let to = |text: &str| {
        request(What::Rollback(RollbackTo::Release(
            text.parse().expect("hex"),
        )))
    };
    release(&mut set, to(&named.id().to_string()), WALL + 3);
    assert_eq!(serves(&set), Some(component("named").digest));
    let unknown = set.draft(to("00000000"), WALL, None);
    assert!(
        matches!(unknown, Err(DraftError::Unknown(_))),
        "{unknown:?}"
    );
    assert!("xyz".parse::<IdPrefix>().is_err());
}

#[test]
fn two_people_who_go_back_at_once_go_back_once() {
    let (mut one, mut other) = (set(2), set(3));
    for (turn, name) in ["one", "two", "three"].into_iter().enumerate() {
        pushed(&mut one, name, WALL + turn as u64);
    }
    tell(&one, &mut other);
    rolled_back(&mut one, WALL + 10);
    rolled_back(&mut other, WALL + 11);
    tell(&one, &mut other);
    tell(&other, &mut one);
    assert_eq!(serves(&one), Some(component("two").digest));
    assert_eq!(serves(&other), Some(component("two").digest));
}

#[test]
fn votes_do_not_bring_back_what_was_rolled_back() {
    let (mut one, mut other) = (set(2), set(3));
    pushed(&mut one, "good", WALL);
    let bad = pushed(&mut one, "bad", WALL + 1);
    tell(&one, &mut other);
    let back = rolled_back(&mut one, WALL + 2);
    // A rollback is not voted on.
    one.learn(vec![], vec![vote(&back, 2, Verdict::Failed)]);
    assert_eq!(serves(&one), Some(component("good").digest));
    // On the other side of a network split, somebody builds on the release that was rolled back
    // here, and that fails.
    let built_on = pushed(&mut other, "built on bad", WALL + 3);
    other.learn(vec![], vec![vote(&built_on, 3, Verdict::Failed)]);
    assert_eq!(
        serves(&other),
        Some(component("bad").digest),
        "it knows no better"
    );
    tell(&one, &mut other);
    tell(&other, &mut one);
    assert_eq!(built_on.parent().map(|parent| parent.id), Some(bad.id()));
    assert_eq!(serves(&one), Some(component("good").digest));
    assert_eq!(serves(&other), Some(component("good").digest));
}

#[test]
fn votes_do_not_bring_back_the_target_of_before_a_rollback() {
    let (mut one, mut other) = (set(2), set(3));
    let oldest = pushed(&mut one, "oldest", WALL);
    pushed(&mut one, "old", WALL + 1);
    let failed = pushed(&mut one, "failed", WALL + 2);
    one.learn(vec![], vec![vote(&failed, 3, Verdict::Failed)]);
    tell(&one, &mut other);
    assert_eq!(serves(&one), Some(component("old").digest));
    // The head was voted down, so this rollback leaves the release before it.
    back_to(&mut one, &oldest, WALL + 3);
    // On the other side of a network split, somebody tries another release, which fails.
    let tried = pushed(&mut other, "tried", WALL + 4);
    other.learn(vec![], vec![vote(&tried, 3, Verdict::Failed)]);
    assert_eq!(
        serves(&other),
        Some(component("old").digest),
        "it knows no better"
    );
    tell(&one, &mut other);
    tell(&other, &mut one);
    for set in [&one, &other] {
        assert_eq!(serves(set), Some(component("oldest").digest));
    }
}

fn back_to(set: &mut ReleaseSet, release: &Release, wall_ms: u64) -> Arc<Release> {
    let id = release.id().to_string().parse().expect("hex");
    let wanted = request(What::Rollback(RollbackTo::Release(id)));
    super::release(set, wanted, wall_ms)
}

/// What happens on one side of a network split while the other side tries a release that fails.
/// The first of these releases is the oldest, the last one has failed.
type Side = fn(&mut ReleaseSet, &[Arc<Release>; 3]);

#[test]
fn what_was_left_on_one_side_of_a_cut_is_not_brought_back_by_votes_on_the_other() {
    let sides: [(&str, Side, &str); 4] = [
        (
            "back twice",
            |set, _| {
                rolled_back(set, WALL + 10);
                rolled_back(set, WALL + 11);
            },
            "oldest",
        ),
        (
            "back to the one before, and to the oldest by name",
            |set, [oldest, old, _]| {
                back_to(set, old, WALL + 10);
                back_to(set, oldest, WALL + 11);
            },
            "oldest",
        ),
        (
            "to the oldest by name",
            |set, [oldest, ..]| drop(back_to(set, oldest, WALL + 10)),
            "oldest",
        ),
        (
            "to the oldest, and to the one before after all",
            |set, [oldest, old, _]| {
                back_to(set, oldest, WALL + 10);
                back_to(set, old, WALL + 11);
            },
            "old",
        ),
    ];
    // What the side that goes back knows: that the last release has failed, or not, or that it
    // bakes.
    for (plan, knows) in [
        (Plan::default(), true),
        (Plan::default(), false),
        (staged(&[3]), false),
    ] {
        for (what, side, ends) in sides {
            let (mut one, mut other) = (set(2), set(3));
            let oldest = pushed(&mut one, "oldest", WALL);
            let old = pushed(&mut one, "old", WALL + 1);
            let failed = release(&mut one, push(component("failed"), plan.clone()), WALL + 2);
            let against = vec![vote(&failed, 3, Verdict::Failed)];
            if knows {
                one.learn(vec![], against.clone());
            }
            tell(&one, &mut other);
            other.learn(vec![], against);
            side(&mut one, &[oldest, old, failed]);
            let tried = pushed(&mut other, "tried", WALL + 20);
            other.learn(vec![], vec![vote(&tried, 3, Verdict::Failed)]);
            tell(&one, &mut other);
            tell(&other, &mut one);
            for set in [&one, &other] {
                assert_eq!(
                    serves(set),
                    Some(component(ends).digest),
                    "{what}, {plan:?}, {knows}"
                );
            }
        }
    }
}

#[test]
fn what_is_built_on_one_that_failed_long_ago_on_the_other_side_does_not_bring_it_back() {
    for holds in [false, true] {
        let (mut one, mut other) = (set(2), set(3));
        pushed(&mut one, "good", WALL);
        let bad = pushed(&mut one, "bad", WALL + 1);
        tell(&one, &mut other);
        one.learn(vec![], vec![vote(&bad, 2, Verdict::Failed)]);
        for round in 0..VOTED as u64 {
            let next = pushed(&mut one, &format!("{round}"), WALL + 2 + round);
            one.learn(vec![], vec![vote(&next, 2, Verdict::Failed)]);
        }
        let built_on = pushed(&mut other, "built on bad", WALL + 100);
        let verdict = if holds { Verdict::Ok } else { Verdict::Failed };
        other.learn(vec![], vec![vote(&built_on, 3, verdict)]);
        tell(&other, &mut one);
        assert_eq!(one.votes().of(&bad.id()).count(), 0, "forgotten");
        if holds {
            assert_eq!(serves(&one), Some(component("built on bad").digest));
            rolled_back(&mut one, WALL + 200);
        }
        assert_eq!(serves(&one), Some(component("good").digest));
    }
}

#[test]
fn going_back_to_the_target_does_not_leave_it() {
    let mut set = set(2);
    pushed(&mut set, "oldest", WALL);
    let old = pushed(&mut set, "old", WALL + 1);
    release(&mut set, push(component("baking"), staged(&[3])), WALL + 2);
    let back = rolled_back(&mut set, WALL + 3);
    assert_eq!(serves(&set), Some(component("old").digest));
    assert!(back.leaves().all(|left| left.id != old.id()));
    rolled_back(&mut set, WALL + 4);
    assert_eq!(serves(&set), Some(component("oldest").digest));
}

#[test]
fn what_was_rolled_back_is_not_served_while_its_record_is_missing() {
    let (mut one, mut other) = (set(2), set(3));
    pushed(&mut one, "good", WALL);
    pushed(&mut one, "bad", WALL + 1);
    tell(&one, &mut other);
    let back = rolled_back(&mut one, WALL + 2);
    let built_on = pushed(&mut other, "built on bad", WALL + 3);
    let failed = vec![vote(&built_on, 3, Verdict::Failed)];
    let mut fresh = set(4);
    fresh.learn(vec![back, built_on], failed);
    assert_eq!(serves(&fresh), Some(component("good").digest));
}

#[test]
fn a_rollback_goes_to_the_same_app_whichever_node_it_is_asked_of() {
    for verdict in [None, Some(Verdict::Failed)] {
        let mut plain = set(2);
        pushed(&mut plain, "oldest", WALL);
        pushed(&mut plain, "old", WALL + 1);
        let new = release(&mut plain, push(component("new"), staged(&[3])), WALL + 2);
        let votes = verdict.map(|verdict| vote(&new, 3, verdict));
        plain.learn(vec![], votes.into_iter().collect());
        let mut canary = set(3);
        tell(&plain, &mut canary);
        rolled_back(&mut plain, WALL + 3);
        rolled_back(&mut canary, WALL + 3);
        assert_eq!(serves(&plain), Some(component("old").digest));
        assert_eq!(serves(&canary), Some(component("old").digest));
    }
}

#[test]
fn a_rollback_does_not_go_back_to_where_votes_are_forgotten() {
    let mut set = set(2);
    pushed(&mut set, "good", WALL);
    let bad = pushed(&mut set, "bad", WALL + 1);
    set.learn(vec![], vec![vote(&bad, 3, Verdict::Failed)]);
    // The same two in turns, so that only the forgotten releases differ.
    for turn in 0..VOTED as u64 {
        let name = if turn % 2 == 0 { "one" } else { "two" };
        pushed(&mut set, name, WALL + 2 + turn);
    }
    rolled_back(&mut set, WALL + 100);
    let wanted = request(What::Rollback(RollbackTo::Previous));
    let refused = set.draft(wanted, WALL + 101, None);
    assert_eq!(refused, Err(DraftError::NothingBefore));
}
