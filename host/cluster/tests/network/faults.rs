//! Nodes that die, freeze, restart and leave; links that are cut; losses.

use std::time::Duration;

use cluster::{DownReason, Effect, UpReason};

use cluster::sim::{Lan, LogEntry, ms, secs, with_seeds};

/// A cluster that has been at rest for a while, of a random length.
fn settled(lan: &mut Lan, count: usize) -> Vec<usize> {
    let all = lan.cluster(count);
    lan.wait(secs(5), "found", |lan| lan.agree(&all));
    let rest = secs(5) + lan.chance(secs(2));
    lan.run(rest);
    all
}

fn downs(lan: &Lan, since: usize) -> Vec<DownReason> {
    let reason = |entry: &LogEntry| match entry.effect {
        Effect::Down { reason, .. } => Some(reason),
        _ => None,
    };
    lan.since(since).filter_map(reason).collect()
}

fn ups(lan: &Lan, since: usize) -> Vec<UpReason> {
    let reason = |entry: &LogEntry| match entry.effect {
        Effect::Up { reason, .. } => Some(reason),
        _ => None,
    };
    lan.since(since).filter_map(reason).collect()
}

/// The largest of the times that many runs took.
fn worst(count: u64, run: impl Fn(&mut Lan) -> Duration) -> Duration {
    let worst = std::cell::Cell::new(Duration::ZERO);
    with_seeds(count, |lan| worst.set(worst.get().max(run(lan))));
    println!("worst of {count}: {:?}", worst.get());
    worst.get()
}

#[test]
fn a_killed_node_is_gone_in_a_moment() {
    let took = worst(100, |lan| {
        let all = settled(lan, 3);
        let before = lan.log.len();
        lan.kill(all[2]);
        let took = lan.wait(ms(300), "gone", |lan| lan.agree(&all[..2]));
        assert_eq!(downs(lan, before), [DownReason::Refused; 2]);
        took
    });
    assert!(took <= ms(60), "{took:?}");
}

#[test]
fn a_killed_node_whose_end_nobody_notices_is_gone_within_3_s() {
    worst(100, |lan| {
        lan.hints = false;
        let all = settled(lan, 3);
        let before = lan.log.len();
        lan.kill(all[2]);
        let took = lan.wait(secs(3), "gone", |lan| lan.agree(&all[..2]));
        assert_eq!(downs(lan, before), [DownReason::Failed; 2]);
        took
    });
}

#[test]
fn hints_about_a_live_node_change_nothing() {
    with_seeds(20, |lan| {
        let all = settled(lan, 3);
        let before = lan.log.len();
        let ip = lan.machines[all[2]].name.ip();
        for _ in 0..200 {
            lan.give(all[0], cluster::Input::Unreachable { ip });
            let pause = lan.chance(ms(100));
            lan.run(pause);
        }
        assert_eq!(lan.changes_since(before), 0);
    });
}

#[test]
fn both_sides_of_a_cut_link_shrink_within_3_s_and_are_whole_again_3_s_after_it() {
    let shrunk = worst(100, |lan| {
        let all = settled(lan, 3);
        lan.set_linked(all[2], false);
        lan.wait(secs(3), "others shrink", |lan| {
            lan.agree(&all[..2]) && lan.agree(&all[2..])
        })
    });
    let healed = worst(100, |lan| {
        let all = settled(lan, 3);
        lan.set_linked(all[2], false);
        lan.wait(secs(3), "shrunk", |lan| {
            lan.agree(&all[..2]) && lan.agree(&all[2..])
        });
        let away = lan.chance(secs(60));
        lan.run(away);
        let before = lan.log.len();
        lan.set_linked(all[2], true);
        let took = lan.wait(secs(3), "whole again", |lan| lan.agree(&all));
        lan.run(secs(60));
        assert!(lan.agree(&all));
        assert_eq!(
            ups(lan, before),
            [UpReason::Returned; 4],
            "each once on each side"
        );
        assert_eq!(downs(lan, before), []);
        took
    });
    println!("shrunk in {shrunk:?}, healed in {healed:?}");
}

#[test]
fn a_short_cut_goes_unnoticed() {
    with_seeds(50, |lan| {
        let all = settled(lan, 3);
        let before = lan.log.len();
        lan.set_linked(all[2], false);
        lan.run(ms(600));
        lan.set_linked(all[2], true);
        lan.run(secs(60));
        assert_eq!(lan.changes_since(before), 0);
    });
}

