//! Garbage, forgeries and recordings: nothing changes, and little is said.

use cluster::{Effect, Keys, Refusal};

use cluster::sim::{Lan, PORT, Taped, keys, ms, secs, with_seeds};

use std::net::{Ipv4Addr, SocketAddrV4};

/// All that three nodes sent in ten seconds, one of them until its end.
fn recorded(lan: &mut Lan) -> (Vec<usize>, Vec<Taped>) {
    let all = lan.cluster(3);
    lan.tape = Some(Vec::new());
    lan.run(secs(10));
    (all, lan.tape.take().expect("a tape"))
}

/// Sends every recorded datagram again, to every machine.
fn replay(lan: &mut Lan, tape: &[Taped]) {
    for taped in tape {
        for machine in 0..lan.machines.len() {
            if lan.machines[machine].name.ip() != *taped.from.ip() {
                lan.inject(machine, taped.from, &taped.bytes);
            }
        }
        lan.run(ms(1));
    }
}

#[test]
fn recordings_of_live_nodes_change_nothing() {
    with_seeds(3, |lan| {
        let (all, tape) = recorded(lan);
        let before = lan.log.len();
        replay(lan, &tape);
        lan.run(secs(60));
        assert_eq!(lan.changes_since(before), 0);
        assert!(lan.agree(&all));
        assert!(lan.node(all[0]).counters().refused.of(Refusal::Replay) > 50);
        assert!(lan.node(all[0]).counters().refused.of(Refusal::Receiver) > 50);
    });
}

#[test]
fn recordings_of_a_dead_node_do_not_bring_it_back() {
    with_seeds(3, |lan| {
        let (all, tape) = recorded(lan);
        lan.kill(all[2]);
        lan.wait(secs(1), "gone", |lan| lan.agree(&all[..2]));
        let before = lan.log.len();
        replay(lan, &tape);
        lan.run(secs(60));
        assert_eq!(lan.changes_since(before), 0);
    });
}

#[test]
fn recordings_do_not_bring_a_node_into_a_cluster_that_never_heard_of_it() {
    with_seeds(3, |lan| {
        let (all, tape) = recorded(lan);
        all.iter().for_each(|&machine| lan.kill(machine));
        let fresh = [lan.machine("10.10.10.20"), lan.machine("10.10.10.21")];
        fresh.iter().for_each(|&machine| lan.start(machine));
        lan.run(secs(5));
        let before = lan.log.len();
        replay(lan, &tape);
        lan.run(secs(60));
        assert_eq!(lan.changes_since(before), 0);
        assert!(lan.agree(&fresh));
    });
}

#[test]
fn recordings_from_before_a_restart_change_nothing_after_it() {
    // Of the sender, and of the receiver, which forgot all it had seen.
    for restarted in [0, 2] {
        with_seeds(3, |lan| {
            let (all, tape) = recorded(lan);
            lan.kill(all[restarted]);
            lan.run(secs(2));
            lan.start(all[restarted]);
            lan.wait(secs(1), "back", |lan| lan.agree(&all));
            lan.run(secs(3));
            let before = lan.log.len();
            replay(lan, &tape);
            lan.run(secs(60));
            assert_eq!(lan.changes_since(before), 0);
            assert!(lan.agree(&all));
        });
    }
}

#[test]
fn a_recorded_leave_changes_nothing() {
    with_seeds(5, |lan| {
        let all = lan.cluster(3);
        lan.run(secs(3));
        lan.tape = Some(Vec::new());
        lan.leave(all[2]);
        lan.wait(secs(1), "gone", |lan| lan.agree(&all[..2]));
        let tape = lan.tape.take().expect("a tape");
        lan.start(all[2]);
        lan.wait(secs(1), "back", |lan| lan.agree(&all));
        lan.run(secs(1));
        let before = lan.log.len();
        replay(lan, &tape);
        lan.run(secs(30));
        assert_eq!(lan.changes_since(before), 0);
    });
}

