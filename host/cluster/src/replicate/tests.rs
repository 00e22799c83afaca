//! A kind of data that only tests know, beside the real ones. The real ones need no change for it.

use std::collections::BTreeSet;

use super::*;

/// The number of the added kind.
const TOY: DataKind = DataKind::unheard_of(200);

/// A set of numbers that only grows.
#[derive(Default)]
struct Numbers(BTreeSet<u32>);

impl Replicated for &mut Numbers {
    fn summary(&self) -> Vec<u8> {
        let sum = self.0.iter().map(|number| fingerprint(*number));
        sum.fold(0, u64::wrapping_add).to_le_bytes().to_vec()
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        let held = self.0.iter().map(|number| fingerprint(*number));
        let summary = self.summary();
        (summary != theirs).then(|| ask(summary, held))
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        let numbers = self.0.iter().map(|number| (fingerprint(*number), number));
        lacking(ask, &self.summary(), numbers, most)
    }

    fn merge(&mut self, delta: &[u8]) -> Result<(), Refusal> {
        self.0.extend(read_all::<u32>(delta, DELTA_MAX)?);
        Ok(())
    }
}

fn fingerprint(number: u32) -> u64 {
    crate::hash::mix(number.into())
}

/// A node that holds numbers, in one kind or in two.
#[derive(Default)]
struct Holds {
    known: Numbers,
    toy: Option<Numbers>,
}

impl Kinds for Holds {
    fn kinds(&self) -> &'static [DataKind] {
        match self.toy {
            Some(_) => &[DataKind::VOTES, TOY],
            None => &[DataKind::VOTES],
        }
    }

    fn kind(&mut self, kind: DataKind) -> Option<Box<dyn Replicated + '_>> {
        match kind {
            DataKind::VOTES => Some(Box::new(&mut self.known)),
            TOY => Some(Box::new(self.toy.as_mut()?)),
            _ => None,
        }
    }
}

fn holds(known: &[u32], toy: Option<&[u32]>) -> Holds {
    let numbers = |numbers: &[u32]| Numbers(numbers.iter().copied().collect());
    Holds {
        known: numbers(known),
        toy: toy.map(numbers),
    }
}

/// One exchange, which the first node begins.
fn exchange(one: &mut Holds, other: &mut Holds) -> usize {
    let request = request(one, &summaries(other));
    let asked = answer(other, &request, |why| panic!("{why}"));
    let answered = answer(one, &asked, |why| panic!("{why}"));
    assert!(answered.is_empty(), "nobody asks in an answer");
    let parts = request.iter().chain(&asked);
    parts.map(|part| part.delta.len()).sum()
}

fn toy(holds: &Holds) -> Vec<u32> {
    let toy = holds.toy.as_ref().expect("it knows the kind");
    toy.0.iter().copied().collect()
}

#[test]
fn a_further_kind_is_exchanged_as_the_others_are() {
    let mut one = holds(&[1], Some(&[7, 8]));
    let mut other = holds(&[2], Some(&[8, 9]));
    let told = summaries(&mut other);
    assert!(!is_same(&mut one, &told));
    exchange(&mut one, &mut other);
    assert_eq!(toy(&one), [7, 8, 9]);
    assert_eq!(toy(&other), [7, 8, 9]);
    assert_eq!(one.known.0, BTreeSet::from([1, 2]));
    let told = summaries(&mut other);
    assert!(is_same(&mut one, &told) && request(&mut one, &told).is_empty());
}

#[test]
fn what_only_one_of_two_nodes_knows_is_skipped_by_the_other() {
    let mut newer = holds(&[1], Some(&[7, 8]));
    let mut older = holds(&[2], None);
    exchange(&mut newer, &mut older);
    exchange(&mut older, &mut newer);
    assert_eq!(older.known.0, BTreeSet::from([1, 2]));
    assert_eq!(toy(&newer), [7, 8]);
    let told = summaries(&mut newer);
    assert_eq!(told.len(), 2);
    assert!(is_same(&mut older, &told), "it cannot hold the other kind");
    let told = summaries(&mut older);
    assert!(is_same(&mut newer, &told));
}

#[test]
fn of_what_is_asked_for_only_what_is_missing_travels() {
    let many: Vec<u32> = (0..1000).collect();
    let mut one = holds(&[], Some(&many[..999]));
    let mut other = holds(&[], Some(&many));
    let request = request(&mut one, &summaries(&mut other));
    let answered = answer(&mut other, &request, |why| panic!("{why}"));
    assert_eq!(answered.len(), 1);
    assert!(answered[0].delta.len() < 8, "{:?}", answered[0].delta);
}

#[test]
fn what_does_not_fit_a_delta_comes_with_the_next_ones() {
    let mut other = holds(&[], Some(&(0..1000).collect::<Vec<u32>>()));
    let mut one = holds(&[], Some(&[]));
    let mut rounds = 0;
    while toy(&one).len() < 1000 {
        let theirs = other.kind(TOY).expect("it is known").summary();
        let ask = one.kind(TOY).and_then(|it| it.missing(&theirs));
        let data = other.kind(TOY).expect("it is known");
        let delta = data.delta(&ask.expect("something is missing"), 400);
        drop(data);
        assert!(delta.len() <= 400);
        let mut data = one.kind(TOY).expect("it is known");
        data.merge(&delta).expect("it can be read");
        rounds += 1;
    }
    assert!((5..10).contains(&rounds), "{rounds}");
}

#[test]
fn what_cannot_be_read_of_one_kind_leaves_the_others_as_they_are() {
    let mut one = holds(&[1], Some(&[7]));
    let part = |kind, delta: &'static [u8]| KindPart {
        kind,
        ask: Bytes::new(),
        delta: Bytes::from_static(delta),
    };
    let parts = [part(DataKind::VOTES, &[0xff]), part(TOY, &[9])];
    let mut refused = Vec::new();
    answer(&mut one, &parts, |why| refused.push(why));
    assert_eq!(refused, [Refusal::Content]);
    assert_eq!(toy(&one), [7, 9]);
}
