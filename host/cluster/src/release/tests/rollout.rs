//! Votes: a release that fails is left, and canaries go first.

use super::*;
use crate::release::votes::VOTED;

/// What the nodes 2 to 5 serve, by what this book knows.
fn everywhere(book: &Book) -> Vec<crate::Digest> {
    let serves = |last| super::super::force::in_force(book.history(), book.votes(), ip(last));
    (2..6)
        .filter_map(|last| serves(last).map(|force| force.digest))
        .collect()
}

fn digests(names: [&str; 4]) -> Vec<crate::Digest> {
    names.map(|name| app(name).digest).to_vec()
}

#[test]
fn a_release_is_left_while_more_nodes_vote_against_it_than_for_it() {
    let mut book = book(2);
    pushed(&mut book, "old", WALL);
    let new = pushed(&mut book, "new", WALL + 1);
    news(&mut book);
    assert_eq!(everywhere(&book), digests(["new"; 4]));
    book.learn(vec![], vec![vote(&new, 3, Verdict::Failed)]);
    assert_eq!(everywhere(&book), digests(["old"; 4]));
    let told = news(&mut book);
    let down = News::Standing {
        release: new.clone(),
        standing: Standing::VotedDown,
        against: vec![ip(3)],
        failed: 1,
        ok: 0,
    };
    assert!(told.contains(&down), "{told:?}");
    let both = vec![vote(&new, 4, Verdict::Ok), vote(&new, 5, Verdict::Ok)];
    book.learn(vec![], both);
    assert_eq!(everywhere(&book), digests(["new"; 4]), "more are for it");
}

#[test]
fn a_release_that_is_left_falls_back_past_others_that_were_left() {
    let mut book = book(2);
    pushed(&mut book, "old", WALL);
    let one = pushed(&mut book, "one", WALL + 1);
    let two = pushed(&mut book, "two", WALL + 2);
    book.learn(vec![], vec![vote(&two, 3, Verdict::Failed)]);
    assert_eq!(serves(&book), Some(app("one").digest));
    book.learn(vec![], vec![vote(&one, 3, Verdict::Failed)]);
    assert_eq!(serves(&book), Some(app("old").digest));
}

#[test]
fn the_first_release_stays_whatever_the_votes_since_there_is_nothing_before_it() {
    let mut book = book(2);
    let first = pushed(&mut book, "first", WALL);
    book.learn(vec![], vec![vote(&first, 3, Verdict::Failed)]);
    assert_eq!(serves(&book), Some(app("first").digest));
}

#[test]
fn canaries_serve_first_and_all_of_them_must_be_for_it() {
    let mut book = book(2);
    pushed(&mut book, "old", WALL);
    let new = release(&mut book, push(app("new"), staged(&[3, 4])), WALL + 1);
    let baking = digests(["old", "new", "new", "old"]);
    assert_eq!(everywhere(&book), baking);
    book.learn(vec![], vec![vote(&new, 3, Verdict::Ok)]);
    assert_eq!(everywhere(&book), baking, "silence decides nothing");
    book.learn(vec![], vec![vote(&new, 5, Verdict::Ok)]);
    assert_eq!(everywhere(&book), baking, "it is not for others to say");
    book.learn(vec![], vec![vote(&new, 4, Verdict::Ok)]);
    assert_eq!(everywhere(&book), digests(["new"; 4]));
}

#[test]
fn one_canary_that_fails_leaves_the_parent_everywhere() {
    let mut book = book(2);
    pushed(&mut book, "old", WALL);
    let new = release(&mut book, push(app("new"), staged(&[3, 4])), WALL + 1);
    let votes = vec![vote(&new, 3, Verdict::Ok), vote(&new, 4, Verdict::Failed)];
    book.learn(vec![], votes);
    assert_eq!(everywhere(&book), digests(["old"; 4]));
    let more = (5..9).map(|last| vote(&new, last, Verdict::Ok)).collect();
    book.learn(vec![], more);
    assert_eq!(everywhere(&book), digests(["old"; 4]));
}

