//! Each invariant can fail: in networks that are broken without the knowledge of the checks,
//! and with bounds that are too low.

use std::collections::BTreeSet;
use std::mem::discriminant;
use std::time::Duration;

use crate::Input;
use crate::release::{Component, Plan, Request, What};

use super::agreement::{self, Disagreement};
use super::attack::other_keys;
use super::audit::Audit;
use super::invariants::{self, Violation};
use super::ledger::Touch;
use super::runner::Runner;
use super::scenario::{Op, Scenario};
use super::{Failure, Harmless, Lan, Report, secs};

const THREE: &str = "seed 5; nodes 3; far 0";

/// Runs three nodes for a while, then the test's change, then to the end.
fn run_with(meddle: impl FnOnce(&mut Runner)) -> Result<Report, Box<Failure>> {
    let scenario: Scenario = THREE.parse().expect("a scenario");
    let mut runner = Runner::new(&scenario);
    runner.pass(secs(5));
    runner.judge();
    meddle(&mut runner);
    runner.judge();
    runner.finish(&scenario)
}

/// The kinds of violations.
fn kinds(result: Result<Report, Box<Failure>>) -> BTreeSet<&'static str> {
    let violations = result.err().map(|failure| failure.violations);
    let kind = |violation: &Violation| match violation {
        Violation::Diverged { .. } => "diverged",
        Violation::Disagreed { .. } => "disagreed",
        Violation::FalseDown { .. } => "false down",
        Violation::NameLost { .. } => "name lost",
        Violation::Restless { .. } => "restless",
        Violation::Twice { .. } => "twice",
        Violation::Changed { .. } => "changed",
        Violation::Noisy { .. } => "noisy",
        Violation::Grown { .. } => "grown",
        Violation::Late { .. } => "late",
    };
    violations.unwrap_or_default().iter().map(kind).collect()
}

fn cut_off(runner: &mut Runner) {
    runner.lan.set_linked(2, false);
    runner.pass(secs(6));
    runner.judge();
}

#[test]
fn a_fault_that_is_known_breaks_nothing() {
    let cut = run_with(|runner| runner.perform(Op::Cut(2, 6000)));
    assert_eq!(kinds(cut), BTreeSet::new());
}

#[test]
fn a_down_that_no_fault_explains_is_found() {
    let cut = run_with(|runner| {
        cut_off(runner);
        runner.lan.set_linked(2, true);
    });
    assert_eq!(kinds(cut), BTreeSet::from(["false down"]));
}

#[test]
fn a_node_that_is_not_listed_at_the_end_is_found() {
    let cut = run_with(|runner| {
        runner.ledger.open(Touch::Of(2), runner.lan.now);
        runner.ledger.open(Touch::By(2), runner.lan.now);
        cut_off(runner);
    });
    assert_eq!(kinds(cut), BTreeSet::from(["diverged"]));
}

#[test]
fn a_node_that_does_not_learn_of_a_release_is_found() {
    let one_refuses = run_with(|runner| {
        runner.lan.machines[2].adjust =
            |config| config.deploy_key = format!("berlin:{}", "01".repeat(32)).parse().ok();
        runner.perform(Op::Restart(2, 100));
        runner.pass(secs(3));
        runner.perform(Op::Push(0, 1));
    });
    assert_eq!(kinds(one_refuses), BTreeSet::from(["disagreed"]));
    let all_take_it = run_with(|runner| runner.perform(Op::Push(0, 1)));
    assert_eq!(kinds(all_take_it), BTreeSet::new());
}

#[test]
fn a_release_that_was_made_and_is_known_nowhere_is_found() {
    let unheard = run_with(|runner| {
        runner.perform(Op::Push(0, 1));
        let (now, wall_ms) = (runner.lan.now, runner.lan.wall_ms(0) + 1);
        let draft = runner.lan.node(0).draft(now, wall_ms, request(2));
        runner.lan.made.release(0, &draft.expect("a draft"));
    });
    assert_eq!(kinds(unheard), BTreeSet::from(["disagreed"]));
}