/// What another cluster says for ten seconds, from the same addresses.
fn traffic_of_another_cluster(lan: &Lan) -> Vec<Taped> {
    let mut other = Lan::new(99);
    let others: Vec<usize> = (0..3)
        .map(|at| {
            let machine = other.machine(&lan.machines[at].name.ip().to_string());
            other.machines[machine].keys = Keys::from_master(&[9; 32]);
            machine
        })
        .collect();
    other.tape = Some(Vec::new());
    others.iter().for_each(|&machine| other.start(machine));
    other.run(secs(10));
    other.tape.take().expect("a tape")
}

#[test]
fn ten_thousand_bad_datagrams_change_nothing_and_are_reported_a_few_times() {
    with_seeds(2, |lan| {
        let (all, tape) = recorded(lan);
        let wrong_cookie = traffic_of_another_cluster(lan);
        let before = lan.log.len();
        let spoofed = SocketAddrV4::new(Ipv4Addr::new(10, 10, 10, 200), PORT);
        let mut noise = 1u64;
        for n in 0..10_000usize {
            let taped = &tape[n % tape.len()];
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(n as u64);
            let garbage: Vec<u8> = noise
                .to_le_bytes()
                .iter()
                .cycle()
                .take(n % 2000)
                .copied()
                .collect();
            let changed = || {
                let mut bytes = taped.bytes.to_vec();
                let at = noise as usize % bytes.len();
                bytes[at] ^= 1 << (n % 8);
                bytes
            };
            let wrong = &wrong_cookie[n % wrong_cookie.len()];
            let (from, bytes) = match n % 6 {
                0 => (taped.from, garbage),
                1 => (taped.from, taped.bytes[..n % taped.bytes.len()].to_vec()),
                2 => (spoofed, taped.bytes.to_vec()),
                3 => (taped.from, vec![1; 1401 + n % 60_000]),
                4 => (taped.from, changed()),
                _ => (wrong.from, wrong.bytes.to_vec()),
            };
            if *from.ip() != lan.machines[all[0]].name.ip() {
                lan.inject(all[0], from, &bytes);
            }
            if n % 10 == 0 {
                lan.run(ms(1));
            }
        }
        lan.run(secs(30));
        assert_eq!(lan.changes_since(before), 0);
        assert!(lan.agree(&all));
        let reports = lan
            .since(before)
            .filter(|entry| matches!(entry.effect, Effect::Refused { .. }));
        assert!(reports.count() <= 3, "one for each source");
        let counters = lan.node(all[0]).counters();
        for why in [
            Refusal::Size,
            Refusal::Version,
            Refusal::Cookie,
            Refusal::Address,
        ] {
            assert!(
                counters.refused.of(why) > 100,
                "{why:?}: {}",
                counters.refused.of(why)
            );
        }
        let refused = counters.refused.total();
        assert!(refused > 6_000, "{refused}");
    });
}

#[test]
fn a_node_that_tells_lies_about_third_ones_cannot_list_them() {
    // A holder of the cookie whose address is not in any range: members hear
    // of it from one that lets it in, and still do not list it.
    with_seeds(3, |lan| {
        let all = lan.cluster(2);
        let lenient = lan.machine("10.10.10.9");
        let outside = lan.machine("192.168.1.5");
        lan.machines[lenient].adjust = |config| {
            config.allow = vec!["192.168.0.0/16".parse().expect("a range")];
        };
        lan.machines[outside].adjust = |config| {
            config.allow = vec!["10.10.0.0/16".parse().expect("a range")];
        };
        lan.machines[outside].keys = keys();
        lan.start(lenient);
        lan.start(outside);
        lan.wait(secs(5), "listed by one", |lan| {
            lan.listed(lenient).len() == 4
        });
        lan.run(secs(30));
        for &machine in &all {
            assert_eq!(lan.listed(machine).len(), 3);
        }
    });
}