#[test]
fn a_newer_release_wins_over_one_that_bakes_or_was_left() {
    let mut book = book(2);
    pushed(&mut book, "old", WALL);
    let baking = release(&mut book, push(app("baking"), staged(&[3])), WALL + 1);
    pushed(&mut book, "newer", WALL + 2);
    assert_eq!(everywhere(&book), digests(["newer"; 4]));
    book.learn(vec![], vec![vote(&baking, 3, Verdict::Failed)]);
    assert_eq!(everywhere(&book), digests(["newer"; 4]));
}

#[test]
fn a_node_votes_once_and_of_two_votes_the_worse_one_counts() {
    let mut book = book(3);
    pushed(&mut book, "old", WALL);
    let new = pushed(&mut book, "new", WALL + 1);
    assert!(book.vote(new.key(), Verdict::Ok).is_some());
    assert!(book.vote(new.key(), Verdict::Failed).is_none());
    // Its data was wiped, and it voted again.
    book.learn(vec![], vec![vote(&new, 3, Verdict::Failed)]);
    book.learn(vec![], vec![vote(&new, 3, Verdict::Ok)]);
    assert_eq!(book.votes().by(&new.key(), ip(3)), Some(Verdict::Failed));
}

#[test]
fn votes_on_what_is_unknown_or_long_gone_are_not_kept() {
    let mut book = book(2);
    let first = pushed(&mut book, "first", WALL);
    let unknown = pushed(&mut super::book(9), "unknown", WALL);
    let learnt = book.learn(vec![], vec![vote(&unknown, 3, Verdict::Failed)]);
    assert!(learnt.votes.is_empty());
    book.learn(vec![], vec![vote(&first, 3, Verdict::Ok)]);
    for step in 0..VOTED as u64 {
        pushed(&mut book, &format!("{step}"), WALL + 1 + step);
    }
    assert_eq!(book.votes().iter().count(), 0);
}

#[test]
fn a_staged_release_that_was_accepted_stays_so_when_its_votes_are_forgotten() {
    let mut book = book(2);
    pushed(&mut book, "old", WALL);
    let staged = release(&mut book, push(app("staged"), staged(&[3])), WALL + 1);
    book.learn(vec![], vec![vote(&staged, 3, Verdict::Ok)]);
    for step in 0..VOTED as u64 {
        let one = pushed(&mut book, &format!("{step}"), WALL + 2 + step);
        book.learn(vec![], vec![vote(&one, 3, Verdict::Failed)]);
    }
    // Each of them was left, so it goes all the way back.
    assert_eq!(everywhere(&book), digests(["staged"; 4]));
}

/// Pushes so many that are all voted down, a while later each.
fn failures(book: &mut Book, count: u64) {
    for round in 1..=count {
        let bad = pushed(book, &format!("bad {round}"), WALL + round);
        book.learn(vec![], vec![vote(&bad, 3, Verdict::Failed)]);
        assert_eq!(everywhere(book), digests(["good"; 4]), "round {round}");
    }
}

#[test]
fn forty_releases_in_a_row_that_are_voted_down_all_lead_back_to_the_good_one() {
    let mut book = book(2);
    pushed(&mut book, "good", WALL);
    failures(&mut book, 40);
    // One that joins now, and one that starts again.
    let mut joins = super::book(6);
    tell(&book, &mut joins);
    assert_eq!(serves(&joins), Some(app("good").digest));
    let stored = book.store().expect("it can be written");
    let loaded = Book::load(node(2), None, &stored).expect("it can be read");
    assert_eq!(everywhere(&loaded), digests(["good"; 4]));
}

#[test]
fn a_rollback_finds_the_good_release_behind_forty_that_were_voted_down() {
    let mut book = book(2);
    pushed(&mut book, "good", WALL);
    failures(&mut book, 40);
    pushed(&mut book, "new", WALL + 100);
    rolled_back(&mut book, WALL + 101);
    assert_eq!(everywhere(&book), digests(["good"; 4]));
}

#[test]
fn what_is_pushed_while_another_bakes_leads_back_to_what_all_nodes_serve() {
    // Decided on a canary, which serves what bakes.
    let mut book = book(3);
    pushed(&mut book, "old", WALL);
    release(&mut book, push(app("baking"), staged(&[3])), WALL + 1);
    let newer = pushed(&mut book, "newer", WALL + 2);
    book.learn(vec![], vec![vote(&newer, 4, Verdict::Failed)]);
    assert_eq!(everywhere(&book), digests(["old"; 4]));
}
