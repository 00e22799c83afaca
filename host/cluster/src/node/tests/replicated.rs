//! Kinds of data that a newer program has added, in beacons and states.

use super::*;
use crate::membership::KnownNode;
use crate::replicate::{DataKind, KindPart, KindSummary};

/// A kind that this program does not know.
const UNKNOWN: DataKind = DataKind::unheard_of(200);

fn summary_of_unknown() -> KindSummary {
    KindSummary {
        kind: UNKNOWN,
        bytes: Bytes::from_static(b"whatever it is"),
    }
}

#[test]
fn a_kind_of_data_that_is_not_known_is_skipped_in_a_beacon() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    puppet.join(&mut bench);
    // All that the puppet knows, and before it an unknown kind.
    let mut about = puppet.about();
    about.summaries = bench.node.summaries();
    about.summaries.insert(0, summary_of_unknown());
    for _ in 0..5 {
        puppet.broadcast(&mut bench, &Message::Beacon(about.clone()));
        bench.pass(Duration::from_millis(900));
    }
    assert!(bench.lists(&puppet));
    assert_eq!(bench.node.counters().refused.total(), 0);
    let syncs = |effect: &Effect| matches!(effect, Effect::Sync { .. });
    assert!(!bench.effects().iter().any(syncs), "they know the same");
}

#[test]
fn a_kind_of_data_that_is_not_known_is_skipped_in_a_state() {
    let mut bench = Bench::new();
    let (mut puppet, third) = (Puppet::new(3, 5), Puppet::new(4, 5));
    puppet.join(&mut bench);
    let node = KnownNode {
        update: Update::alive(third.run.clone()),
        advertised: None,
    };
    let part = |kind, delta: Vec<u8>| KindPart {
        kind,
        ask: Bytes::from_static(b"?"),
        delta: delta.into(),
    };
    let state = State {
        boot: puppet.run.boot,
        parts: vec![
            part(UNKNOWN, b"whatever it is".to_vec()),
            part(
                DataKind::MEMBERS,
                replicate::write_all([node].iter(), replicate::DELTA_MAX),
            ),
        ],
    };
    let bytes = state.write().expect("it can be written");
    let member = puppet.run.name.clone();
    let input = Input::SyncRequest {
        member,
        bytes: &bytes,
    };
    bench.node.handle(bench.now, 0, input);
    let answered = |effect: Effect| match effect {
        Effect::SyncReply { bytes, .. } => State::read(&bytes).ok(),
        _ => None,
    };
    let answer = bench.effects().into_iter().find_map(answered);
    let answer = answer.expect("an answer");
    let kinds: Vec<DataKind> = answer.parts.iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [DataKind::MEMBERS]);
    assert!(bench.lists(&third));
    assert_eq!(bench.node.counters().refused.total(), 0);
}
