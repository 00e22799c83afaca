//! A cluster changes its cookie node by node, and looks up the nodes to join
//! again and again.

use cluster::sim::{Lan, PORT, ms, secs, with_seeds};
use cluster::{Config, Effect, Input, Keys, NodeName, Refusal};

use std::net::SocketAddrV4;
use std::time::Duration;

/// A beacon of every member has come after this.
const BEACONS: Duration = Duration::from_millis(2500);

/// What each step tells a node, in order.
fn steps() -> [Keys; 3] {
    let (old, new) = (cluster::sim::keys(), Keys::from_master(&[9; 32]));
    [
        old.clone().accepting(&new),
        new.clone().accepting(&old),
        new,
    ]
}

fn take(lan: &mut Lan, machine: usize, keys: &Keys) {
    lan.machines[machine].keys = keys.clone();
    lan.give(machine, Input::Keys(Box::new(keys.clone())));
}

/// The members of which the first node does not know that they use these keys.
fn without(lan: &Lan, keys: &Keys) -> Vec<NodeName> {
    let view = lan.node(0).view();
    let members = view.members.iter();
    let others = members.filter(|member| member.keys != Some(keys.ids()));
    others.map(|member| member.name.clone()).collect()
}

/// The machines in an order that follows from the seed.
fn shuffled(lan: &mut Lan, machines: &[usize]) -> Vec<usize> {
    let mut keyed: Vec<_> = machines
        .iter()
        .map(|&machine| (lan.chance(secs(1)), machine))
        .collect();
    keyed.sort();
    keyed.into_iter().map(|(_, machine)| machine).collect()
}

fn down(lan: &Lan) -> usize {
    let down = |entry: &&cluster::sim::LogEntry| matches!(entry.effect, Effect::Down { .. });
    lan.log.iter().filter(down).count()
}

/// How often a node reported that a cookie was wrong.
fn refused(lan: &Lan) -> usize {
    let refused = |entry: &&cluster::sim::LogEntry| {
        matches!(
            entry.effect,
            Effect::Refused {
                why: Refusal::Cookie,
                ..
            }
        )
    };
    lan.log.iter().filter(refused).count()
}

#[test]
fn five_nodes_change_their_cookie_in_any_order_and_nobody_is_missed_or_refused() {
    with_seeds(200, |lan| {
        let all = lan.cluster(5);
        lan.wait(secs(2), "all found", |lan| lan.agree(&all));
        for keys in steps() {
            for machine in shuffled(lan, &all) {
                let wait = lan.chance(secs(4));
                lan.run(wait);
                take(lan, machine, &keys);
                assert!(lan.agree(&all));
            }
        }
        lan.run(secs(10));
        assert!(lan.agree(&all));
        assert_eq!((down(lan), refused(lan)), (0, 0));
    });
}

#[test]
fn nodes_that_are_restarted_for_each_step_are_taken_back_at_once() {
    with_seeds(50, |lan| {
        let all = lan.cluster(5);
        lan.wait(secs(2), "all found", |lan| lan.agree(&all));
        for keys in steps() {
            for machine in shuffled(lan, &all) {
                lan.leave(machine);
                lan.run(ms(500));
                lan.machines[machine].keys = keys.clone();
                lan.start(machine);
                lan.wait(secs(1), "back", |lan| lan.agree(&all));
            }
        }
        assert_eq!(refused(lan), 0);
    });
}

#[test]
fn a_node_knows_which_members_still_send_with_the_old_cookie() {
    with_seeds(20, |lan| {
        let all = lan.cluster(5);
        lan.run(secs(2));
        let [accept, send, _] = steps();
        all.iter().for_each(|&machine| take(lan, machine, &accept));
        for (done, &machine) in all.iter().enumerate() {
            take(lan, machine, &send);
            lan.run(BEACONS);
            let waiting = without(lan, &send);
            let expected: Vec<_> = all[done + 1..]
                .iter()
                .map(|&machine| lan.machines[machine].name.clone())
                .collect();
            assert_eq!(waiting, expected);
        }
    });
}

#[test]
fn recordings_do_not_make_a_member_look_as_if_it_still_had_the_old_cookie() {
    with_seeds(5, |lan| {
        let all = lan.cluster(3);
        lan.tape = Some(Vec::new());
        lan.run(secs(10));
        let tape = lan.tape.take().expect("a tape");
        for keys in &steps()[..2] {
            all.iter().for_each(|&machine| take(lan, machine, keys));
        }
        lan.run(BEACONS);
        let [_, send, _] = steps();
        assert_eq!(without(lan, &send), []);
        for taped in &tape {
            lan.inject(all[0], taped.from, &taped.bytes);
        }
        assert_eq!(without(lan, &send), []);
        assert!(lan.agree(&all));
    });
}

