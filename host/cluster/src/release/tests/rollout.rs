//! Votes: nodes leave a release that fails, and canaries go first.

use super::*;
use crate::release::votes::VOTED;

/// What nodes 2 to 5 serve, by what this set knows.
fn everywhere(set: &ReleaseSet) -> Vec<crate::Digest> {
    let serves =
        |last| super::super::target::target(set.history(), set.votes(), Some(node(last).id()));
    (2..6)
        .filter_map(|last| serves(last).map(|target| target.digest))
        .collect()
}

fn digests(names: [&str; 4]) -> Vec<crate::Digest> {
    names.map(|name| component(name).digest).to_vec()
}

#[test]
fn a_release_is_left_while_more_nodes_vote_against_it_than_for_it() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let new = pushed(&mut set, "new", WALL + 1);
    news(&mut set);
    assert_eq!(everywhere(&set), digests(["new"; 4]));
    set.learn(vec![], vec![vote(&new, 3, Verdict::Failed)]);
    assert_eq!(everywhere(&set), digests(["old"; 4]));
    let told = news(&mut set);
    let down = News::VoteState {
        release: new.clone(),
        state: VoteState::VotedDown,
        against: vec![node(3).id()],
        failed: 1,
        ok: 0,
    };
    assert!(told.contains(&down), "{told:?}");
    let both = vec![vote(&new, 4, Verdict::Ok), vote(&new, 5, Verdict::Ok)];
    set.learn(vec![], both);
    assert_eq!(everywhere(&set), digests(["new"; 4]), "more are for it");
}

#[test]
fn a_release_that_is_left_falls_back_past_others_that_were_left() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let one = pushed(&mut set, "one", WALL + 1);
    let two = pushed(&mut set, "two", WALL + 2);
    set.learn(vec![], vec![vote(&two, 3, Verdict::Failed)]);
    assert_eq!(serves(&set), Some(component("one").digest));
    set.learn(vec![], vec![vote(&one, 3, Verdict::Failed)]);
    assert_eq!(serves(&set), Some(component("old").digest));
}

#[test]
fn the_first_release_stays_whatever_the_votes_since_there_is_nothing_before_it() {
    let mut set = set(2);
    let first = pushed(&mut set, "first", WALL);
    set.learn(vec![], vec![vote(&first, 3, Verdict::Failed)]);
    assert_eq!(serves(&set), Some(component("first").digest));
}

#[test]
fn canaries_serve_first_and_all_of_them_must_be_for_it() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let new = release(&mut set, push(component("new"), staged(&[3, 4])), WALL + 1);
    let baking = digests(["old", "new", "new", "old"]);
    assert_eq!(everywhere(&set), baking);
    set.learn(vec![], vec![vote(&new, 3, Verdict::Ok)]);
    assert_eq!(everywhere(&set), baking, "silence decides nothing");
    set.learn(vec![], vec![vote(&new, 5, Verdict::Ok)]);
    assert_eq!(everywhere(&set), baking, "it is not for others to say");
    set.learn(vec![], vec![vote(&new, 4, Verdict::Ok)]);
    assert_eq!(everywhere(&set), digests(["new"; 4]));
}

#[test]
fn one_canary_that_fails_leaves_the_parent_everywhere() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let new = release(&mut set, push(component("new"), staged(&[3, 4])), WALL + 1);
    let votes = vec![vote(&new, 3, Verdict::Ok), vote(&new, 4, Verdict::Failed)];
    set.learn(vec![], votes);
    assert_eq!(everywhere(&set), digests(["old"; 4]));
    let more = (5..9).map(|last| vote(&new, last, Verdict::Ok)).collect();
    set.learn(vec![], more);
    assert_eq!(everywhere(&set), digests(["old"; 4]));
}

#[test]
fn a_newer_release_wins_over_one_that_bakes_or_was_left() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let baking = release(&mut set, push(component("baking"), staged(&[3])), WALL + 1);
    pushed(&mut set, "newer", WALL + 2);
    assert_eq!(everywhere(&set), digests(["newer"; 4]));
    set.learn(vec![], vec![vote(&baking, 3, Verdict::Failed)]);
    assert_eq!(everywhere(&set), digests(["newer"; 4]));
}

