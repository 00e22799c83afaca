//! Nodes that know the same agree, in whatever order they learnt it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn of_two_releases_at_once_one_wins_everywhere_and_the_other_is_told_to_have_lost() {
    let (mut one, mut other) = (set(2), set(3));
    pushed(&mut one, "base", WALL);
    tell(&one, &mut other);
    let early = pushed(&mut one, "early", WALL + 10);
    let late = pushed(&mut other, "late", WALL + 20);
    let (_, _) = (news(&mut one), news(&mut other));
    tell(&one, &mut other);
    tell(&other, &mut one);
    assert_eq!(serves(&one), Some(component("late").digest));
    assert_eq!(serves(&other), Some(component("late").digest));
    let lost = News::Superseded {
        release: early.clone(),
        by: late.clone(),
    };
    for set in [&mut one, &mut other] {
        assert!(news(set).contains(&lost));
        assert_eq!(set.history().get(&early.id()), Some(&early), "it stays");
    }
    tell(&one, &mut other);
    assert_eq!(news(&mut other), [], "told once");
}

#[test]
fn of_two_releases_of_the_same_moment_the_higher_node_wins() {
    let (mut one, mut other) = (set(2), set(3));
    pushed(&mut one, "of the lower", WALL);
    pushed(&mut other, "of the higher", WALL);
    tell(&one, &mut other);
    tell(&other, &mut one);
    assert_eq!(serves(&one), Some(component("of the higher").digest));
    assert_eq!(serves(&other), Some(component("of the higher").digest));
}

#[test]
fn a_later_decision_wins_even_by_a_clock_that_is_behind() {
    let (mut one, mut other) = (set(2), set(3));
    for minute in 0..5 {
        pushed(&mut one, &format!("{minute}"), WALL + minute * 60_000);
    }
    tell(&one, &mut other);
    pushed(&mut other, "later", WALL - 3_600_000);
    tell(&other, &mut one);
    assert_eq!(serves(&one), Some(component("later").digest));
}

#[test]
fn a_side_that_pushed_more_often_does_not_win_against_a_later_decision() {
    let (mut one, mut other) = (set(2), set(3));
    pushed(&mut one, "base", WALL);
    tell(&one, &mut other);
    for step in 1..20 {
        pushed(&mut one, &format!("step {step}"), WALL + step);
    }
    pushed(&mut other, "later", WALL + 1000);
    tell(&one, &mut other);
    tell(&other, &mut one);
    assert_eq!(serves(&one), Some(component("later").digest));
    assert_eq!(serves(&other), Some(component("later").digest));
}

#[test]
fn the_same_app_after_the_same_release_is_one_release_wherever_it_is_pushed() {
    let mut books: Vec<ReleaseSet> = (2..5).map(set).collect();
    pushed(&mut books[0], "base", WALL);
    let base = books.remove(0);
    books.iter_mut().for_each(|set| tell(&base, set));
    let first = pushed(&mut books[0], "same", WALL + 5);
    let second = pushed(&mut books[1], "same", WALL + 9);
    assert_eq!(first.id(), second.id());
    let (one, other) = books.split_at_mut(1);
    news(&mut other[0]);
    tell(&one[0], &mut other[0]);
    tell(&other[0], &mut one[0]);
    assert_eq!(one[0].history().get(&first.id()), Some(&first));
    assert_eq!(other[0].history().get(&first.id()), Some(&first));
    assert_eq!(news(&mut other[0]), [], "nothing changes, and nobody lost");
}