#[test]
fn a_node_that_keeps_the_old_cookie_is_refused_and_reported_and_is_back_once_it_follows() {
    with_seeds(20, |lan| {
        let all = lan.cluster(5);
        lan.run(secs(2));
        let [accept, send, only] = steps();
        let (late, others) = (all[4], &all[..4]);
        all.iter().for_each(|&machine| take(lan, machine, &accept));
        others.iter().for_each(|&machine| take(lan, machine, &send));
        lan.run(secs(60));
        assert!(lan.agree(&all), "until the last step it is a member");
        assert_eq!(refused(lan), 0);

        others.iter().for_each(|&machine| take(lan, machine, &only));
        lan.wait(secs(10), "it is missed", |lan| lan.agree(others));
        let ip = *lan.machines[late].name.ip().octets().last().expect("four");
        let reported = lan.log.iter().filter(|entry| {
            matches!(entry.effect, Effect::Refused { source, why: Refusal::Cookie, .. }
                if source.ip().octets()[3] == ip)
        });
        assert_eq!(reported.count(), 4, "one line on each node");
        take(lan, late, &send);
        lan.wait(secs(10), "it is back", |lan| lan.agree(&all));
    });
}

/// Nobody is found by broadcast.
fn without_broadcast(config: &mut Config) {
    config.broadcast = None;
}

fn seeds(lan: &mut Lan, machine: usize, of: &[usize]) {
    let addresses: Vec<_> = of
        .iter()
        .map(|&of| SocketAddrV4::new(lan.machines[of].name.ip(), PORT))
        .collect();
    let name = 0;
    lan.give(
        machine,
        Input::Seeds {
            name,
            addresses: &addresses,
        },
    );
}

fn apart(lan: &mut Lan, ips: &[&str]) -> Vec<usize> {
    let made = ips.iter().map(|ip| {
        let machine = lan.machine(ip);
        lan.machines[machine].adjust = without_broadcast;
        lan.start(machine);
        machine
    });
    made.collect()
}

#[test]
fn a_name_that_is_looked_up_late_and_changes_leads_to_the_cluster() {
    with_seeds(50, |lan| {
        let all = apart(lan, &["10.10.10.2", "10.10.10.3", "10.10.10.4"]);
        lan.run(secs(60));
        // At first it gives a machine that is gone.
        let gone = lan.machine("10.10.10.99");
        seeds(lan, all[1], &[gone]);
        lan.run(secs(60));
        assert!(lan.agree(&all[1..2]), "nobody is there");
        seeds(lan, all[1], &[all[0]]);
        lan.wait(secs(1), "joined", |lan| lan.agree(&all[..2]));
        seeds(lan, all[2], &[gone, all[1], all[0]]);
        lan.wait(secs(2), "joined", |lan| lan.agree(&all));
    });
}

#[test]
fn addresses_of_a_name_that_are_not_allowed_or_are_gone_from_it_are_not_asked() {
    with_seeds(5, |lan| {
        let all = apart(lan, &["10.10.10.2", "10.11.0.5", "10.10.10.4"]);
        seeds(lan, all[0], &[all[1], all[2]]);
        seeds(lan, all[0], &[all[1]]);
        lan.tape = Some(Vec::new());
        lan.run(secs(60));
        let tape = lan.tape.take().expect("a tape");
        assert!(tape.is_empty(), "{} were sent", tape.len());
    });
}

#[test]
fn nodes_that_ask_a_seed_which_is_not_there_do_not_ask_it_in_step() {
    let mut lan = Lan::new(1);
    let names: Vec<_> = (2..102).map(|n| format!("10.10.10.{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let all = apart(&mut lan, &names);
    let gone = lan.machine("10.10.10.200");
    all.iter()
        .for_each(|&machine| seeds(&mut lan, machine, &[gone]));
    lan.run(secs(120));
    // A hundred nodes ask every 8 s: 12.5 a second if they are spread evenly.
    let mut most = 0;
    for _ in 0..80 {
        lan.tape = Some(Vec::new());
        lan.run(ms(250));
        most = most.max(lan.tape.take().expect("a tape").len());
    }
    assert!(most <= 30, "{most} asked within a quarter of a second");
}
