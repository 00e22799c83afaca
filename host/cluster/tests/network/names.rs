//! Two machines with one name: the one that came second goes, and nobody else
//! notices.

use cluster::{Boot, Effect, TakenEvidence};

use cluster::sim::{Lan, ms, secs, with_seeds};

/// Two nodes and a third machine that takes the name of the second one.
fn second_machine(lan: &mut Lan) -> ([usize; 3], usize) {
    let all = lan.cluster(3);
    lan.wait(secs(5), "found", |lan| lan.agree(&all));
    let rest = secs(5) + lan.chance(secs(2));
    lan.run(rest);
    let ip = lan.machines[all[2]].name.ip().to_string();
    let second = lan.machine(&ip);
    ([all[0], all[1], all[2]], second)
}

fn wait_for_the_second_to_go(lan: &mut Lan, before: usize) {
    let took = lan.wait(secs(10), "the second goes", |lan| {
        lan.since(before)
            .any(|entry| matches!(entry.effect, Effect::NameTaken { .. }))
    });
    println!("gone after {took:?}");
    // Its machine is taken off the network.
    lan.arp.clear();
}

fn expect_only_the_second_to_go(lan: &mut Lan, all: &[usize], second: usize) {
    let before = lan.log.len();
    lan.start(second);
    wait_for_the_second_to_go(lan, before);
    lan.run(secs(30));
    let gone: Vec<usize> = lan
        .since(before)
        .filter(|entry| matches!(entry.effect, Effect::NameTaken { .. }))
        .map(|entry| entry.machine)
        .collect();
    assert_eq!(gone, [second]);
    assert!(lan.agree(all));
    let noticed = lan.since(before).filter(|entry| {
        entry.machine != second
            && matches!(
                entry.effect,
                Effect::Up { .. } | Effect::Down { .. } | Effect::View(_)
            )
    });
    assert_eq!(noticed.count(), 0);
}

#[test]
fn the_second_machine_goes_whichever_of_the_two_datagrams_reach() {
    for reaches_second in [false, true] {
        with_seeds(50, |lan| {
            let (all, second) = second_machine(lan);
            if reaches_second {
                lan.arp.insert(lan.machines[second].name.ip(), second);
            }
            expect_only_the_second_to_go(lan, &all, second);
        });
    }
}

#[test]
fn the_second_machine_goes_although_its_clock_is_behind() {
    for reaches_second in [false, true] {
        with_seeds(50, |lan| {
            let (all, second) = second_machine(lan);
            lan.machines[second].clock_off = -1_000_000;
            if reaches_second {
                lan.arp.insert(lan.machines[second].name.ip(), second);
            }
            expect_only_the_second_to_go(lan, &all, second);
        });
    }
}

#[test]
fn the_second_machine_goes_although_connections_to_the_first_break() {
    with_seeds(50, |lan| {
        let (all, second) = second_machine(lan);
        let ip = lan.machines[second].name.ip();
        lan.arp.insert(ip, second);
        let before = lan.log.len();
        lan.start(second);
        lan.run(ms(30));
        for other in [all[0], all[1]] {
            lan.give(other, cluster::Input::Unreachable { ip });
        }
        wait_for_the_second_to_go(lan, before);
        lan.run(secs(30));
        assert!(lan.machines[all[2]].node.is_some() && lan.agree(&all));
    });
}

#[test]
fn a_copy_of_a_machine_with_the_same_boot_number_goes() {
    with_seeds(20, |lan| {
        let (all, second) = second_machine(lan);
        let boot = lan.node(all[2]).boot();
        lan.machines[second].disk.boot = Some(Boot::from_number(boot.number() - 1));
        lan.machines[second].clock_off = -1_000_000_000;
        expect_only_the_second_to_go(lan, &all, second);
    });
}

#[test]
fn two_machines_that_hear_each_other_need_no_third() {
    with_seeds(20, |lan| {
        lan.drop_martians = false;
        let first = lan.machine("10.10.10.2");
        let second = lan.machine("10.10.10.2");
        lan.start(first);
        lan.run(secs(3));
        lan.start(second);
        lan.wait(secs(2), "the second goes", |lan| {
            lan.log.iter().any(|entry| {
                let direct = matches!(
                    entry.effect,
                    Effect::NameTaken {
                        evidence: TakenEvidence::Direct
                    }
                );
                entry.machine == second && direct
            })
        });
        lan.run(secs(30));
        assert!(lan.machines[first].node.is_some());
    });
}

#[test]
fn recordings_of_an_earlier_run_do_not_stop_a_node() {
    with_seeds(5, |lan| {
        lan.tape = Some(Vec::new());
        let all = lan.cluster(3);
        lan.run(secs(5));
        lan.kill(all[2]);
        lan.run(secs(1));
        let tape = lan.tape.take().expect("a tape");
        lan.start(all[2]);
        lan.wait(secs(1), "back", |lan| lan.agree(&all));
        lan.run(secs(5));
        let before = lan.log.len();
        let ip = lan.machines[all[2]].name.ip();
        for taped in tape.iter().filter(|taped| *taped.from.ip() == ip) {
            for &machine in &all {
                lan.inject(machine, taped.from, &taped.bytes);
            }
            lan.run(ms(5));
        }
        lan.run(secs(30));
        assert_eq!(lan.changes_since(before), 0);
        assert!(lan.agree(&all));
    });
}
