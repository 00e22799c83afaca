//! What a fetch asks which member for, and when, answer by answer, without a network.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::*;
use crate::sim::{ms, secs};

const COUNT: usize = 40;

fn name(number: u8) -> NodeName {
    NodeName::new("example", Ipv4Addr::new(10, 10, 10, number)).expect("a name")
}

/// A fetch of a component of forty chunks, from this number of members. Only the manifest is
/// there.
fn fetch(members: u8, holding: Holding) -> Fetch {
    let mut fetch = Fetch::new(Time::ZERO, 1, Chunks::none(COUNT), true);
    (1..=members).for_each(|member| fetch.know(&name(member), holding));
    fetch
}

impl Fetch {
    /// A member answers its last question.
    fn answers(&mut self, now: Time, member: &NodeName, answer: Answer) {
        let question = self.asked.get(member).map_or(0, |asked| asked.question);
        self.answered(now, member, question, answer);
    }
}

/// All that it wants to ask now, and the time until which it then waits.
fn asks(fetch: &mut Fetch, now: Time) -> (Vec<(NodeName, Chunks)>, Time) {
    let mut asks = Vec::new();
    loop {
        match fetch.next(now) {
            FetchStep::Ask {
                member,
                want: Want::OneOf(chunks),
                ..
            } => asks.push((member, chunks)),
            FetchStep::Wait(until) => return (asks, until),
            other => panic!("{other:?}"),
        }
    }
}

fn at(millis: u64) -> Time {
    Time::ZERO + ms(millis)
}

#[test]
fn the_manifest_comes_first_and_then_every_chunk_once() {
    let mut fetch = Fetch::new(Time::ZERO, 1, Chunks::none(COUNT), false);
    fetch.know(&name(1), Holding::Whole);
    let FetchStep::Ask { member, want, .. } = fetch.next(Time::ZERO) else {
        panic!("nobody is asked");
    };
    assert_eq!((&member, &want), (&name(1), &Want::Manifest));
    fetch.answers(at(1), &member, Answer::Manifest);
    for came in 0..COUNT {
        assert_eq!(fetch.have().len(), came);
        let (asked, _) = asks(&mut fetch, at(1));
        let [(member, chunks)] = &asked[..] else {
            panic!("one member is asked once at a time: {asked:?}");
        };
        let index = chunks.iter().next().expect("a chunk");
        assert!(!fetch.have().has(index));
        fetch.answers(at(1), member, Answer::Chunk(index));
    }
    assert_eq!(fetch.next(at(1)), FetchStep::Done);
}

#[test]
fn a_question_without_an_answer_holds_up_no_more_than_its_part() {
    let mut fetch = Fetch::new(Time::ZERO, 1, Chunks::none(COUNT), false);
    (1..=10).for_each(|member| fetch.know(&name(member), Holding::Whole));
    let manifests: Vec<NodeName> = std::iter::from_fn(|| match fetch.next(Time::ZERO) {
        FetchStep::Ask { member, .. } => Some(member),
        _ => None,
    })
    .collect();
    assert_eq!(manifests.len(), PARALLEL);
    fetch.answers(at(1), &manifests[0], Answer::Manifest);
    let (asked, _) = asks(&mut fetch, at(1));
    let parts: Vec<usize> = asked.iter().map(|(_, chunks)| chunks.len()).collect();
    assert_eq!(parts, [COUNT / PARALLEL; PARALLEL]);
}

#[test]
fn a_fetch_that_goes_on_wants_only_what_is_missing() {
    let mut have = Chunks::none(COUNT).missing();
    have.subtract(&Chunks::read(COUNT, &[0, 0, 0, 0, 1]).expect("one"));
    let mut fetch = Fetch::new(Time::ZERO, 1, have, true);
    fetch.know(&name(1), Holding::Whole);
    let (asked, _) = asks(&mut fetch, Time::ZERO);
    assert_eq!(asked[0].1.iter().collect::<Vec<_>>(), [32]);
}

#[test]
fn several_members_are_asked_at_a_time_for_different_chunks() {
    let mut fetch = fetch(10, Holding::Whole);
    let (asked, _) = asks(&mut fetch, Time::ZERO);
    assert_eq!(asked.len(), PARALLEL);
    let members: BTreeSet<_> = asked.iter().map(|(member, _)| member).collect();
    assert_eq!(members.len(), PARALLEL);
    let mut all = Chunks::none(COUNT);
    for (_, chunks) in &asked {
        assert!(chunks.iter().all(|index| all.insert(index)));
    }
    assert!(all.is_full());
}

