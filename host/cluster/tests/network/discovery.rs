//! Nodes find each other, and nobody else.

use std::cell::Cell;

use cluster::{Digest, Effect, Input, Keys, Refusal, Serving, UpReason};

use cluster::sim::{Lan, ms, secs, with_seeds};

#[test]
fn a_third_node_is_listed_everywhere_within_50_ms() {
    with_seeds(50, |lan| {
        let two = lan.cluster(2);
        lan.wait(ms(50), "two find each other", |lan| lan.agree(&two));
        lan.run(ms(1700));
        let third = lan.machine("10.10.10.9");
        lan.start(third);
        let all = [two[0], two[1], third];
        lan.wait(ms(50), "three find each other", |lan| lan.agree(&all));
    });
}

#[test]
fn a_cluster_at_rest_reports_nothing() {
    with_seeds(5, |lan| {
        let all = lan.cluster(3);
        lan.run(secs(2));
        let quiet = lan.log.len();
        lan.run(secs(600));
        assert_eq!(lan.log.len(), quiet);
        assert!(lan.agree(&all));
    });
}

#[test]
fn a_cluster_that_starts_tells_of_nothing_refused_although_datagrams_overtake_each_other() {
    let overtaken = Cell::new(0);
    with_seeds(50, |lan| {
        let all = lan.cluster(5);
        lan.run(secs(5));
        let told = |effect: &Effect| matches!(effect, Effect::Refused { .. });
        assert!(!lan.log.iter().any(|entry| told(&entry.effect)));
        let counts = all
            .iter()
            .map(|&machine| lan.node(machine).counters().refused.of(Refusal::Replay));
        overtaken.set(overtaken.get() + counts.sum::<u64>());
    });
    assert!(overtaken.get() > 0, "no datagram was overtaken");
}

#[test]
fn a_node_whose_first_beacons_are_lost_is_found_when_the_network_is_back() {
    with_seeds(20, |lan| {
        let all = lan.cluster(2);
        let late = lan.machine("10.10.10.9");
        lan.set_linked(late, false);
        lan.start(late);
        lan.run(secs(30));
        lan.set_linked(late, true);
        lan.wait(ms(1200), "found", |lan| lan.agree(&[all[0], all[1], late]));
    });
}

#[test]
fn a_node_with_the_wrong_cookie_is_never_listed() {
    with_seeds(5, |lan| {
        let good = lan.cluster(2);
        let bad = lan.machine("10.10.10.66");
        lan.machines[bad].keys = Keys::from_master(&[8; 32]);
        lan.start(bad);
        lan.run(secs(150));
        assert!(lan.agree(&good) && lan.agree(&[bad]));
        let reports: Vec<&Effect> = lan
            .log
            .iter()
            .filter(|entry| entry.machine == 0)
            .map(|entry| &entry.effect)
            .filter(|effect| matches!(effect, Effect::Refused { .. }))
            .collect();
        assert_eq!(reports.len(), 3, "one a minute: {reports:?}");
    });
}

#[test]
fn a_node_whose_name_has_another_ip_than_it_sends_from_is_never_listed() {
    with_seeds(5, |lan| {
        let good = lan.cluster(2);
        let liar = lan.machine("10.10.10.66");
        lan.machines[liar].adjust = |config| {
            config.name = "example@10.10.10.77".parse().expect("a name");
        };
        lan.start(liar);
        lan.run(secs(60));
        assert!(lan.agree(&good));
    });
}

#[test]
fn a_node_outside_of_the_subnet_needs_an_allow_on_both_sides() {
    let both_allow = |here: bool, there: bool| {
        let mut lan = Lan::new(1);
        let near = lan.machine("10.10.10.2");
        let far = lan.machine("192.168.7.2");
        // Broadcasts do not cross; each machine is a LAN of its own.
        lan.machines[near].adjust = if here {
            |config| {
                config.broadcast = None;
                config.allow = vec!["192.168.0.0/16".parse().expect("a range")];
            }
        } else {
            |config| config.broadcast = None
        };
        lan.machines[far].adjust = if there {
            |config| {
                config.broadcast = None;
                config.allow = vec!["10.10.0.0/16".parse().expect("a range")];
                config.join = vec!["10.10.10.2:8383".parse().expect("an address")];
            }
        } else {
            |config| {
                config.broadcast = None;
                config.join = vec!["10.10.10.2:8383".parse().expect("an address")];
            }
        };
        lan.start(near);
        lan.start(far);
        lan.run(secs(60));
        lan.agree(&[near, far])
    };
    assert!(both_allow(true, true));
    assert!(!both_allow(true, false));
    assert!(!both_allow(false, true));
}

#[test]
fn nodes_without_broadcast_find_each_other_through_one_and_hear_of_releases() {
    for control in [true, false] {
        with_seeds(5, |lan| {
            lan.control = control;
            let all: Vec<usize> = (2..8)
                .map(|last| {
                    let machine = lan.machine(&format!("10.10.10.{last}"));
                    lan.machines[machine].adjust = |config| {
                        config.broadcast = None;
                        config.join = vec!["10.10.10.2:8383".parse().expect("an address")];
                    };
                    machine
                })
                .collect();
            // The one to join comes last, and late.
            for &machine in &all[1..] {
                lan.start(machine);
            }
            lan.run(secs(60));
            lan.start(all[0]);
            lan.wait(secs(12), "all found", |lan| lan.agree(&all));
            lan.run(secs(1));
            lan.give(
                all[3],
                Input::Serving(Serving::bootstrap(Digest::of(b"app"))),
            );
            lan.wait(secs(20), "release known", |lan| {
                knows_release(lan, &all, all[3], b"app")
            });
            lan.kill(all[0]);
            lan.wait(secs(5), "gone", |lan| lan.agree(&all[1..]));
            lan.run(secs(30));
            lan.start(all[0]);
            lan.wait(secs(10), "back", |lan| lan.agree(&all));
        });
    }
}

#[test]
fn a_release_is_known_everywhere_at_once() {
    with_seeds(5, |lan| {
        let all = lan.cluster(3);
        lan.give(
            all[1],
            Input::Serving(Serving::bootstrap(Digest::of(b"one"))),
        );
        lan.wait(ms(100), "first", |lan| {
            knows_release(lan, &all, all[1], b"one")
        });
        lan.run(secs(5));
        lan.give(
            all[1],
            Input::Serving(Serving::bootstrap(Digest::of(b"two"))),
        );
        lan.wait(ms(5), "second", |lan| {
            knows_release(lan, &all, all[1], b"two")
        });
    });
}

fn knows_release(lan: &Lan, all: &[usize], of: usize, app: &[u8]) -> bool {
    let name = &lan.machines[of].name;
    all.iter().all(|&machine| {
        let view = lan.node(machine).view();
        view.member(name)
            .is_some_and(|member| member.component() == Some(Digest::of(app)))
    })
}

#[test]
fn members_say_how_they_came_up_and_views_count() {
    with_seeds(1, |lan| {
        let all = lan.cluster(2);
        lan.wait(ms(50), "found", |lan| lan.agree(&all));
        let joined = lan.log.iter().filter(|entry| {
            matches!(
                entry.effect,
                Effect::Up {
                    reason: UpReason::Joined,
                    ..
                }
            )
        });
        assert_eq!(joined.count(), 2);
        let view = lan.node(all[0]).view();
        assert_eq!(view.version, 2);
        assert_eq!(view.members[1].url.to_string(), "http://10.10.10.3:8080");
    });
}