#[test]
fn a_node_may_vote_against_what_it_voted_for_and_of_two_votes_the_worse_one_counts() {
    let mut set = set(3);
    pushed(&mut set, "old", WALL);
    let new = pushed(&mut set, "new", WALL + 1);
    assert!(set.vote(new.id(), Verdict::Ok).is_some());
    assert!(set.vote(new.id(), Verdict::Ok).is_none());
    // It has killed the node since.
    assert!(set.vote(new.id(), Verdict::Failed).is_some());
    assert!(set.vote(new.id(), Verdict::Failed).is_none());
    assert!(set.vote(new.id(), Verdict::Ok).is_none());
    // The node's data was wiped, and it voted again.
    set.learn(vec![], vec![vote(&new, 3, Verdict::Ok)]);
    assert_eq!(
        set.votes().by(&new.id(), node(3).id()),
        Some(Verdict::Failed)
    );
}

#[test]
fn votes_on_what_is_unknown_or_long_gone_are_not_kept() {
    let mut set = set(2);
    let first = pushed(&mut set, "first", WALL);
    let unknown = pushed(&mut super::set(9), "unknown", WALL);
    let learnt = set.learn(vec![], vec![vote(&unknown, 3, Verdict::Failed)]);
    assert!(learnt.votes.is_empty());
    set.learn(vec![], vec![vote(&first, 3, Verdict::Ok)]);
    for step in 0..VOTED as u64 {
        pushed(&mut set, &format!("{step}"), WALL + 1 + step);
    }
    assert_eq!(set.votes().iter().count(), 0);
}

#[test]
fn a_staged_release_that_was_accepted_stays_so_when_its_votes_are_forgotten() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let staged = release(&mut set, push(component("staged"), staged(&[3])), WALL + 1);
    set.learn(vec![], vec![vote(&staged, 3, Verdict::Ok)]);
    for step in 0..VOTED as u64 {
        let one = pushed(&mut set, &format!("{step}"), WALL + 2 + step);
        set.learn(vec![], vec![vote(&one, 3, Verdict::Failed)]);
    }
    // Each of them was left, so the target goes all the way back.
    assert_eq!(everywhere(&set), digests(["staged"; 4]));
}

/// Pushes `count` releases that are all voted down, one after the other.
fn failures(set: &mut ReleaseSet, count: u64) {
    for round in 1..=count {
        let bad = pushed(set, &format!("bad {round}"), WALL + round);
        set.learn(vec![], vec![vote(&bad, 3, Verdict::Failed)]);
        assert_eq!(everywhere(set), digests(["good"; 4]), "round {round}");
    }
}

#[test]
fn forty_releases_in_a_row_that_are_voted_down_all_lead_back_to_the_good_one() {
    let mut set = set(2);
    pushed(&mut set, "good", WALL);
    failures(&mut set, 40);
    // A node that joins now, and one that starts again.
    let mut joins = super::set(6);
    tell(&set, &mut joins);
    assert_eq!(serves(&joins), Some(component("good").digest));
    let stored = set.store().expect("it can be written");
    let loaded = ReleaseSet::load(node(2), None, &stored).expect("it can be read");
    assert_eq!(everywhere(&loaded), digests(["good"; 4]));
}

#[test]
fn a_rollback_finds_the_good_release_behind_forty_that_were_voted_down() {
    let mut set = set(2);
    pushed(&mut set, "good", WALL);
    failures(&mut set, 40);
    pushed(&mut set, "new", WALL + 100);
    rolled_back(&mut set, WALL + 101);
    assert_eq!(everywhere(&set), digests(["good"; 4]));
}

#[test]
fn what_is_pushed_while_another_bakes_leads_back_to_what_all_nodes_serve() {
    // Decided on a canary, which serves the release that bakes.
    let mut set = set(3);
    pushed(&mut set, "old", WALL);
    release(&mut set, push(component("baking"), staged(&[3])), WALL + 1);
    let newer = pushed(&mut set, "newer", WALL + 2);
    set.learn(vec![], vec![vote(&newer, 4, Verdict::Failed)]);
    assert_eq!(everywhere(&set), digests(["old"; 4]));
}
