//! Settings get to every node: at once, through cuts, restarts and loss, and to nodes that were away.

use std::time::Duration;

use cluster::Input;
use cluster::sim::{Lan, ms, secs, with_seeds};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::releases::part;

/// The value under a name on a machine.
fn value(lan: &Lan, machine: usize, key: &str) -> Option<String> {
    let node = lan.machines[machine].node.as_ref()?;
    node.settings().get(key).map(str::to_owned)
}

/// Whether all of them have all records, and the same.
fn alike(lan: &Lan, machines: &[usize]) -> bool {
    let known = |machine: usize| {
        let settings = lan.node(machine).settings();
        (settings.live().to_vec(), settings.past().to_vec())
    };
    let first = known(machines[0]);
    machines.iter().all(|&machine| known(machine) == first)
}

fn cluster(lan: &mut Lan, count: usize) -> Vec<usize> {
    let all = lan.cluster(count);
    lan.wait(secs(20), "found", |lan| lan.agree(&all));
    lan.run(secs(2));
    all
}

#[test]
fn a_change_is_with_all_members_within_a_second() {
    for (count, seeds) in [(3, 5), (40, 2), (254, 1)] {
        with_seeds(seeds, |lan| {
            let all = cluster(lan, count);
            assert!(lan.set(all[1], "KEY", Some("value")));
            lan.wait(secs(1), "everywhere", |lan| {
                all.iter()
                    .all(|&it| value(lan, it, "KEY").as_deref() == Some("value"))
            });
        });
    }
}

#[test]
fn a_node_that_was_away_or_is_new_has_the_settings_before_it_counts_as_merged() {
    with_seeds(10, |lan| {
        let all = cluster(lan, 3);
        assert!(lan.set(all[0], "KEY", Some("old")));
        lan.run(secs(2));
        lan.kill(all[2]);
        assert!(lan.set(all[0], "KEY", Some("new")));
        assert!(lan.set(all[0], "MORE", Some("more")));
        lan.run(secs(5));
        let fresh = lan.machine("10.10.10.99");
        for machine in [all[2], fresh] {
            lan.start(machine);
            while !lan.node(machine).has_merged_settings() {
                lan.run(ms(1));
            }
            assert_eq!(value(lan, machine, "KEY").as_deref(), Some("new"));
            assert_eq!(value(lan, machine, "MORE").as_deref(), Some("more"));
        }
    });
}

#[test]
fn a_node_alone_does_not_wait_for_others_for_long() {
    with_seeds(3, |lan| {
        let alone = lan.cluster(1)[0];
        assert!(!lan.node(alone).has_merged_settings());
        lan.run(ms(310));
        assert!(lan.node(alone).has_merged_settings());
    });
}

#[test]
fn a_node_that_hears_others_waits_for_their_settings_and_not_for_ever() {
    with_seeds(3, |lan| {
        let all = cluster(lan, 3);
        assert!(lan.set(all[0], "KEY", Some("value")));
        lan.run(secs(1));
        lan.control = false;
        let late = lan.machine("10.10.10.99");
        lan.start(late);
        lan.run(secs(9));
        assert!(!lan.node(late).has_merged_settings(), "nobody has told it");
        lan.run(secs(2));
        assert!(
            lan.node(late).has_merged_settings(),
            "it has waited long enough"
        );
        lan.control = true;
        lan.wait(secs(70), "told", |lan| value(lan, late, "KEY").is_some());
    });
}

#[test]
fn two_sides_of_a_cut_set_what_they_like_and_end_equal() {
    with_seeds(10, |lan| {
        let all = cluster(lan, 4);
        part(lan, &all[2..], 1);
        assert!(lan.set(all[0], "BOTH", Some("first")));
        assert!(lan.set(all[1], "ONE", Some("1")));
        lan.run(secs(3));
        assert!(lan.set(all[2], "BOTH", Some("second")));
        assert!(lan.set(all[3], "OTHER", Some("2")));
        lan.run(secs(3));
        assert_eq!(value(lan, all[3], "ONE"), None);
        part(lan, &all[2..], 0);
        lan.wait(secs(20), "together", |lan| alike(lan, &all));
        assert_eq!(
            value(lan, all[0], "BOTH").as_deref(),
            Some("second"),
            "the newer one"
        );
        assert_eq!(value(lan, all[0], "OTHER").as_deref(), Some("2"));
        assert_eq!(value(lan, all[3], "ONE").as_deref(), Some("1"));
    });
}

#[test]
fn a_hundred_random_schedules_of_set_unset_cut_heal_and_restart_end_equal() {
    with_seeds(100, |lan| {
        let mut rng = StdRng::seed_from_u64(lan.seed);
        let count = rng.random_range(3..9);
        let all = cluster(lan, count);
        lan.loss = rng.random_range(0.0..0.05);
        for _ in 0..25 {
            let machine = all[rng.random_range(0..count)];
            let key = format!("K{}", rng.random_range(0..5));
            match rng.random_range(0..10) {
                0..5 => {
                    let value = rng.random_range(0..1000).to_string();
                    lan.set(machine, &key, Some(&value));
                }
                5 | 6 => {
                    lan.set(machine, &key, None);
                }
                7 => part(lan, &[machine], rng.random_range(0..3)),
                8 => part(lan, &all, 0),
                _ => {
                    lan.kill(machine);
                    lan.run(ms(rng.random_range(0..800)));
                    lan.start(machine);
                }
            }
            lan.run(ms(rng.random_range(0..1500)));
        }
        part(lan, &all, 0);
        lan.wait(secs(60), "equal", |lan| lan.agree(&all) && alike(lan, &all));
        // Once the last beacons are heard, nothing is told any more.
        lan.loss = 0.0;
        lan.run(secs(5));
        let before: Vec<u64> = all.iter().map(|&it| lan.machines[it].synced.0).collect();
        lan.run(secs(30));
        let after: Vec<u64> = all.iter().map(|&it| lan.machines[it].synced.0).collect();
        assert_eq!(before, after);
    });
}

#[test]
fn a_node_that_leaves_takes_in_no_change() {
    with_seeds(1, |lan| {
        let all = cluster(lan, 2);
        let node = lan.node(all[0]);
        assert!(node.takes_part());
        lan.give(all[0], Input::Leave);
        assert!(!lan.set(all[0], "KEY", Some("value")));
        lan.run(Duration::from_secs(2));
        assert_eq!(value(lan, all[1], "KEY"), None);
    });
}