#[test]
fn a_busy_member_is_left_alone_for_longer_each_time_and_no_longer_than_its_most() {
    let mut fetch = fetch(1, Holding::Whole);
    let mut now = Time::ZERO;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let (asked, _) = asks(&mut fetch, now);
        fetch.answers(now, &asked[0].0, Answer::Busy);
        let (asked, until) = asks(&mut fetch, now);
        assert!(asked.is_empty());
        waits.push(until.since(now));
        now = until;
    }
    assert!(waits[0] <= ms(6), "{waits:?}");
    assert!(
        waits[6..]
            .iter()
            .all(|&wait| wait >= ms(64) && wait <= ms(192)),
        "{waits:?}"
    );
    // What this member gives makes up for all of it.
    let (asked, _) = asks(&mut fetch, now);
    let given = asked[0].1.iter().next().expect("a chunk");
    fetch.answers(now, &asked[0].0, Answer::Chunk(given));
    let (asked, _) = asks(&mut fetch, now);
    fetch.answers(now, &asked[0].0, Answer::Busy);
    assert!(asks(&mut fetch, now).1.since(now) <= ms(6));
}

#[test]
fn a_liar_is_counted_and_never_asked_again() {
    let mut fetch = fetch(2, Holding::Whole);
    asks(&mut fetch, Time::ZERO);
    fetch.answers(at(1), &name(1), Answer::Wrong);
    assert_eq!(fetch.liars(), 1);
    fetch.forget(&name(1));
    fetch.know(&name(1), Holding::Whole);
    fetch.answers(at(1), &name(2), Answer::Nothing);
    for millis in 2..2000 {
        for (member, _) in asks(&mut fetch, at(millis)).0 {
            assert_eq!(member, name(2));
            fetch.answers(at(millis), &member, Answer::Nothing);
        }
    }
    assert_eq!(fetch.liars(), 1);
}

#[test]
fn a_chunk_that_was_not_asked_for_is_a_lie() {
    let mut fetch = fetch(2, Holding::Whole);
    let (asked, _) = asks(&mut fetch, Time::ZERO);
    let (member, chunks) = &asked[0];
    let other = chunks.missing().iter().next().expect("another one");
    fetch.answers(at(1), member, Answer::Chunk(other));
    assert_eq!(fetch.liars(), 1);
    assert!(fetch.have().is_empty());
    fetch.answers(at(1), &asked[1].0, Answer::Manifest);
    assert_eq!(fetch.liars(), 2);
}

#[test]
fn what_a_slow_member_was_asked_for_is_asked_of_another() {
    let mut fetch = fetch(1, Holding::Whole);
    let (asked, until) = asks(&mut fetch, Time::ZERO);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        until,
        Time::ZERO + SLOW_MOST,
        "the moment from which it is slow"
    );
    (2..=20).for_each(|member| fetch.know(&name(member), Holding::Whole));
    let mut most = asks(&mut fetch, at(999)).0.len() + 1;
    assert_eq!(most, PARALLEL);
    // In the end all are slow, and that has a limit too.
    for second in 2..9 {
        most += asks(&mut fetch, Time::ZERO + secs(second)).0.len();
    }
    assert_eq!(most, ASKED_MAX);
    let all: Vec<_> = fetch.asked.keys().cloned().collect();
    let late = Time::ZERO + secs(9);
    for (index, member) in all.iter().enumerate() {
        let Want::OneOf(chunks) = fetch.asked[member].want.clone() else {
            panic!("only chunks are asked for");
        };
        let given = chunks.iter().nth(index % chunks.len()).expect("a chunk");
        fetch.answers(late, member, Answer::Chunk(given));
    }
    assert_eq!(fetch.liars(), 0, "a chunk that comes twice is no lie");
}

#[test]
fn what_is_slow_follows_from_how_long_chunks_take() {
    for (took, slow) in [(5, 100), (40, 160), (5000, 1000)] {
        let mut fetch = fetch(1, Holding::Whole);
        let (asked, _) = asks(&mut fetch, Time::ZERO);
        let given = asked[0].1.iter().next().expect("a chunk");
        fetch.answers(at(took), &name(1), Answer::Chunk(given));
        assert_eq!(asks(&mut fetch, at(took)).1, at(took + slow));
    }
}

