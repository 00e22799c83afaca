//! A record of the year 2199 does not end all releasing.

use cluster::sim::{Lan, ms, secs, with_seeds};

use crate::releases::{all_serve, component, part, push, serves, settled};

/// In 2199, by a clock that is merely wrong.
const YEAR_2199_MS: u64 = 7_250_000_000_000;

/// Sets the clock of a machine to 2199.
fn set_to_2199(lan: &mut Lan, machine: usize) {
    let off = YEAR_2199_MS - lan.wall_ms(machine);
    lan.machines[machine].clock_off = off.try_into().expect("175 years");
}

#[test]
fn a_release_of_the_year_2199_ends_no_releasing_of_the_others() {
    with_seeds(5, |lan| {
        let all = settled(lan, 4);
        let (wrong, others) = (all[3], &all[..3]);
        part(lan, &[wrong], 1);
        lan.wait(secs(20), "alone", |lan| {
            lan.agree(&[wrong]) && lan.agree(others)
        });
        set_to_2199(lan, wrong);
        let far = push(lan, wrong, "of 2199");
        lan.run(ms(100));
        assert_eq!(serves(lan, wrong), Some(component("of 2199").digest));
        part(lan, &[wrong], 0);
        lan.wait(secs(30), "together", |lan| lan.agree(&all));
        lan.run(secs(90));
        for &other in others {
            let mut known = lan.node(other).releases();
            assert!(
                known.all(|release| release.id() != far.id()),
                "it is not kept"
            );
        }
        assert!(all_serve(lan, others, "base"));
        push(lan, others[0], "next");
        lan.wait(secs(5), "the next one", |lan| {
            all_serve(lan, others, "next")
        });
    });
}

#[test]
fn a_cluster_without_clocks_takes_those_of_its_members_and_goes_on() {
    with_seeds(5, |lan| {
        let all = settled(lan, 3);
        let hour = 60 * 60 * 1000;
        // Power was off, and no machine kept the time; a fourth one is new.
        for &machine in &all {
            lan.kill(machine);
            lan.machines[machine].clock_off = -100 * hour;
            lan.start(machine);
        }
        lan.wait(secs(20), "found", |lan| lan.agree(&all));
        push(lan, all[1], "after the power cut");
        lan.wait(secs(5), "the next one", |lan| {
            all_serve(lan, &all, "after the power cut")
        });
    });
}