#[test]
fn what_is_released_already_is_not_released_again_and_what_was_voted_down_only_if_asked_for() {
    let mut set = set(2);
    pushed(&mut set, "base", WALL);
    let release = pushed(&mut set, "new", WALL + 1);
    let again = || push(component("new"), Plan::default());
    assert_eq!(
        set.draft(again(), WALL + 2, None),
        Err(DraftError::Same(release.id()))
    );
    set.learn(vec![], vec![vote(&release, 3, Verdict::Failed)]);
    assert_eq!(serves(&set), Some(component("base").digest));
    let refused = Err(DraftError::VotedDown(release.id()));
    assert_eq!(set.draft(again(), WALL + 3, None), refused);
    // Nor may anything else be released in between.
    pushed(&mut set, "other", WALL + 3);
    assert_eq!(set.draft(again(), WALL + 4, None), refused);
    rolled_back(&mut set, WALL + 5);
    let asked = Request {
        again: true,
        ..again()
    };
    let retry = super::release(&mut set, asked, WALL + 6);
    assert_ne!(retry.id(), release.id());
    assert_eq!(serves(&set), Some(component("new").digest));
    set.learn(vec![], vec![vote(&retry, 3, Verdict::Failed)]);
    assert_eq!(serves(&set), Some(component("base").digest));
}

#[test]
fn a_push_that_expects_another_app_is_refused() {
    let mut set = set(2);
    pushed(&mut set, "theirs", WALL);
    let mut wanted = push(component("mine"), Plan::default());
    wanted.expect = Some(component("base").digest);
    let refused = set.draft(wanted.clone(), WALL, None);
    let theirs = component("theirs").digest;
    assert_eq!(refused, Err(DraftError::Unexpected(Some(theirs))));
    wanted.expect = Some(theirs);
    assert!(set.draft(wanted, WALL, None).is_ok());
}

#[test]
fn a_clock_that_is_far_ahead_releases_nothing() {
    let set = set(2);
    let draft = |ahead| set.draft(push(component("new"), Plan::default()), WALL, ahead);
    assert!(draft(Some(500)).is_ok());
    assert!(draft(Some(-60_000)).is_ok(), "behind does no harm");
    let refused = draft(Some(501)).expect_err("refused");
    assert_eq!(refused, DraftError::ClockAhead(501));
    assert!(refused.to_string().contains("501 ms ahead"), "{refused}");
}

#[test]
fn of_more_releases_than_are_remembered_the_lowest_are_forgotten() {
    let mut set = set(2);
    let mut all = Vec::new();
    for step in 0..=HISTORY_MAX as u64 {
        all.push(pushed(&mut set, &format!("{step}"), WALL + step));
    }
    assert_eq!(set.history().len(), HISTORY_MAX);
    assert_eq!(set.history().get(&all[0].id()), None);
    set.learn(vec![all[0].clone()], Vec::new());
    assert_eq!(set.history().get(&all[0].id()), None, "nor taken again");
}

#[test]
fn at_the_bound_of_what_is_remembered_the_order_of_learning_does_not_matter_either() {
    let mut base = set(2);
    pushed(&mut base, "base", WALL);
    let after_base = |name: &str, wall_ms| {
        let mut one = set(3);
        tell(&base, &mut one);
        pushed(&mut one, name, wall_ms)
    };
    let (early, late) = (
        after_base("same", WALL + 1),
        after_base("same", WALL + 5000),
    );
    assert_eq!(early.id(), late.id());
    let count = HISTORY_MAX as u64 + 1;
    let others: Vec<_> = (0..count)
        .map(|n| after_base(&format!("{n}"), WALL + 10 + n))
        .collect();
    let orders: [Vec<Vec<Arc<Release>>>; 3] = [
        vec![others.clone(), vec![early.clone()], vec![late.clone()]],
        vec![others.clone(), vec![late.clone()], vec![early.clone()]],
        vec![vec![early], others, vec![late]],
    ];
    let mut hashes = BTreeSet::new();
    for order in orders {
        let mut set = set(7);
        order.into_iter().for_each(|some| {
            set.learn(some, Vec::new());
        });
        assert_eq!(serves(&set), Some(component("same").digest));
        hashes.insert(set.hash());
    }
    assert_eq!(hashes.len(), 1);
}