#[test]
fn it_ends_with_an_error_once_nobody_has_given_anything_for_long() {
    let mut fetch = fetch(3, Holding::Perhaps);
    let mut now = Time::ZERO;
    let mut questions = 0;
    let (asked, _) = asks(&mut fetch, at(20_000));
    let given = asked[0].1.iter().next().expect("a chunk");
    fetch.answers(at(20_000), &asked[0].0, Answer::Chunk(given));
    for (member, _) in &asked[1..] {
        fetch.answers(at(20_000), member, Answer::Failed);
    }
    let error = loop {
        match fetch.next(now.max(at(20_000))) {
            FetchStep::Ask { member, .. } => {
                questions += 1;
                fetch.answers(now.max(at(20_000)), &member, Answer::Nothing);
            }
            FetchStep::Wait(until) => {
                assert!(until > now, "it would spin");
                now = until;
            }
            FetchStep::Failed(error) => break error,
            FetchStep::Done => panic!("it has not come"),
        }
    };
    assert_eq!(now, at(20_000) + GIVE_UP, "counted from what came last");
    assert!(questions < 1000, "{questions} questions to three members");
    let FetchError::Stalled {
        missing,
        of,
        members,
        liars,
    } = error;
    assert_eq!((missing, of, members, liars), (COUNT - 1, COUNT, 3, 0));
}

#[test]
fn with_nobody_to_ask_it_waits_and_asks_whoever_comes() {
    let mut fetch = fetch(0, Holding::Perhaps);
    assert_eq!(
        fetch.next(Time::ZERO),
        FetchStep::Wait(Time::ZERO + GIVE_UP)
    );
    fetch.know(&name(1), Holding::Perhaps);
    assert!(matches!(fetch.next(at(5)), FetchStep::Ask { .. }));
}

#[test]
fn a_member_that_is_gone_is_not_waited_for_and_what_it_sent_before_counts() {
    let mut fetch = fetch(1, Holding::Whole);
    let (asked, _) = asks(&mut fetch, Time::ZERO);
    let given = asked[0].1.iter().next().expect("a chunk");
    fetch.forget(&name(1));
    fetch.know(&name(2), Holding::Whole);
    let (again, _) = asks(&mut fetch, at(1));
    assert_eq!(again[0].0, name(2));
    fetch.answers(at(2), &name(1), Answer::Chunk(given));
    assert!(fetch.have().has(given));
}

#[test]
fn a_member_that_came_back_does_not_lie_if_it_answers_what_it_was_asked_before() {
    let mut fetch = fetch(1, Holding::Whole);
    let (asked, _) = asks(&mut fetch, Time::ZERO);
    let before = fetch.asked[&name(1)].question;
    fetch.forget(&name(1));
    fetch.know(&name(1), Holding::Whole);
    let (again, _) = asks(&mut fetch, at(1));
    let mut only_before = asked[0].1.clone();
    only_before.subtract(&again[0].1);
    let given = only_before
        .iter()
        .next()
        .expect("a chunk of the first only");
    fetch.answered(at(2), &name(1), before, Answer::Chunk(given));
    assert_eq!(fetch.liars(), 0);
    assert!(fetch.have().has(given), "it is of use");
    fetch.answered(at(3), &name(1), before, Answer::Failed);
    assert_eq!(asks(&mut fetch, at(3)).0, [], "the second is waited for");
    // It has to give a matching answer to the questions since then.
    let other = again[0].1.missing();
    let other = other.iter().find(|it| *it != given).expect("another");
    fetch.answers(at(4), &name(1), Answer::Chunk(other));
    assert_eq!(fetch.liars(), 1);
}

#[test]
fn of_many_members_few_are_asked_and_the_one_that_has_it_is_found() {
    for seed in 0..50 {
        let mut fetch = Fetch::new(Time::ZERO, seed, Chunks::none(COUNT), true);
        (1..=250).for_each(|member| fetch.know(&name(member), Holding::Perhaps));
        fetch.know(&name(77), Holding::Whole);
        let mut seen = BTreeSet::new();
        let mut now = Time::ZERO;
        while !seen.contains(&name(77)) {
            let (asked, until) = asks(&mut fetch, now);
            if asked.is_empty() {
                now = until;
            }
            for (member, _) in asked {
                seen.insert(member.clone());
                fetch.answers(now, &member, Answer::Nothing);
            }
        }
        assert!(now <= at(300), "seed {seed}: {now}");
        assert!(seen.len() <= 40, "seed {seed}: {} were asked", seen.len());
    }
}

#[test]
fn who_has_nothing_is_asked_again_at_once_when_it_is_known_to_have_all() {
    let mut fetch = fetch(1, Holding::Perhaps);
    for _ in 0..2 {
        let (_, until) = asks(&mut fetch, Time::ZERO);
        fetch.answers(until, &name(1), Answer::Failed);
    }
    let now = Time::ZERO + SLOW_MOST;
    assert!(asks(&mut fetch, now).0.is_empty());
    fetch.know(&name(1), Holding::Whole);
    assert_eq!(asks(&mut fetch, now).0.len(), 1);
}