#[test]
fn halves_of_a_network_part_and_come_together_again() {
    with_seeds(10, |lan| {
        let all = settled(lan, 12);
        let (left, right) = all.split_at(6);
        right
            .iter()
            .for_each(|&machine| lan.machines[machine].part = 1);
        lan.wait(secs(4), "parted", |lan| lan.agree(left) && lan.agree(right));
        lan.run(secs(30));
        right
            .iter()
            .for_each(|&machine| lan.machines[machine].part = 0);
        lan.wait(secs(3), "together", |lan| lan.agree(&all));
        // The last of them may still hear of the new boot numbers.
        lan.run(secs(1));
        let quiet = lan.log.len();
        lan.run(secs(120));
        assert_eq!(lan.changes_since(quiet), 0);
    });
}

#[test]
fn a_frozen_node_is_gone_within_3_s_and_back_3_s_after_the_thaw() {
    worst(100, |lan| {
        let all = settled(lan, 3);
        lan.freeze(all[2]);
        let gone = lan.wait(secs(3), "gone", |lan| lan.agree(&all[..2]));
        let asleep = lan.chance(secs(600));
        lan.run(asleep);
        let before = lan.log.len();
        lan.thaw(all[2]);
        let back = lan.wait(secs(3), "back", |lan| lan.agree(&all));
        lan.run(secs(60));
        assert!(lan.agree(&all));
        assert_eq!(
            ups(lan, before),
            [UpReason::Returned; 2],
            "the thawed node lost nobody"
        );
        assert_eq!(downs(lan, before), []);
        gone.max(back)
    });
}

#[test]
fn a_cluster_that_is_frozen_as_a_whole_goes_on_as_if_nothing_was() {
    with_seeds(20, |lan| {
        let all = settled(lan, 3);
        let before = lan.log.len();
        all.iter().for_each(|&machine| lan.freeze(machine));
        lan.run(secs(3600));
        all.iter().for_each(|&machine| lan.thaw(machine));
        lan.run(secs(60));
        assert_eq!(lan.changes_since(before), 0);
    });
}

#[test]
fn a_starved_node_takes_nobody_for_down() {
    with_seeds(20, |lan| {
        let all = settled(lan, 3);
        let before = lan.log.len();
        for _ in 0..60 {
            // Runs for a moment about once a second.
            lan.freeze(all[0]);
            let pause = ms(600) + lan.chance(ms(400));
            lan.run(pause);
            lan.thaw(all[0]);
            lan.run(ms(2));
        }
        let starved = |entry: &&LogEntry| {
            entry.machine == all[0] && matches!(entry.effect, Effect::Down { .. })
        };
        assert_eq!(lan.since(before).filter(starved).count(), 0);
    });
}

#[test]
fn a_node_that_leaves_is_gone_at_once() {
    let took = worst(50, |lan| {
        let all = settled(lan, 3);
        let before = lan.log.len();
        lan.leave(all[2]);
        let took = lan.wait(ms(100), "gone", |lan| lan.agree(&all[..2]));
        assert_eq!(downs(lan, before), [DownReason::Left; 2]);
        lan.run(secs(60));
        assert_eq!(downs(lan, before).len(), 2);
        assert!(
            lan.log
                .iter()
                .any(|entry| matches!(entry.effect, Effect::Departed))
        );
        took
    });
    assert!(took <= ms(1), "{took:?}");
}

#[test]
fn a_leave_is_heard_where_most_datagrams_are_lost() {
    with_seeds(50, |lan| {
        let all = settled(lan, 5);
        lan.loss = 0.3;
        let before = lan.log.len();
        lan.leave(all[4]);
        lan.wait(secs(1), "gone", |lan| lan.agree(&all[..4]));
        assert_eq!(downs(lan, before), [DownReason::Left; 4]);
    });
}

#[test]
fn a_node_that_restarts_after_its_end_was_noticed_is_listed_at_once() {
    with_seeds(50, |lan| {
        let all = settled(lan, 3);
        lan.kill(all[2]);
        lan.wait(ms(300), "gone", |lan| lan.agree(&all[..2]));
        let before = lan.log.len();
        lan.start(all[2]);
        lan.wait(ms(50), "back", |lan| lan.agree(&all));
        lan.run(secs(60));
        assert_eq!(
            ups(lan, before)
                .iter()
                .filter(|&&reason| reason == UpReason::Returned)
                .count(),
            2
        );
        assert_eq!(downs(lan, before), []);
    });
}

