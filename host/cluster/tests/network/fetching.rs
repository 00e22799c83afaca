//! A component goes from the one node that has it to all others, whatever happens on
//! the way.

use std::time::Duration;

use cluster::Input;
use cluster::fetch::Chunks;
use cluster::release::{Component, Plan, Request, What};
use cluster::sim::figures::{CASES, measure};
use cluster::sim::{Lan, ms, secs, with_seeds};

/// A component of forty chunks.
fn component(name: &str) -> Component {
    Component {
        size: 10_000_000,
        ..Component::of(name.as_bytes())
    }
}

/// A machine that has a component releases it.
fn push(lan: &mut Lan, at: usize, component: Component) {
    lan.put_app(at, component.digest, Chunks::all_of(&component));
    let request = Request {
        what: What::Push {
            component,
            plan: Plan::default(),
        },
        by: String::new(),
        note: String::new(),
        expect: None,
        again: false,
    };
    let (now, wall_ms) = (lan.now, lan.wall_ms(at));
    let release = lan
        .node(at)
        .draft(now, wall_ms, request)
        .expect("a release");
    lan.give(at, Input::Publish(release));
}

/// Nodes that have found each other.
fn cluster(lan: &mut Lan, nodes: usize) -> Vec<usize> {
    lan.fetches = true;
    let all = lan.cluster(nodes);
    lan.wait(secs(5), "found", |lan| lan.agree(&all));
    lan.run(secs(2));
    all
}

/// Runs until it is done, looking every millisecond: that a chunk has come is
/// nothing that a node reports.
fn until(lan: &mut Lan, within: Duration, what: &str, done: impl Fn(&Lan) -> bool) {
    let start = lan.now;
    while !done(lan) {
        assert!(
            lan.now.since(start) < within,
            "not within {within:?}: {what}"
        );
        lan.run(ms(1));
    }
}

fn share(lan: &Lan, machine: usize, component: &Component) -> usize {
    let held = lan
        .held(machine)
        .filter(|held| held.digest == component.digest);
    held.map_or(0, |held| held.have.len())
}

fn have_all(lan: &Lan, machines: &[usize], component: &Component) -> bool {
    let all = |&machine: &usize| share(lan, machine, component) == component.chunks();
    machines.iter().all(all)
}

#[test]
fn an_app_of_ten_megabytes_is_on_254_nodes_within_a_second() {
    let case = CASES.iter().find(|case| case.name == "fetch");
    let notes = measure(case.expect("a case"), 254, 1);
    let worst = notes.percentile(0, 1.0).expect("a value");
    println!("10 MB to 254 nodes: {worst} s");
    assert!(worst <= 1.0, "{worst}");
}

#[test]
fn no_node_sends_an_app_to_all_and_none_gets_a_chunk_twice() {
    with_seeds(5, |lan| {
        let all = cluster(lan, 30);
        let component = component("new");
        push(lan, all[0], component);
        until(lan, secs(2), "fetched", |lan| {
            have_all(lan, &all, &component)
        });
        let given: Vec<usize> = all.iter().map(|&it| lan.given(it)).collect();
        println!("chunks that each gave: {given:?}");
        assert_eq!(given.iter().sum::<usize>(), 29 * component.chunks());
        assert!(given[0] < 29 * component.chunks() / 4, "{given:?}");
    });
}

#[test]
fn when_the_only_one_that_has_it_dies_the_others_keep_what_they_have_and_go_on_when_it_is_back() {
    with_seeds(20, |lan| {
        let all = cluster(lan, 3);
        let component = component("new");
        push(lan, all[0], component);
        until(lan, secs(1), "a third", |lan| {
            all[1..]
                .iter()
                .any(|&it| share(lan, it, &component) * 3 >= component.chunks())
        });
        lan.kill(all[0]);
        lan.run(secs(10));
        let shares = [all[1], all[2]].map(|it| share(lan, it, &component));
        // What one of them has, the other has got from it.
        assert_eq!(shares[0], shares[1]);
        assert!(shares[0] < component.chunks(), "or it died too late");
        lan.start(all[0]);
        lan.put_app(all[0], component.digest, Chunks::all_of(&component));
        until(lan, secs(5), "fetched", |lan| {
            have_all(lan, &all, &component)
        });
    });
}

