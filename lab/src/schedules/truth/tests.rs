//! Each sentence of a command, true and untrue.

use super::*;
use crate::schedules::facts::tests::log;
use std::collections::BTreeMap;

const OWN: &str = "aaaaaaaaaa00";
const WINNER: &str = "bbbbbbbbbb00";

fn release(id: &str, digest: &str, at_ms: u64) -> Release {
    Release {
        id: id.to_owned(),
        kind: "push".to_owned(),
        status: "target".to_owned(),
        digest: digest.to_owned(),
        at_ms,
        node: "example@10.10.10.2".to_owned(),
        by: "ann".to_owned(),
        note: "one".to_owned(),
        parent: Some("base".to_owned()),
    }
}

/// The halves are apart from 1 s to 9 s. 2 and 3 serve the own release from 2 s
/// on, and 2 lists the other half until 5 s. At 9.1 s all serve the winner.
struct World {
    began: Instant,
    facts: Facts,
    own: Release,
    winner: Release,
    pauses: Pauses,
}

fn world() -> World {
    let began = Instant::now();
    let own = "new target: push release=aaaaaaaaaa digest=\"own0\"";
    let serves_own = "the app changed release=aaaaaaaaaa digest=\"own0\"";
    let winner = "new target: push release=bbbbbbbbbb digest=\"win0\"";
    let serves_winner = "the app changed release=bbbbbbbbbb digest=\"win0\"";
    let here = [
        (1_900, own),
        (2_000, serves_own),
        (5_000, "member down member=example@10.10.10.4 reason=x"),
        (5_000, "member down member=example@10.10.10.5 reason=x"),
        (9_100, winner),
        (9_100, serves_winner),
    ];
    let there = [(2_000, winner), (2_000, serves_winner)];
    let nodes = BTreeMap::from([
        (2, log(began, &here)),
        (3, log(began, &here)),
        (4, log(began, &there)),
        (5, log(began, &there)),
    ]);
    let at = |ms| began + Duration::from_millis(ms);
    World {
        began,
        facts: Facts::new((at(1_000), at(9_000)), nodes),
        own: release(OWN, "own000", 1),
        winner: release(WINNER, "win000", 2),
        pauses: Pauses::default(),
    }
}

impl World {
    fn said(&self, (exit, ended_ms): (i32, u64), nodes: &[(u8, &str)], last: &str) -> Said {
        Said {
            on: 2,
            timeout: Duration::from_secs(1),
            exit: Some(exit),
            ended: self.began + Duration::from_millis(ended_ms),
            released: self.began + Duration::from_millis(1_900),
            id: "aaaaaaaaaa".to_owned(),
            nodes: nodes
                .iter()
                .map(|(node, state)| (*node, (*state).to_owned()))
                .collect(),
            last: last.to_owned(),
        }
    }

    fn is_true(&self, said: &Said) -> bool {
        let two = Two {
            own: &self.own,
            winner: &self.winner,
        };
        check(said, two, &self.facts, &self.pauses).is_ok()
    }
}

const HALF: [(u8, &str); 2] = [(2, "serving"), (3, "serving")];

#[test]
fn a_push_may_be_done_in_its_half_once_the_others_are_no_members() {
    let world = world();
    let done = "done: 2 nodes serve it";
    assert!(world.is_true(&world.said((0, 5_100), &HALF, done)));
    // They still are, as far as its node knows.
    assert!(!world.is_true(&world.said((0, 4_000), &HALF, done)));
    // It may say who is gone, if that is so.
    let gone = |who: &str| {
        format!("done: 2 nodes serve it; gone before that: {who}; a node that comes back gets it")
    };
    let both = gone("example@10.10.10.4, example@10.10.10.5");
    assert!(world.is_true(&world.said((0, 5_100), &HALF, &both)));
    assert!(!world.is_true(&world.said((0, 4_000), &HALF, &both)));
    assert!(!world.is_true(&world.said((0, 5_100), &HALF, &gone("example@10.10.10.3"))));
    // Another count, another status.
    assert!(!world.is_true(&world.said((0, 5_100), &HALF, "done: 4 nodes serve it")));
    assert!(!world.is_true(&world.said((3, 5_100), &HALF, done)));
    // Somebody who never served it.
    let three = [(2, "serving"), (3, "serving"), (4, "serving")];
    assert!(!world.is_true(&world.said((0, 5_100), &three, "done: 3 nodes serve it")));
    // One that was not done yet.
    let busy = [(2, "serving"), (3, "compiling")];
    assert!(!world.is_true(&world.said((0, 5_100), &busy, done)));
    // It lost long ago, and its node knows.
    assert!(!world.is_true(&world.said((0, 11_000), &HALF, done)));
}