#[test]
fn a_node_that_restarts_before_its_end_was_noticed_is_replaced_in_place() {
    with_seeds(50, |lan| {
        lan.hints = false;
        let all = settled(lan, 3);
        let before = lan.log.len();
        lan.kill(all[2]);
        lan.run(ms(200));
        lan.start(all[2]);
        lan.wait(secs(4), "replaced", |lan| {
            lan.agree(&all) && {
                let new = lan.node(all[2]).boot();
                all.iter().all(|&m| {
                    let view = lan.node(m).view();
                    view.member(&lan.machines[all[2]].name)
                        .is_some_and(|it| it.boot == new)
                })
            }
        });
        lan.run(secs(60));
        assert!(lan.agree(&all));
        let others = |entry: &&LogEntry| {
            entry.machine != all[2] && matches!(entry.effect, Effect::Up { .. })
        };
        assert_eq!(lan.since(before).filter(others).count(), 2, "once each");
    });
}

#[test]
fn a_restart_with_wiped_data_and_a_clock_set_back_is_let_in_under_a_higher_number() {
    for hints in [true, false] {
        with_seeds(50, |lan| {
            lan.hints = hints;
            let all = settled(lan, 3);
            let old = lan.node(all[2]).boot();
            lan.kill(all[2]);
            lan.machines[all[2]].disk = Default::default();
            lan.machines[all[2]].clock_off = -1_000_000_000;
            let pause = ms(150) + lan.chance(secs(5));
            lan.run(pause);
            lan.start(all[2]);
            assert!(lan.node(all[2]).boot() < old, "the clock is behind");
            lan.wait(secs(4), "let in", |lan| {
                lan.agree(&all) && lan.node(all[2]).boot() > old
            });
            let new = lan.node(all[2]).boot();
            assert_eq!(lan.machines[all[2]].disk.boot, Some(new), "stored");
            lan.run(secs(60));
            assert!(lan.agree(&all));
            assert_eq!(lan.node(all[2]).boot(), new, "once");
        });
    }
}

#[test]
fn a_deaf_node_does_not_take_down_the_others() {
    with_seeds(20, |lan| {
        let all = settled(lan, 5);
        let before = lan.log.len();
        lan.machines[all[4]].deaf = true;
        lan.run(secs(30));
        let among_the_rest = |entry: &&LogEntry| match &entry.effect {
            Effect::Down { member, .. } => {
                entry.machine != all[4] && member.name != lan.machines[all[4]].name
            }
            _ => false,
        };
        assert_eq!(lan.since(before).filter(among_the_rest).count(), 0);
        lan.machines[all[4]].deaf = false;
        lan.wait(secs(5), "whole again", |lan| lan.agree(&all));
    });
}

#[test]
fn a_deaf_node_is_noticed_although_its_beacons_come() {
    let took = worst(50, |lan| {
        let all = settled(lan, 10);
        lan.machines[all[9]].deaf = true;
        lan.wait(secs(20), "noticed", |lan| {
            let gone = |&&machine: &&usize| {
                !lan.listed(machine)
                    .contains(&"example@10.10.10.11".to_owned())
            };
            all[..9].iter().all(|machine| gone(&machine))
        })
    });
    assert!(took <= secs(12), "{took:?}");
}

#[test]
fn one_per_cent_of_loss_takes_nobody_down() {
    with_seeds(4, |lan| {
        lan.loss = 0.01;
        let all = settled(lan, 10);
        let before = lan.log.len();
        lan.run(secs(15 * 60));
        assert_eq!(downs(lan, before), []);
        assert!(lan.agree(&all));
    });
}

#[test]
fn detection_holds_its_bound_at_one_per_cent_of_loss() {
    worst(100, |lan| {
        lan.loss = 0.01;
        let all = settled(lan, 5);
        lan.set_linked(all[2], false);
        let rest = [all[0], all[1], all[3], all[4]];
        lan.wait(ms(3500), "shrunk", |lan| lan.agree(&rest))
    });
}
