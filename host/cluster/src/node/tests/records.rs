//! Records of releases that a member sends although they are not new, and records that a node
//! no longer sends.

use std::sync::Arc;

use super::*;
use crate::agreement::{SETTLED, WANT_MOST};
use crate::release::{Component, Plan, Release, Request, What};

/// A release that this node makes itself.
fn push(bench: &mut Bench, name: &str) -> Arc<Release> {
    let request = Request {
        what: What::Push {
            component: Component::of(name.as_bytes()),
            plan: Plan::default(),
        },
        by: String::new(),
        note: String::new(),
        expect: None,
        again: false,
    };
    let release = bench.node.draft(bench.now, 0, request);
    let release = release.expect("it can be released");
    let publish = Input::Publish(release.clone());
    bench.node.handle(bench.now, 0, publish);
    release
}

fn tell(bench: &mut Bench, puppet: &mut Puppet, release: &Release) {
    puppet.say(bench, &Message::Release(release.bytes()));
}

/// How many records were refused as old, and how many of these were reported.
fn old(bench: &mut Bench) -> (u64, u64) {
    let reported = bench
        .effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Refused {
                why: Refusal::Old,
                count,
                ..
            } => Some(count),
            _ => None,
        });
    let reported = reported.sum();
    let counters = bench.node.counters();
    assert_eq!(counters.records.old, counters.refused.of(Refusal::Old));
    (counters.records.old, reported)
}

#[test]
fn a_release_that_is_told_again_after_another_has_followed_is_counted_and_changes_nothing() {
    let (mut bench, mut puppet) = (Bench::new(), Puppet::new(3, 5));
    puppet.join(&mut bench);
    let first = push(&mut bench, "one");
    let second = push(&mut bench, "two");
    // Two pushes in a row may still be on their way.
    tell(&mut bench, &mut puppet, &first);
    assert_eq!(old(&mut bench), (0, 0));
    bench.pass(SETTLED);
    let known = (bench.node.releases_hash(), bench.node.target());
    tell(&mut bench, &mut puppet, &first);
    assert_eq!(old(&mut bench), (1, 1));
    // A member may send the target at any time.
    tell(&mut bench, &mut puppet, &second);
    // It is reported once a minute.
    tell(&mut bench, &mut puppet, &first);
    assert_eq!(old(&mut bench), (2, 0));
    let knows = (bench.node.releases_hash(), bench.node.target());
    assert_eq!(knows, known);
}

#[test]
fn a_release_that_this_node_has_asked_for_is_never_old() {
    let (mut bench, mut puppet) = (Bench::new(), Puppet::new(3, 5));
    puppet.join(&mut bench);
    let first = push(&mut bench, "one");
    push(&mut bench, "two");
    bench.pass(SETTLED);
    let (now, from) = (bench.now, puppet.run.address());
    let node = &mut bench.node;
    node.clock.enter(now, 0, None);
    let at = node.clock.at(&node.me);
    node.agreement.want(at, from, first.id(), &mut node.outbox);
    tell(&mut bench, &mut puppet, &first);
    assert_eq!(old(&mut bench), (0, 0));
    bench.pass(WANT_MOST);
    tell(&mut bench, &mut puppet, &first);
    assert_eq!(old(&mut bench), (1, 1));
}

#[test]
fn what_a_node_stored_in_its_last_run_is_old_if_it_is_told_as_new() {
    let (mut bench, mut puppet) = (Bench::new(), Puppet::new(3, 5));
    let first = push(&mut bench, "one");
    push(&mut bench, "two");
    let stored = bench
        .effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::StoreReleases { bytes, .. } => Some(bytes),
            _ => None,
        });
    let stored = stored.last();
    assert!(stored.is_some());
    let mut bench = Bench::with(|config| config.releases_stored = stored);
    puppet.join(&mut bench);
    bench.pass(SETTLED);
    tell(&mut bench, &mut puppet, &first);
    assert_eq!(old(&mut bench), (1, 1));
}

#[test]
fn a_record_that_cannot_be_read_is_counted() {
    let (mut bench, mut puppet) = (Bench::new(), Puppet::new(3, 5));
    puppet.join(&mut bench);
    puppet.say(&mut bench, &Message::Release(b"no record"));
    let counters = bench.node.counters();
    assert_eq!(counters.records.unreadable, 1);
    assert_eq!(counters.refused.of(Refusal::Content), 1);
}

#[test]
fn a_node_that_leaves_takes_part_no_more_and_releases_nothing() {
    let (mut bench, mut puppet) = (Bench::new(), Puppet::new(3, 5));
    puppet.join(&mut bench);
    assert!(bench.node.takes_part());
    bench.node.handle(bench.now, 0, Input::Leave);
    assert!(!bench.node.takes_part());
    bench.effects();
    push(&mut bench, "late");
    assert_eq!(bench.node.target(), None);
    assert!(bench.effects().is_empty());
    bench.pass(Duration::from_secs(1));
    assert!(!bench.node.takes_part(), "it has left");
}