#[test]
fn when_nobody_has_it_any_more_it_fails_and_says_what_is_missing() {
    with_seeds(3, |lan| {
        let all = cluster(lan, 3);
        let component = component("new");
        push(lan, all[0], component);
        lan.run(ms(30));
        lan.kill(all[0]);
        let failed = |lan: &Lan, it: usize| lan.held(it).and_then(|held| held.failed);
        until(lan, secs(40), "failed", |lan| {
            all[1..].iter().all(|&it| failed(lan, it).is_some())
        });
        let text = failed(lan, all[1]).expect("an error").to_string();
        let missing = component.chunks() - share(lan, all[1], &component);
        assert!(
            text.starts_with(&format!("{missing} of {} chunks", component.chunks())),
            "{text}"
        );
    });
}

#[test]
fn a_node_that_is_killed_midway_fetches_it_after_its_start() {
    with_seeds(5, |lan| {
        let all = cluster(lan, 10);
        let component = component("new");
        push(lan, all[0], component);
        lan.run(ms(40));
        assert!(!have_all(lan, &all[9..], &component), "it is too late");
        lan.kill(all[9]);
        until(lan, secs(2), "fetched", |lan| {
            have_all(lan, &all[..9], &component)
        });
        lan.start(all[9]);
        until(lan, secs(5), "fetched too", |lan| {
            have_all(lan, &all, &component)
        });
    });
}

#[test]
fn a_link_that_is_cut_midway_and_mended_only_delays_it() {
    with_seeds(5, |lan| {
        let all = cluster(lan, 10);
        let component = component("new");
        push(lan, all[0], component);
        lan.run(ms(40));
        lan.set_linked(all[9], false);
        lan.run(secs(8));
        assert!(have_all(lan, &all[..9], &component));
        assert!(
            !have_all(lan, &all[9..], &component),
            "it was cut off too late"
        );
        lan.set_linked(all[9], true);
        until(lan, secs(15), "fetched", |lan| {
            have_all(lan, &all, &component)
        });
    });
}

#[test]
fn liars_are_found_out_and_the_app_comes_from_the_others() {
    with_seeds(5, |lan| {
        let all = cluster(lan, 12);
        for &liar in &all[9..] {
            lan.machines[liar].lies = true;
        }
        let component = component("new");
        push(lan, all[0], component);
        until(lan, secs(3), "fetched", |lan| {
            have_all(lan, &all, &component)
        });
        let found = |&it: &usize| lan.held(it).map_or(0, |held| held.liars);
        let most = all.iter().map(found).max();
        assert!(most > Some(0) && most <= Some(3), "{most:?}");
    });
}

#[test]
fn a_newer_release_is_fetched_instead_of_the_one_before() {
    with_seeds(5, |lan| {
        let all = cluster(lan, 10);
        let (old, new) = (component("old"), component("new"));
        push(lan, all[0], old);
        lan.run(ms(30));
        push(lan, all[1], new);
        until(lan, secs(3), "fetched", |lan| have_all(lan, &all, &new));
    });
}

#[test]
fn a_node_that_joins_later_fetches_the_target() {
    with_seeds(5, |lan| {
        let all = cluster(lan, 5);
        let component = component("new");
        push(lan, all[0], component);
        until(lan, secs(3), "fetched", |lan| {
            have_all(lan, &all, &component)
        });
        lan.kill(all[0]);
        let new = lan.machine("10.10.10.99");
        lan.start(new);
        until(lan, secs(5), "fetched too", |lan| {
            have_all(lan, &[new], &component)
        });
    });
}
