//! Votes on a network that loses, parts and restarts: who tries a release out, and
//! the target once it has failed.

use cluster::Input;
use cluster::release::{Plan, Verdict, VoteState, What};
use cluster::sim::{Lan, ms, secs, with_seeds};

use crate::releases::{all_serve, component, part, push, release, serves, settled};

#[test]
fn forty_pushes_that_all_fail_lead_back_to_the_good_release_on_every_node() {
    with_seeds(5, |lan| {
        let all = settled(lan, 5);
        lan.loss = 0.05;
        // One misses all but the first of them.
        let away = all[4];
        for round in 0..40u8 {
            let bad = push(lan, all[usize::from(round % 3)], &format!("bad {round}"));
            lan.wait(secs(5), "it is tried", |lan| {
                all_serve(lan, &all[..4], &format!("bad {round}"))
            });
            for voter in [all[1], all[3]] {
                lan.give(voter, Input::Vote(bad.id(), Verdict::Failed));
            }
            lan.wait(secs(5), "it is left", |lan| {
                all_serve(lan, &all[..4], "base")
            });
            match round {
                0 => lan.kill(away),
                // It starts again from what it stored.
                20 => {
                    lan.kill(all[3]);
                    lan.run(ms(500));
                    lan.start(all[3]);
                    lan.wait(secs(5), "it is back", |lan| {
                        all_serve(lan, &all[3..4], "base")
                    });
                }
                _ => {}
            }
        }
        lan.start(away);
        let fresh = lan.machine("10.10.10.99");
        lan.start(fresh);
        let everyone: Vec<usize> = all.iter().copied().chain([fresh]).collect();
        lan.wait(secs(15), "all agree", |lan| {
            lan.agree(&everyone) && all_serve(lan, &everyone, "base")
        });
        lan.run(secs(20));
        assert!(all_serve(lan, &everyone, "base"));
        // And one more that fails, decided by the one that was away.
        let bad = push(lan, away, "one more");
        lan.wait(secs(5), "it is tried", |lan| {
            all_serve(lan, &everyone, "one more")
        });
        lan.give(all[0], Input::Vote(bad.id(), Verdict::Failed));
        lan.wait(secs(5), "it is left", |lan| {
            lan.node(fresh).votes(&bad.id()).count() == 1 && all_serve(lan, &everyone, "base")
        });
    });
}

#[test]
fn canaries_bake_and_their_votes_decide_everywhere() {
    for verdict in [Verdict::Ok, Verdict::Failed] {
        with_seeds(10, |lan| {
            let all = settled(lan, 8);
            lan.loss = 0.05;
            let mut canaries: Vec<_> = [all[2], all[6]]
                .map(|machine| lan.machines[machine].name.id())
                .to_vec();
            canaries.sort();
            let plan = Plan {
                canaries,
                bake_ms: 1000,
                drop_streams: false,
            };
            let what = What::Push {
                component: component("new"),
                plan,
            };
            let staged = release(lan, all[0], what).expect("a release");
            let baking = |lan: &Lan| {
                all.iter().all(|&machine| {
                    let canary = machine == all[2] || machine == all[6];
                    let expected = if canary { "new" } else { "base" };
                    serves(lan, machine) == Some(component(expected).digest)
                        && lan
                            .node(machine)
                            .target()
                            .is_some_and(|target| target.head_state == VoteState::Baking)
                })
            };
            lan.wait(secs(2), "baking", baking);
            lan.give(all[2], Input::Vote(staged.id(), Verdict::Ok));
            lan.run(secs(5));
            assert!(baking(lan), "the other one is silent");
            // The one that pushed it is gone: it decides nothing.
            lan.kill(all[0]);
            lan.give(all[6], Input::Vote(staged.id(), verdict));
            let decided = if verdict == Verdict::Ok {
                "new"
            } else {
                "base"
            };
            let took = lan.wait(secs(2), "decided", |lan| all_serve(lan, &all[1..], decided));
            assert!(took <= secs(2), "{took:?}");
            lan.start(all[0]);
            lan.wait(secs(3), "and there", |lan| all_serve(lan, &all, decided));
        });
    }
}

#[test]
fn votes_on_two_sides_of_a_cut_are_added_up() {
    with_seeds(10, |lan| {
        let all = settled(lan, 6);
        let new = push(lan, all[0], "new");
        lan.wait(secs(1), "known", |lan| all_serve(lan, &all, "new"));
        let (left, right) = all.split_at(2);
        part(lan, right, 1);
        lan.wait(secs(5), "parted", |lan| lan.agree(left) && lan.agree(right));
        lan.give(left[0], Input::Vote(new.id(), Verdict::Failed));
        right
            .iter()
            .for_each(|&machine| lan.give(machine, Input::Vote(new.id(), Verdict::Ok)));
        lan.run(secs(1));
        assert!(all_serve(lan, left, "base") && all_serve(lan, right, "new"));
        part(lan, right, 0);
        lan.wait(secs(10), "added up", |lan| all_serve(lan, &all, "new"));
    });
}
