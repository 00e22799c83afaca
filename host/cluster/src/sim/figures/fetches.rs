//! What the simulated network does for the figures of fetching: a component is released on one
//! node, and the others get it from each other.

use super::Notes;
use super::runs::{LIMIT, LOSS, REPEATS, push, rest, started, victim, without};
use crate::fetch::Chunks;
use crate::release::Component;
use crate::sim::{Lan, ms};

/// Pushes a component of 10 MB on one node, which has it; the others fetch it. Returns that
/// node.
fn push_large(lan: &mut Lan, all: &[usize], turn: usize) -> (usize, Component) {
    lan.fetches = true;
    let at = victim(lan, all);
    let component = Component {
        size: 10_000_000,
        ..Component::of(turn.to_string().as_bytes())
    };
    lan.put_app(at, component.digest, Chunks::all_of(&component));
    push(lan, at, component);
    (at, component)
}

pub(super) fn plain(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = started(lan, nodes);
    for turn in 0..REPEATS {
        let start = lan.now;
        let (_, component) = push_large(lan, &all, turn);
        notes.note(0, lan.have_all(&all, component.digest, start, LIMIT));
        rest(lan);
    }
}

pub(super) fn loss(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    lan.loss = LOSS;
    plain(lan, nodes, notes);
}

pub(super) fn unanswered(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    lan.unanswered = LOSS;
    plain(lan, nodes, notes);
}

pub(super) fn faults(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = started(lan, nodes);
    for turn in 0..REPEATS {
        let start = lan.now;
        let (at, component) = push_large(lan, &all, turn);
        let others = without(&all, at);
        let dies = victim(lan, &others);
        let lies = victim(lan, &without(&others, dies));
        lan.machines[lies].lies = true;
        lan.run(ms(50));
        lan.kill(dies);
        let living = without(&all, dies);
        notes.note(0, lan.have_all(&living, component.digest, start, LIMIT));
        lan.machines[lies].lies = false;
        lan.start(dies);
        lan.settle_into(&[&all], LIMIT);
        rest(lan);
    }
}
