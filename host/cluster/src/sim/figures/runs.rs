//! What the simulated network does for each figure.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::release::{Component, Plan, Request, What};
use crate::sim::{Lan, PORT, ms, secs};
use crate::{Effect, Input};

use super::fetches;
use super::{Case, Figure, Goal, Notes, Unit};

/// The share of datagrams that is lost while figures are measured.
pub(super) const LOSS: f64 = 0.01;

/// How long a figure may take before it counts as not reached.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// How often an event is repeated within one run, since a large cluster takes longer to start
/// than to cut a link of it.
pub(super) const REPEATS: usize = 5;

/// Every case, in the order of the table.
pub const CASES: &[Case] = &[
    Case {
        name: "cut",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 4 } else { 40 },
        figures: &[seconds("link cut: all others know", |nodes| {
            at_most(1.9, if nodes > 254 { 3.0 } else { 2.5 })
        })],
        run: cut,
    },
    Case {
        name: "cut-no-loss",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds("the same, no loss", |nodes| {
            at_most(1.9, if nodes > 254 { 3.0 } else { 2.5 })
        })],
        run: cut_no_loss,
    },
    Case {
        name: "join-all",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 4 } else { 100 },
        figures: &[seconds(
            "all start at once, broadcast: all know all",
            |nodes| (nodes <= 254).then_some(Goal { p50: 1.0, p99: 2.0 }),
        )],
        run: join_all,
    },
    Case {
        name: "join-seed",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 4 } else { 20 },
        figures: &[seconds(
            "all start at once, one seed, no broadcast: all know all",
            |_| at_most(10.0, 15.0),
        )],
        run: join_seed,
    },
    Case {
        name: "join-one",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds(
            "one joins: all know it, and it knows all",
            no_target,
        )],
        run: join_one,
    },
    Case {
        name: "split",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 50 },
        figures: &[
            seconds("split into halves: each half knows", |nodes| {
                (nodes <= 254).then_some(Goal { p50: 5.5, p99: 6.0 })
            }),
            seconds("halves joined after 30 s: all know all", |nodes| {
                (nodes <= 254).then_some(Goal { p50: 2.8, p99: 4.0 })
            }),
        ],
        run: split,
    },
    Case {
        name: "kill",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds("kill -9: all others know", no_target)],
        run: kill,
    },
    Case {
        name: "kill-unnoticed",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds(
            "kill -9, no hint of it: all others know",
            no_target,
        )],
        run: kill_unnoticed,
    },
    Case {
        name: "leave",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds("clean leave: all others know", no_target)],
        run: leave,
    },
    Case {
        name: "release",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 4 } else { 40 },
        figures: &[seconds("new release, 5 % loss: all know", |nodes| {
            (nodes <= 254).then_some(Goal {
                p50: 0.35,
                p99: 0.5,
            })
        })],
        run: release,
    },
    Case {
        name: "fetch",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds(
            "release of 10 MB, 1 Gbit/s, no loss: last byte on the last node",
            |nodes| (nodes <= 254).then_some(Goal { p50: 1.0, p99: 1.0 }),
        )],
        run: fetches::plain,
    },
    Case {
        name: "fetch-loss",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds("the same, 1 % of all segments lost", no_target)],
        run: fetches::loss,
    },
    Case {
        name: "fetch-unanswered",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds(
            "the same, 1 % of questions never answered",
            no_target,
        )],
        run: fetches::unanswered,
    },
    Case {
        name: "fetch-faults",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 2 } else { 20 },
        figures: &[seconds(
            "the same, one node dies midway and one lies",
            no_target,
        )],
        run: fetches::faults,
    },
    Case {
        name: "freeze",
        sizes: &[50],
        seeds: |_| 100,
        figures: &[
            count("frozen for 1 s: declared down by", |_| at_most(0.0, 0.0)),
            count("frozen for 2 s: declared down by", no_target),
            seconds("frozen for 2 s: after the thaw all list it again", |_| {
                at_most(1.0, 1.0)
            }),
        ],
        run: freeze,
    },
    Case {
        name: "idle",
        sizes: &super::SIZES,
        seeds: |nodes| if nodes > 254 { 1 } else { 3 },
        figures: &[
            rate("idle: sent by each node", |nodes| {
                (nodes <= 254).then_some(Goal { p50: 0.7, p99: 0.7 })
            }),
            rate("idle: received by each node", |nodes| {
                (nodes <= 254).then_some(Goal {
                    p50: 50.0,
                    p99: 50.0,
                })
            }),
        ],
        run: idle,
    },
    Case {
        name: "false-downs",
        sizes: &[3, 50, 254],
        seeds: |_| 1,
        figures: &[count("ten idle minutes: members declared down", |_| {
            at_most(0.0, 0.0)
        })],
        run: |lan, nodes, notes| false_downs(lan, nodes, notes, secs(600)),
    },
];