#[test]
fn a_copy_without_its_signature_does_not_take_the_place_of_the_signed_one() {
    for signed_first in [true, false] {
        let mut one = set(2);
        let draft = one.draft(push(component("new"), Plan::default()), WALL, None);
        let draft = draft.expect("a draft");
        let signed = draft.with_signature(&[9; SIGNATURE_LEN]).expect("it fits");
        let mut both = vec![signed.clone(), draft];
        if !signed_first {
            both.reverse();
        }
        one.learn(both, Vec::new());
        assert_eq!(one.history().get(&signed.id()), Some(&signed));
    }
}

#[test]
fn unsigned_and_wrongly_signed_releases_are_refused_where_a_key_is_set() {
    let ((key, sign), (_, sign_wrongly)) = (deploy_key(1), deploy_key(2));
    let mut set = ReleaseSet::new(node(2), Some(key));
    let draft = set.draft(push(component("new"), Plan::default()), WALL, None);
    let draft = draft.expect("a draft");
    let refused = |learnt: Learnt| (learnt.unsigned, learnt.forged);
    assert_eq!(refused(set.learn(vec![draft.clone()], vec![])), (1, 0));
    let wrongly = set.learn(vec![sign_wrongly(&draft)], vec![]);
    assert_eq!(refused(wrongly), (0, 1));
    let other = set.draft(push(component("other"), Plan::default()), WALL, None);
    let signature = sign(&other.expect("a draft"));
    let signature = signature.signature().expect("signed");
    let moved = draft.with_signature(signature.try_into().expect("64 bytes"));
    let moved = set.learn(vec![moved.expect("it fits")], vec![]);
    assert_eq!(refused(moved), (0, 1));
    assert_eq!(serves(&set), None);
    assert_eq!(refused(set.learn(vec![sign(&draft)], vec![])), (0, 0));
    assert_eq!(serves(&set), Some(component("new").digest));
}

/// An act of a person, on one of three nodes.
#[derive(Clone, Debug)]
enum Act {
    Push { component: u8, canaries: bool },
    File { component: u8 },
    Rollback,
    Vote { back: usize, ok: bool },
    Tell { to: usize },
}

fn acts() -> impl Strategy<Value = Vec<(usize, u64, Act)>> {
    let act = prop_oneof![
        (0u8..4, any::<bool>()).prop_map(|(component, canaries)| Act::Push {
            component,
            canaries
        }),
        (0u8..4).prop_map(|component| Act::File { component }),
        Just(Act::Rollback),
        (0usize..3, any::<bool>()).prop_map(|(back, ok)| Act::Vote { back, ok }),
        (0usize..3).prop_map(|to| Act::Tell { to }),
    ];
    prop::collection::vec((0usize..3, 0u64..2000, act), 0..40)
}

/// Performs the acts, on nodes whose clocks differ by up to a second.
fn play(acts: &[(usize, u64, Act)]) -> Vec<ReleaseSet> {
    let mut books: Vec<ReleaseSet> = (2..5).map(set).collect();
    let mut now = WALL;
    for (at, wait, act) in acts {
        now += wait;
        let wall = now + *at as u64 * 400;
        let from = &mut books[*at];
        match act {
            Act::Push {
                component: n,
                canaries,
            } => {
                let plan = if *canaries {
                    staged(&[3, 4])
                } else {
                    Plan::default()
                };
                let wanted = push(component(&format!("{n}")), plan);
                if let Ok(release) = from.draft(wanted, wall, None) {
                    from.learn(vec![release], Vec::new());
                }
            }
            Act::File { component: n } => {
                let (path, component) = (PathId::of(b"app"), component(&format!("{n}")));
                from.file(AppFile { path, component }, wall, None);
            }
            Act::Rollback => {
                let wanted = request(What::Rollback(RollbackTo::Previous));
                if let Ok(release) = from.draft(wanted, wall, None) {
                    from.learn(vec![release], Vec::new());
                }
            }
            Act::Vote { back, ok } => {
                let id = from
                    .history()
                    .newest()
                    .nth(*back)
                    .map(|release| release.id());
                let verdict = if *ok { Verdict::Ok } else { Verdict::Failed };
                id.and_then(|id| from.vote(id, verdict));
            }
            Act::Tell { to } if to != at => {
                let (records, votes) = (
                    from.history().newest().cloned().collect(),
                    from.votes().iter().collect(),
                );
                books[*to].learn(records, votes);
            }
            Act::Tell { .. } => {}
        }
    }
    books
}

