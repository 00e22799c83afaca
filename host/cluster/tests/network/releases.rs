//! Release agreement on a network that loses, parts and restarts.

use std::sync::Arc;
use std::time::Duration;

use cluster::release::{
    AppFile, Component, DraftError, News, PathId, Plan, Release, ReleaseKind, Request, RollbackTo,
    What,
};
use cluster::sim::{Lan, ms, secs, with_seeds};
use cluster::{Digest, Effect, Input, Refusal};

pub(crate) fn component(name: &str) -> Component {
    Component::of(name.as_bytes())
}

fn file(name: &str) -> AppFile {
    AppFile {
        path: PathId::of(b"guest.wasm"),
        component: component(name),
    }
}

/// Asks a node to release something.
pub(crate) fn release(
    lan: &mut Lan,
    machine: usize,
    what: What,
) -> Result<Arc<Release>, DraftError> {
    let request = Request {
        what,
        by: "someone".to_owned(),
        note: String::new(),
        expect: None,
        again: false,
    };
    let (now, wall_ms) = (lan.now, lan.wall_ms(machine));
    let release = lan.node(machine).draft(now, wall_ms, request)?;
    lan.give(machine, Input::Publish(release.clone()));
    Ok(release)
}

pub(crate) fn push(lan: &mut Lan, machine: usize, name: &str) -> Arc<Release> {
    let plan = Plan::default();
    let what = What::Push {
        component: component(name),
        plan,
    };
    release(lan, machine, what).expect("a release")
}

fn rollback(lan: &mut Lan, machine: usize) -> Result<Arc<Release>, DraftError> {
    release(lan, machine, What::Rollback(RollbackTo::Previous))
}

pub(crate) fn serves(lan: &Lan, machine: usize) -> Option<Digest> {
    lan.node(machine).target().map(|target| target.digest)
}

pub(crate) fn all_serve(lan: &Lan, machines: &[usize], name: &str) -> bool {
    let digest = Some(component(name).digest);
    machines
        .iter()
        .all(|&machine| serves(lan, machine) == digest)
}

/// A cluster that has been at rest for a while, where one release is the target.
pub(crate) fn settled(lan: &mut Lan, count: usize) -> Vec<usize> {
    let all = lan.cluster(count);
    lan.wait(secs(10), "found", |lan| lan.agree(&all));
    lan.run(secs(3));
    push(lan, all[0], "base");
    lan.wait(secs(2), "the first release", |lan| {
        all_serve(lan, &all, "base")
    });
    lan.run(secs(2));
    all
}

pub(crate) fn part(lan: &mut Lan, machines: &[usize], part: u32) {
    machines
        .iter()
        .for_each(|&machine| lan.machines[machine].part = part);
}

fn news(lan: &Lan, since: usize, machine: usize) -> Vec<News> {
    lan.since(since)
        .filter(|entry| entry.machine == machine)
        .filter_map(|entry| match &entry.effect {
            Effect::Release(news) => Some(news.clone()),
            _ => None,
        })
        .collect()
}

/// Nobody took what honest nodes told for a replay.
fn none_is_old(lan: &Lan, machines: &[usize]) {
    for &machine in machines {
        let old = lan.node(machine).counters().records.old;
        assert_eq!(old, 0, "machine {machine}");
    }
}

#[test]
fn a_release_is_known_by_all_in_a_moment_where_nothing_is_lost() {
    with_seeds(20, |lan| {
        let all = settled(lan, 20);
        push(lan, all[7], "new");
        let took = lan.wait(secs(1), "known", |lan| all_serve(lan, &all, "new"));
        assert!(took <= ms(1), "{took:?}");
    });
}

#[test]
fn a_release_is_known_by_all_of_254_within_half_a_second_at_5_per_cent_of_loss() {
    let worst = std::cell::Cell::new(Duration::ZERO);
    with_seeds(10, |lan| {
        let all = settled(lan, 254);
        lan.loss = 0.05;
        push(lan, all[100], "new");
        let took = lan.wait(secs(3), "known", |lan| all_serve(lan, &all, "new"));
        worst.set(worst.get().max(took));
    });
    println!("worst of ten: {:?}", worst.get());
    assert!(worst.get() <= ms(500), "{:?}", worst.get());
}

#[test]
fn a_release_reaches_nodes_without_broadcast() {
    with_seeds(10, |lan| {
        let all: Vec<usize> = (2..10)
            .map(|last| lan.machine(&format!("10.10.10.{last}")))
            .collect();
        for &machine in &all {
            lan.machines[machine].adjust = |config| {
                config.broadcast = None;
                config.join = vec!["10.10.10.2:8383".parse().expect("an address")];
            };
            lan.start(machine);
        }
        lan.wait(secs(20), "found", |lan| lan.agree(&all));
        lan.run(secs(3));
        push(lan, all[5], "new");
        let took = lan.wait(secs(3), "known", |lan| all_serve(lan, &all, "new"));
        assert!(took <= secs(2), "{took:?}");
    });
}

