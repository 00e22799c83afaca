//! Many nodes. The figures that are cheap enough are held here to their targets;
//! `cargo xtask sim` takes all of them, with more seeds and at more sizes.

use cluster::Effect;
use cluster::sim::figures::{CASES, Notes, measure};

use cluster::sim::{ms, secs, with_seeds};

#[test]
fn fifty_nodes_that_start_together_find_each_other() {
    with_seeds(3, |lan| {
        let all = lan.cluster(50);
        let took = lan.wait(secs(2), "found", |lan| lan.agree(&all));
        println!("50 nodes found each other in {took:?}");
        lan.run(secs(3));
        let (before, sent) = (lan.log.len(), lan.sent);
        lan.run(secs(60));
        assert_eq!(lan.changes_since(before), 0);
        let per_node = (lan.sent.1 - sent.1) / 60 / 50;
        println!("{per_node} B/s sent by each at rest");
        assert!(per_node < 2_000, "{per_node}");
    });
}

#[test]
fn one_of_fifty_dies_and_one_joins() {
    with_seeds(3, |lan| {
        let all = lan.cluster(50);
        lan.wait(secs(2), "found", |lan| lan.agree(&all));
        lan.run(secs(3));
        lan.kill(all[49]);
        let took = lan.wait(ms(300), "gone", |lan| lan.agree(&all[..49]));
        println!("49 nodes saw it die in {took:?}");
        lan.run(secs(1));
        lan.start(all[49]);
        let took = lan.wait(ms(50), "back", |lan| lan.agree(&all));
        println!("50 nodes listed it again in {took:?}");
    });
}

#[test]
fn a_cut_link_among_fifty_is_seen_by_all_within_3_s_and_by_nobody_twice() {
    with_seeds(3, |lan| {
        let all = lan.cluster(50);
        lan.wait(secs(2), "found", |lan| lan.agree(&all));
        lan.run(secs(3));
        let before = lan.log.len();
        lan.set_linked(all[49], false);
        let took = lan.wait(secs(3), "gone", |lan| lan.agree(&all[..49]));
        println!("49 nodes saw the cut in {took:?}");
        lan.run(secs(10));
        let downs = lan.since(before).filter(|entry| {
            entry.machine != all[49] && matches!(entry.effect, Effect::Down { .. })
        });
        assert_eq!(downs.count(), 49);
    });
}

#[test]
fn fifty_nodes_lose_nobody_at_one_per_cent_of_loss() {
    with_seeds(1, |lan| {
        lan.loss = 0.01;
        let all = lan.cluster(50);
        lan.wait(secs(5), "found", |lan| lan.agree(&all));
        lan.run(secs(3));
        let before = lan.log.len();
        lan.run(secs(300));
        assert_eq!(lan.changes_since(before), 0);
    });
}

/// Runs a case with some seeds and holds the median of all values, and every
/// value, to the targets.
fn holds(case: &str, nodes: usize, seeds: std::ops::RangeInclusive<u64>) {
    let case = CASES.iter().find(|it| it.name == case).expect("a case");
    let mut all = Notes::new(case.figures.len());
    for seed in seeds.clone() {
        let notes = measure(case, nodes, seed);
        for (at, figure) in case.figures.iter().enumerate() {
            let worst = notes.percentile(at, 1.0).expect("a value");
            println!("{}, {nodes} nodes, seed {seed}: {worst}", figure.name);
        }
        all.add(notes);
    }
    for (at, figure) in case.figures.iter().enumerate() {
        let (p50, worst) = (all.percentile(at, 0.5), all.percentile(at, 1.0));
        if let Some(target) = (figure.target)(nodes) {
            let name = figure.name;
            assert!(
                target.is_met(p50, worst),
                "{name}, seeds {seeds:?}: {p50:?}, {worst:?}"
            );
        }
    }
}

#[test]
fn a_cut_link_among_254_is_seen_by_all_in_time() {
    holds("cut", 254, 1..=1);
}

#[test]
fn two_hundred_and_fifty_four_nodes_find_each_other_in_time() {
    holds("join-all", 254, 1..=3);
    holds("join-seed", 254, 1..=3);
}

#[test]
fn halves_of_254_nodes_part_and_come_together_in_time() {
    holds("split", 254, 1..=1);
}

#[test]
fn a_second_of_standstill_takes_no_one_of_fifty_down_and_two_are_made_up_for() {
    holds("freeze", 50, 1..=10);
}

#[test]
fn a_cluster_of_254_at_rest_sends_little() {
    holds("idle", 254, 1..=1);
}

#[test]
fn ten_minutes_at_one_per_cent_of_loss_take_no_one_of_254_down() {
    holds("false-downs", 254, 1..=1);
}