proptest! {
    #[test]
    fn in_whatever_order_nodes_learn_they_end_alike(acts in acts(), keys in any::<[u64; 8]>()) {
        let books = play(&acts);
        let mut records: Vec<_> = books.iter().flat_map(|b| b.history().newest().cloned()).collect();
        let votes: Vec<_> = books.iter().flat_map(|b| b.votes().iter()).collect();
        let mut straight = set(9);
        straight.learn(records.clone(), votes.clone());
        // The same in another order, one by one, and a part of it twice.
        let mut shuffled = set(9);
        let place = |n: usize| keys[n % 8].wrapping_mul(n as u64 + 1) >> 7;
        for turn in 0..2 {
            let mut order: Vec<usize> = (0..records.len()).collect();
            order.sort_by_key(|&n| place(n + turn));
            for n in order {
                shuffled.learn(vec![records[n].clone()], Vec::new());
            }
        }
        for vote in votes.iter().rev() {
            shuffled.learn(Vec::new(), vec![*vote]);
        }
        prop_assert_eq!(straight.hash(), shuffled.hash());
        prop_assert_eq!(straight.target(), shuffled.target());
        // Nodes that tell each other what they know agree in the end, except for each node's
        // own part in the plan.
        let mut books = books;
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
                let (known, votes) = (
                    books[from].history().newest().cloned().collect::<Vec<_>>(),
                    books[from].votes().iter().collect(),
                );
                records.extend(known.clone());
                books[to].learn(known, votes);
            }
        }
        prop_assert!(books.iter().all(|b| b.hash() == straight.hash()));
        let head = straight.history().head().map(|head| head.stamp().clone());
        prop_assert_eq!(head.as_ref(), books[0].history().head().map(|head| head.stamp()));
    }

    #[test]
    fn what_was_left_is_never_the_target(acts in acts()) {
        for set in play(&acts) {
            let Some(target) = set.target() else { continue };
            let undone = set.history().hindsight().undone_by(&target.id);
            prop_assert!(undone.is_none(), "{} was rolled back", target.id);
            if let Some(release) = &target.release {
                let state = crate::release::target::vote_state(release, set.votes());
                prop_assert_ne!(state, VoteState::VotedDown);
            }
        }
    }

    #[test]
    fn what_is_stored_is_what_is_loaded(acts in acts()) {
        for (at, set) in (2u8..).zip(play(&acts)) {
            let stored = set.store().expect("it can be written");
            let mut loaded = ReleaseSet::load(node(at), None, &stored).expect("it can be read");
            prop_assert_eq!(loaded.hash(), set.hash());
            prop_assert_eq!(loaded.target(), set.target());
            prop_assert_eq!(loaded.marks(), set.marks());
            prop_assert_eq!(loaded.clock(), set.clock());
            prop_assert!(!loaded.take_dirty());
            prop_assert!(news(&mut loaded).iter().all(|it| matches!(it, News::Target(_))));
        }
    }

    #[test]
    fn what_is_damaged_is_not_loaded_and_does_not_panic(
        acts in acts(), cut in 0usize..500, at in any::<prop::sample::Index>(), garbage: Vec<u8>,
    ) {
        prop_assert!(check_stored(&garbage).is_err());
        let stored = play(&acts)[0].store().expect("it can be written");
        let shorter = &stored[..stored.len().saturating_sub(cut + 1)];
        prop_assert!(ReleaseSet::load(node(2), None, shorter).is_err());
        let mut changed = stored.to_vec();
        let at = at.index(changed.len());
        changed[at] ^= 0x55;
        // Whatever can be loaded is complete.
        if let Ok(set) = ReleaseSet::load(node(2), None, &changed) {
            prop_assert!(set.history().len() <= HISTORY_MAX);
        }
    }
}