#[test]
fn a_node_that_was_away_learns_all_it_has_missed() {
    with_seeds(20, |lan| {
        let all = settled(lan, 5);
        lan.kill(all[4]);
        for step in 0..50 {
            push(lan, all[step % 4], &format!("{step}"));
            lan.run(ms(50));
        }
        lan.start(all[4]);
        let took = lan.wait(secs(3), "caught up", |lan| all_serve(lan, &all[4..], "49"));
        assert!(took <= ms(1500), "{took:?}");
        lan.run(secs(5));
        assert_eq!(lan.node(all[4]).releases().count(), 51, "the history too");
        none_is_old(lan, &all);
    });
}

#[test]
fn a_restarted_node_knows_its_last_release_before_anybody_answers() {
    with_seeds(5, |lan| {
        let all = settled(lan, 3);
        push(lan, all[0], "new");
        lan.wait(secs(1), "known", |lan| all_serve(lan, &all, "new"));
        lan.kill(all[2]);
        lan.run(secs(1));
        part(lan, &all[2..], 1);
        lan.start(all[2]);
        assert!(all_serve(lan, &all[2..], "new"));
    });
}

#[test]
fn two_sides_of_a_cut_that_both_push_agree_when_it_heals_and_the_loser_is_told() {
    with_seeds(20, |lan| {
        let all = settled(lan, 6);
        let (left, right) = all.split_at(3);
        part(lan, right, 1);
        lan.wait(secs(5), "parted", |lan| lan.agree(left) && lan.agree(right));
        let before = lan.log.len();
        for (step, &machine) in left.iter().enumerate() {
            push(lan, machine, &format!("left {step}"));
            lan.run(secs(1));
        }
        let lost = push(lan, left[0], "lost");
        lan.run(secs(1));
        let won = push(lan, right[1], "won");
        lan.run(secs(1));
        part(lan, right, 0);
        lan.wait(secs(5), "healed", |lan| all_serve(lan, &all, "won"));
        lan.run(secs(5));
        for &machine in &all {
            let told = news(lan, before, machine).into_iter().any(|news| {
                matches!(&news, News::Superseded { release, by } if *release == lost && *by == won)
            });
            assert!(told, "machine {machine}");
            assert!(lan.node(machine).releases().any(|it| *it == lost));
        }
        none_is_old(lan, &all);
    });
}

#[test]
fn a_node_whose_clock_runs_ahead_refuses_to_push_and_one_behind_does_not() {
    with_seeds(10, |lan| {
        let all = settled(lan, 4);
        lan.machines[all[1]].clock_off = 700;
        lan.machines[all[2]].clock_off = -60_000;
        let what = || What::Push {
            component: component("new"),
            plan: Plan::default(),
        };
        // Its own clock it sees at once.
        let refused = release(lan, all[1], what());
        let ahead = match refused {
            Err(DraftError::ClockAhead(ahead)) => ahead,
            other => panic!("{other:?}"),
        };
        assert!((690..=710).contains(&ahead), "{ahead}");
        assert!(matches!(
            release(lan, all[1], What::Rollback(RollbackTo::Previous)),
            Err(DraftError::ClockAhead(_))
        ));
        assert!(release(lan, all[2], what()).is_ok());
        lan.wait(secs(1), "known", |lan| all_serve(lan, &all, "new"));
        lan.machines[all[1]].clock_off = 0;
        push(lan, all[1], "again");
        lan.wait(secs(1), "known", |lan| all_serve(lan, &all, "again"));
    });
}

#[test]
fn a_node_that_was_frozen_does_not_take_its_clock_for_ahead() {
    with_seeds(10, |lan| {
        let all = settled(lan, 4);
        lan.freeze(all[3]);
        lan.run(secs(60));
        lan.thaw(all[3]);
        lan.run(ms(1));
        push(lan, all[3], "new");
    });
}

#[test]
fn a_synced_folder_makes_one_release_and_a_watcher_that_lags_does_not_undo_a_rollback() {
    with_seeds(50, |lan| {
        let all = lan.cluster(3);
        for &machine in &all {
            lan.give(machine, Input::AppFile(file("old")));
        }
        lan.wait(secs(10), "found", |lan| lan.agree(&all));
        lan.run(secs(5));
        assert!(all_serve(lan, &all, "old"));
        assert_eq!(lan.node(all[0]).releases().count(), 1);
        lan.give(all[0], Input::AppFile(file("bad")));
        let lag = lan.chance(secs(2));
        lan.run(lag);
        lan.give(all[1], Input::AppFile(file("bad")));
        let pause = lan.chance(secs(2));
        lan.run(pause);
        rollback(lan, all[0]).expect("there is something before");
        let lag = lan.chance(secs(2));
        lan.run(lag);
        lan.give(all[2], Input::AppFile(file("bad")));
        lan.run(secs(5));
        assert!(all_serve(lan, &all, "old"));
        let releases: Vec<_> = lan.node(all[2]).releases().map(|it| it.kind()).collect();
        assert_eq!(
            releases,
            [
                ReleaseKind::Rollback,
                ReleaseKind::Push,
                ReleaseKind::Bootstrap
            ]
        );
    });
}