/// An hour at rest: the simulated day is 24 of these.
pub const HOUR: Case = Case {
    name: "hour",
    sizes: &[254],
    seeds: |_| 24,
    figures: &[count("an idle hour: members declared down", |_| {
        at_most(0.0, 0.0)
    })],
    run: |lan, nodes, notes| false_downs(lan, nodes, notes, secs(3600)),
};

const fn seconds(name: &'static str, target: fn(usize) -> Option<Goal>) -> Figure {
    Figure {
        name,
        unit: Unit::Seconds,
        target,
    }
}

const fn count(name: &'static str, target: fn(usize) -> Option<Goal>) -> Figure {
    Figure {
        name,
        unit: Unit::Count,
        target,
    }
}

const fn rate(name: &'static str, target: fn(usize) -> Option<Goal>) -> Figure {
    Figure {
        name,
        unit: Unit::KilobytesPerSecond,
        target,
    }
}

fn at_most(p50: f64, p99: f64) -> Option<Goal> {
    Some(Goal { p50, p99 })
}

fn no_target(_nodes: usize) -> Option<Goal> {
    None
}

/// A cluster whose nodes have found each other and been at rest for a while.
fn settled(lan: &mut Lan, nodes: usize) -> Vec<usize> {
    lan.loss = LOSS;
    started(lan, nodes)
}

pub(super) fn started(lan: &mut Lan, nodes: usize) -> Vec<usize> {
    let all = lan.cluster(nodes);
    lan.settle_into(&[&all], LIMIT);
    rest(lan);
    all
}

/// Lets a random time pass.
pub(super) fn rest(lan: &mut Lan) {
    let while_ = secs(3) + lan.chance(secs(2));
    lan.run(while_);
    lan.log.clear();
}

pub(super) fn without(all: &[usize], one: usize) -> Vec<usize> {
    all.iter()
        .copied()
        .filter(|&machine| machine != one)
        .collect()
}

/// One of the machines, a different one each time.
pub(super) fn victim(lan: &mut Lan, all: &[usize]) -> usize {
    let at = lan
        .chance(Duration::from_nanos(all.len() as u64 * 1000))
        .as_nanos()
        / 1000;
    all[usize::try_from(at).unwrap_or(0).min(all.len() - 1)]
}

fn cut(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    lan.loss = LOSS;
    cut_no_loss(lan, nodes, notes);
}

fn cut_no_loss(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = started(lan, nodes);
    // One second of a thousand nodes takes 15 seconds to compute.
    let repeats = if nodes > 254 { 2 } else { REPEATS };
    for _ in 0..repeats {
        let gone = victim(lan, &all);
        lan.set_linked(gone, false);
        let others = without(&all, gone);
        notes.note(0, lan.settle_into(&[&others], LIMIT));
        rest(lan);
        lan.set_linked(gone, true);
        lan.settle_into(&[&all], LIMIT);
        rest(lan);
    }
}

fn join_all(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    lan.loss = LOSS;
    let all = lan.cluster(nodes);
    notes.note(0, lan.settle_into(&[&all], LIMIT));
}

fn join_seed(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    lan.loss = LOSS;
    let base = u32::from(Ipv4Addr::new(10, 10, 10, 2));
    let all: Vec<usize> = (base..)
        .take(nodes)
        .map(|ip| lan.machine(&Ipv4Addr::from(ip).to_string()))
        .collect();
    let seed = SocketAddrV4::new(Ipv4Addr::from(base), PORT);
    for &machine in &all {
        lan.machines[machine].broadcasts = false;
        lan.machines[machine].join = if machine == all[0] {
            Vec::new()
        } else {
            vec![seed]
        };
        lan.start(machine);
    }
    notes.note(0, lan.settle_into(&[&all], LIMIT));
}

fn join_one(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let mut all = settled(lan, nodes - 1);
    let ip = u32::from(Ipv4Addr::new(10, 10, 10, 2)) + u32::try_from(nodes).unwrap_or(0);
    let new = lan.machine(&Ipv4Addr::from(ip).to_string());
    all.push(new);
    lan.start(new);
    notes.note(0, lan.settle_into(&[&all], LIMIT));
    for _ in 1..REPEATS {
        lan.leave(new);
        lan.settle_into(&[&without(&all, new)], LIMIT);
        rest(lan);
        lan.start(new);
        notes.note(0, lan.settle_into(&[&all], LIMIT));
        rest(lan);
    }
}