#[test]
fn a_release_that_nobody_made_is_found() {
    let invented = run_with(|runner| {
        let (now, wall_ms) = (runner.lan.now, runner.lan.wall_ms(0));
        let draft = runner.lan.node(0).draft(now, wall_ms, request(2));
        let release = draft.expect("a draft");
        runner.lan.give(0, Input::Publish(release));
    });
    assert!(kinds(invented).contains("disagreed"));
}

fn request(component: u8) -> Request {
    Request {
        what: What::Push {
            component: Component::of(&[component]),
            plan: Plan::default(),
        },
        by: String::new(),
        note: String::new(),
        expect: None,
        again: false,
    }
}

#[test]
fn who_serves_what_bakes_must_be_a_canary_of_it_and_all_of_these_must() {
    let mut lan = Lan::new(1);
    lan.cluster(3);
    lan.run(secs(1));
    lan.push(0, 1, None);
    lan.run(secs(1));
    lan.push(0, 2, Some(2));
    lan.run(secs(1));
    let how = |lan: &Lan| agreement::disagreed(lan, 3).map(|(_, how)| how);
    assert_eq!(how(&lan), None);
    let names = [1, 2].map(|at| lan.machines[at].name.clone());
    // A node serves it that should not.
    lan.machines[2].name = "example@10.10.10.99".parse().expect("a name");
    assert!(matches!(how(&lan), Some(Disagreement::NoCanary(_))));
    // One of two canaries does not serve it.
    lan.machines[2].name = names[1].clone();
    lan.machines[1].name = names[1].clone();
    assert!(matches!(how(&lan), Some(Disagreement::Target { .. })));
}

#[test]
fn a_name_that_is_given_up_for_no_reason_is_found() {
    let twin = run_with(|runner| {
        // The first one goes, so the second has the name alone; then the first is back.
        runner.perform(Op::Twin(2, 20_000, true));
        runner.shared.clear();
        runner.perform(Op::Kill(2));
        runner.pass(secs(8));
        runner.perform(Op::Start(2));
        runner.pass(secs(12));
    });
    assert!(kinds(twin).contains("name lost"));
}

#[test]
fn a_change_after_all_have_agreed_is_found() {
    let restart = run_with(|runner| {
        runner.agreed = true;
        runner.perform(Op::Restart(2, 100));
        runner.pass(secs(4));
    });
    assert_eq!(kinds(restart), BTreeSet::from(["restless"]));
}

#[test]
fn a_datagram_that_is_taken_in_twice_is_found() {
    let mut lan = Lan::new(1);
    lan.cluster(2);
    lan.tape = Some(Vec::new());
    lan.audit = Some(Audit::of(2));
    lan.run(secs(1));
    let tape = lan.tape.take().expect("a tape");
    assert_eq!(lan.audit.as_ref().map(|audit| audit.found.len()), Some(0));
    // A receiver that forgets and accepts the same again, as the audit sees it.
    let mut audit = lan.audit.take().expect("an audit");
    let again = tape
        .iter()
        .filter(|taped| audit.takes(&lan, 1, &taped.bytes));
    let again: Vec<_> = again.cloned().collect();
    assert!(!again.is_empty());
    for taped in &again {
        audit.note(&lan, 1, &taped.bytes);
    }
    assert!(
        audit
            .found
            .iter()
            .all(|violation| matches!(violation, Violation::Twice { .. }))
    );
    assert_eq!(audit.found.len(), again.len());
}