#[test]
fn a_release_whose_later_record_comes_first_is_understood() {
    with_seeds(20, |lan| {
        lan.latency = 100..200_000;
        let all = settled(lan, 4);
        let before = lan.log.len();
        push(lan, all[0], "one");
        push(lan, all[0], "two");
        push(lan, all[0], "three");
        lan.wait(secs(3), "known", |lan| all_serve(lan, &all, "three"));
        lan.run(secs(5));
        for &machine in &all {
            assert_eq!(lan.node(machine).releases().count(), 4);
            let lost = |news: &News| matches!(news, News::Superseded { .. });
            assert_eq!(
                news(lan, before, machine)
                    .iter()
                    .filter(|it| lost(it))
                    .count(),
                0
            );
        }
    });
}

#[test]
fn a_node_that_was_away_while_its_file_changed_does_not_bring_back_what_was_rolled_back() {
    with_seeds(20, |lan| {
        let all = lan.cluster(3);
        for &machine in &all {
            lan.give(machine, Input::AppFile(file("old")));
        }
        lan.wait(secs(10), "released", |lan| all_serve(lan, &all, "old"));
        lan.run(secs(3));
        lan.kill(all[2]);
        for name in ["x", "bad"] {
            lan.give(all[0], Input::AppFile(file(name)));
            lan.run(secs(1));
        }
        rollback(lan, all[0]).expect("there is something before");
        lan.run(secs(1));
        // Its folder was synced when it last changed.
        lan.start(all[2]);
        lan.give(all[2], Input::AppFile(file("bad")));
        lan.run(secs(15));
        assert!(all_serve(lan, &all, "x"));
    });
}

#[test]
fn a_node_whose_clock_is_ahead_when_it_starts_does_not_release_its_changed_file() {
    with_seeds(10, |lan| {
        let all = lan.cluster(3);
        for &machine in &all {
            lan.give(machine, Input::AppFile(file("old")));
        }
        lan.wait(secs(10), "released", |lan| all_serve(lan, &all, "old"));
        lan.run(secs(3));
        lan.kill(all[2]);
        lan.machines[all[2]].clock_off = 3_600_000;
        let before = lan.log.len();
        lan.run(secs(1));
        lan.start(all[2]);
        lan.give(all[2], Input::AppFile(file("new")));
        lan.run(secs(15));
        assert!(all_serve(lan, &all, "old"));
        let refused = news(lan, before, all[2])
            .into_iter()
            .find_map(|news| match news {
                News::File { outcome, .. } => Some(outcome),
                _ => None,
            });
        assert!(
            matches!(refused, Some(Err(DraftError::ClockAhead(_)))),
            "{refused:?}"
        );
    });
}

#[test]
fn a_node_alone_releases_its_file_soon_after_its_start() {
    with_seeds(5, |lan| {
        let all = lan.cluster(1);
        lan.give(all[0], Input::AppFile(file("mine")));
        let took = lan.wait(secs(5), "released", |lan| all_serve(lan, &all, "mine"));
        assert!(took <= ms(2500), "{took:?}");
    });
}

#[test]
fn a_node_that_refuses_what_the_others_know_is_not_told_it_for_ever() {
    with_seeds(3, |lan| {
        let all = settled(lan, 5);
        for step in 0..100 {
            push(lan, all[0], &format!("{step}"));
            lan.run(ms(20));
        }
        lan.kill(all[4]);
        lan.machines[all[4]].disk = Default::default();
        lan.machines[all[4]].adjust =
            |config| config.deploy_key = format!("berlin:{}", "01".repeat(32)).parse().ok();
        lan.start(all[4]);
        lan.run(secs(120));
        let synced = |lan: &Lan| lan.machines.iter().map(|it| it.synced.1).sum::<u64>();
        let before = synced(lan);
        lan.run(secs(120));
        let each = (synced(lan) - before) / 120 / 5;
        assert!(each < 2_000, "{each} B/s of states by each node");
        let refused = lan.node(all[4]).counters().refused.of(Refusal::Unsigned);
        assert!(refused > 0, "and it says so");
        assert_eq!(serves(lan, all[4]), None);
    });
}