fn split(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = settled(lan, nodes);
    let (left, right) = all.split_at(nodes / 2);
    right
        .iter()
        .for_each(|&machine| lan.machines[machine].part = 1);
    notes.note(0, lan.settle_into(&[left, right], LIMIT));
    let apart = secs(30) + lan.chance(secs(2));
    lan.run(apart);
    right
        .iter()
        .for_each(|&machine| lan.machines[machine].part = 0);
    notes.note(1, lan.settle_into(&[&all], LIMIT));
}

fn kill(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = settled(lan, nodes);
    for _ in 0..REPEATS {
        let gone = victim(lan, &all);
        lan.kill(gone);
        notes.note(0, lan.settle_into(&[&without(&all, gone)], LIMIT));
        rest(lan);
        lan.start(gone);
        lan.settle_into(&[&all], LIMIT);
        rest(lan);
    }
}

fn kill_unnoticed(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    lan.hints = false;
    kill(lan, nodes, notes);
}

fn leave(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = settled(lan, nodes);
    for _ in 0..REPEATS {
        let gone = victim(lan, &all);
        lan.leave(gone);
        notes.note(0, lan.settle_into(&[&without(&all, gone)], LIMIT));
        rest(lan);
        lan.start(gone);
        lan.settle_into(&[&all], LIMIT);
        rest(lan);
    }
}

fn release(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = settled(lan, nodes);
    lan.loss = 0.05;
    for turn in 0..REPEATS {
        let at = victim(lan, &all);
        let component = Component::of(turn.to_string().as_bytes());
        push(lan, at, component);
        notes.note(0, lan.agree_on(&all, component.digest, LIMIT));
        rest(lan);
    }
}

pub(super) fn push(lan: &mut Lan, at: usize, component: Component) {
    let what = What::Push {
        component,
        plan: Plan::default(),
    };
    let request = Request {
        what,
        by: "someone".to_owned(),
        note: "what changed since the one before, in a line".to_owned(),
        expect: None,
        again: false,
    };
    let (now, wall_ms) = (lan.now, lan.wall_ms(at));
    let release = lan.node(at).draft(now, wall_ms, request);
    let release = release.unwrap_or_else(|error| panic!("no release: {error}"));
    lan.give(at, Input::Publish(release));
}

fn freeze(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = settled(lan, nodes);
    for (figure, asleep) in [(0, secs(1)), (1, secs(2))] {
        let frozen = victim(lan, &all);
        lan.freeze(frozen);
        lan.run(asleep);
        lan.thaw(frozen);
        let back = lan.settle_into(&[&all], LIMIT);
        if figure == 1 {
            notes.note(2, back);
        }
        rest_counting(lan, figure, notes);
    }
}

/// Lets a while pass, and notes how often a member was declared down in that time.
fn rest_counting(lan: &mut Lan, figure: usize, notes: &mut Notes) {
    lan.run(secs(5));
    notes.note(figure, downs(lan) as f64);
    rest(lan);
}

fn downs(lan: &Lan) -> usize {
    let down = |entry: &&crate::sim::LogEntry| matches!(entry.effect, Effect::Down { .. });
    lan.log.iter().filter(down).count()
}

fn idle(lan: &mut Lan, nodes: usize, notes: &mut Notes) {
    let all = settled(lan, nodes);
    lan.run(secs(5));
    let total = |lan: &Lan| {
        all.iter()
            .map(|&m| &lan.machines[m])
            .fold((0, 0), |(sent, received), machine| {
                (
                    sent + machine.sent.1 + machine.synced.1,
                    received + machine.received.1,
                )
            })
    };
    let (before, seconds) = (total(lan), 60);
    lan.run(secs(seconds));
    let after = total(lan);
    let each = |bytes: u64| bytes as f64 / seconds as f64 / nodes as f64 / 1000.0;
    notes.note(0, each(after.0 - before.0));
    notes.note(1, each(after.1 - before.1));
}

fn false_downs(lan: &mut Lan, nodes: usize, notes: &mut Notes, duration: Duration) {
    let _all = settled(lan, nodes);
    let end = lan.now + duration;
    while lan.now < end {
        // In slices, only so that the log can be read after a failure.
        lan.run(ms(1000));
    }
    notes.note(0, downs(lan) as f64);
}