/// The result of an audit that gets wrong facts about the first machine, so that everything
/// which that machine accepts is a violation.
fn misled(mislead: impl FnOnce(&mut Lan)) -> BTreeSet<Harmless> {
    let mut lan = Lan::new(1);
    lan.cluster(3);
    lan.run(secs(1));
    mislead(&mut lan);
    lan.audit = Some(Audit::of(3));
    lan.run(secs(2));
    let audit = lan.audit.take().expect("an audit");
    let why = |violation: Violation| match violation {
        Violation::Changed {
            machine: 0,
            why,
            lines,
            ..
        } => {
            assert!(!lines.is_empty());
            Some(why)
        }
        other => panic!("{other}"),
    };
    audit.found.into_iter().filter_map(why).collect()
}

#[test]
fn a_datagram_that_changes_what_it_must_not_is_found() {
    assert_eq!(misled(|_| ()), BTreeSet::new());
    let cookie = misled(|lan| lan.machines[0].keys = other_keys());
    assert_eq!(cookie, BTreeSet::from([Harmless::WrongCookie]));
    let outside = misled(|lan| lan.machines[0].prefix = 32);
    assert_eq!(outside, BTreeSet::from([Harmless::Outside]));
    let name = "example@10.10.10.99".parse().expect("a name");
    let other = misled(|lan| lan.machines[0].name = name);
    assert_eq!(other, BTreeSet::from([Harmless::Misdirected]));
}

#[test]
fn a_repeated_datagram_that_changes_something_is_found() {
    // The same network again; the audit has seen all of it.
    let mut first = Lan::new(1);
    first.tape = Some(Vec::new());
    first.audit = Some(Audit::of(3));
    first.cluster(3);
    first.run(secs(1));
    let mut second = Lan::new(1);
    second.audit = first.audit.take();
    second.cluster(3);
    second.run(secs(1));
    let found = second.audit.take().map(|audit| audit.found);
    let repeated = |violation: &Violation| {
        matches!(
            violation,
            Violation::Changed {
                why: Harmless::Repeated,
                ..
            }
        )
    };
    assert!(found.is_some_and(|found| found.iter().any(repeated)));
}

#[test]
fn too_much_traffic_and_too_much_memory_are_found() {
    let mut lan = Lan::new(1);
    lan.cluster(3);
    lan.run(secs(10));
    let (bytes, within) = (invariants::sent(&lan, 0), secs(10));
    let noisy = |per_second| invariants::noisy(0, bytes, within, 0, per_second);
    assert_eq!(noisy(invariants::BYTES_AT_REST), None);
    assert!(noisy(10).is_some());
    let (_, states) = lan.machines[0].synced;
    assert!(states > 0 && bytes > lan.machines[0].sent.1, "states count");
    assert_eq!(invariants::grown(&lan, 0, 3, 0), None);
    let grown = invariants::grown(&lan, 0, 1, 0).expect("it knows three");
    let again = invariants::grown(&lan, 1, 1, 0).expect("it does too");
    assert_eq!(discriminant(&grown), discriminant(&again));
    lan.push(0, 1, None);
    assert_eq!(invariants::grown(&lan, 0, 3, 0), None);
    lan.vote(0, 0, true);
    let made = std::mem::take(&mut lan.made);
    assert!(invariants::grown(&lan, 0, 3, 0).is_some(), "no release");
    lan.made = made;
    lan.inject(0, "10.10.9.9:1".parse().expect("an address"), b"noise");
    assert!(invariants::grown(&lan, 0, 3, 0).is_some());
    assert_eq!(invariants::grown(&lan, 0, 3, 1), None);
}

#[test]
fn a_node_that_sends_much_although_all_have_agreed_is_found() {
    let chatty = run_with(|runner| {
        runner.lan.machines[0].synced.1 += 10_000_000;
    });
    assert_eq!(kinds(chatty), BTreeSet::from(["noisy"]));
}

#[test]
fn a_starved_node_lets_others_wait_no_longer_than_it_was_starved() {
    let starved = run_with(|runner| {
        runner.perform(Op::Starve(0, 5000));
        runner.pass(Duration::from_millis(100));
        runner.perform(Op::Restart(2, 200));
    });
    assert_eq!(kinds(starved), BTreeSet::new());
}