#[test]
fn a_push_is_superseded_by_the_target_and_by_nothing_else() {
    let world = world();
    let by = "superseded: the target is release bbbbbbbbbb (ann, one)";
    assert!(world.is_true(&world.said((4, 9_200), &HALF, by)));
    // Before anybody knew.
    assert!(!world.is_true(&world.said((4, 8_000), &HALF, by)));
    let other = "superseded: the target is release aaaaaaaaaa (ann, one)";
    assert!(!world.is_true(&world.said((4, 9_200), &HALF, other)));
    let who = "superseded: the target is release bbbbbbbbbb (bob, one)";
    assert!(!world.is_true(&world.said((4, 9_200), &HALF, who)));
    // The winner is superseded by nobody.
    let mut winner = world.said((4, 9_200), &HALF, by);
    winner.id = "bbbbbbbbbb".to_owned();
    let two = Two {
        own: &world.winner,
        winner: &world.winner,
    };
    assert!(check(&winner, two, &world.facts, &world.pauses).is_err());
}

#[test]
fn a_push_that_is_late_says_how_late_and_who_is_missing() {
    let world = world();
    let all = [
        (2, "serving"),
        (3, "serving"),
        (4, "waiting"),
        (5, "waiting"),
    ];
    let late = |who: &str| {
        format!(
            "nothing has happened for 1s: 2 of 4 serve it; it waits for {who}; it goes on by itself, see `host nodes`"
        )
    };
    let both = late("example@10.10.10.4 (waiting), example@10.10.10.5 (waiting)");
    assert!(world.is_true(&world.said((5, 3_000), &all, &both)));
    // Too soon. Later is right, since the time counts from when something happened last.
    assert!(!world.is_true(&world.said((5, 2_400), &all, &both)));
    assert!(world.is_true(&world.said((5, 3_700), &all, &both)));
    // It leaves one out, or waits for one that serves it.
    let one = late("example@10.10.10.4 (waiting)");
    assert!(!world.is_true(&world.said((5, 3_000), &all, &one)));
    let waits = [
        (2, "serving"),
        (3, "waiting"),
        (4, "waiting"),
        (5, "serving"),
    ];
    let wrong = late("example@10.10.10.3 (waiting), example@10.10.10.4 (waiting)");
    assert!(!world.is_true(&world.said((5, 3_000), &waits, &wrong)));
    let half = [(2, "serving"), (3, "waiting")];
    let half_late = "nothing has happened for 1s: 1 of 2 serve it; it waits for example@10.10.10.3 (waiting); it goes on by itself, see `host nodes`";
    assert!(!world.is_true(&world.said((5, 3_000), &half, half_late)));
}

#[test]
fn the_later_decision_is_the_target_and_the_other_one_superseded() {
    let mut own = release(OWN, "own000", 1);
    let winner = release(WINNER, "win000", 2);
    let ids = ["aaaaaaaaaa", "bbbbbbbbbb"];
    own.status = "superseded".to_owned();
    let list = [winner.clone(), own.clone()];
    let found = check_order(&list, ids).map(|two| two.map(|it| it.id.as_str()));
    assert_eq!(found.ok(), Some([WINNER, OWN]));
    // It is only earlier, or came before, or is not there.
    own.status = "earlier".to_owned();
    assert!(check_order(&[winner.clone(), own.clone()], ids).is_err());
    own.status = "superseded".to_owned();
    assert!(check_order(&[own.clone(), winner.clone()], ids).is_err());
    assert!(check_order(std::slice::from_ref(&winner), ids).is_err());
    // The one that follows it has not superseded it.
    let mut next = winner;
    next.parent = Some(own.id.clone());
    assert!(check_order(&[next.clone(), own.clone()], ids).is_err());
    own.status = "earlier".to_owned();
    assert!(check_order(&[next.clone(), own.clone()], ids).is_ok());
    next.kind = "rollback".to_owned();
    own.status = "rolled-back".to_owned();
    assert!(check_order(&[next, own], ids).is_ok());
}
