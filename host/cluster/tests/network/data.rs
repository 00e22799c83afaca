//! Key-value data: what is written reaches all, through losses, cuts, restarts, wiped disks and wrong
//! clocks.

mod scenario;

use std::time::Duration;

use bytes::Bytes;
use cluster::data::{DataKey, DataWrite};
use cluster::sim::{Lan, ms, secs, with_seeds};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn key(name: &str) -> DataKey {
    DataKey::new("default", name).expect("a key")
}

fn put(name: &str, value: &str) -> DataWrite {
    DataWrite::Put(key(name), Bytes::copy_from_slice(value.as_bytes()))
}

fn delete(name: &str) -> DataWrite {
    DataWrite::Delete(key(name))
}

fn write(lan: &mut Lan, machine: usize, write: DataWrite) {
    lan.write(machine, &[write]).expect("written");
}

fn shows(lan: &Lan, machine: usize, name: &str, value: Option<&str>) -> bool {
    lan.data(machine).get(&key(name)).as_deref() == value.map(str::as_bytes)
}

/// Runs until the condition holds; returns how long that took.
fn wait(lan: &mut Lan, within: Duration, what: &str, holds: impl Fn(&Lan) -> bool) -> Duration {
    let start = lan.now;
    let step = within / 1000;
    while !holds(lan) {
        let took = lan.now.since(start);
        assert!(
            took < within,
            "seed {}: not within {within:?}: {what}",
            lan.seed()
        );
        lan.run(step.min(ms(20)));
    }
    lan.now.since(start)
}

/// A cluster whose nodes see each other.
fn cluster(lan: &mut Lan, count: usize) -> Vec<usize> {
    let all = lan.cluster(count);
    lan.wait(secs(10), "found", |lan| lan.agree(&all));
    all
}

/// Whether machines hold the same.
fn equal(lan: &Lan, machines: &[usize]) -> bool {
    let first = lan.data(machines[0]).known();
    machines
        .iter()
        .all(|&machine| lan.data(machine).known() == first)
}

/// The clocks of all machines go forward while nobody looks, as if so much time had passed.
fn pass_days(lan: &mut Lan, days: i64) {
    lan.machines
        .iter_mut()
        .for_each(|it| it.clock_off += days * DAY_MS);
}

/// Cuts these machines off from the others, or connects all again.
fn cut(lan: &mut Lan, machines: &[usize]) {
    for machine in 0..lan.machines.len() {
        lan.machines[machine].part = u32::from(machines.contains(&machine));
    }
}

#[test]
fn a_write_is_with_all_others_within_10_ms() {
    for count in [3, 32, 254] {
        with_seeds(3, |lan| {
            let all = cluster(lan, count);
            write(lan, all[1], put("a", "1"));
            wait(lan, ms(10), "told", |lan| {
                all.iter()
                    .all(|&machine| shows(lan, machine, "a", Some("1")))
            });
        });
    }
}

#[test]
fn a_batch_is_seen_as_a_whole_or_not_at_all() {
    with_seeds(20, |lan| {
        let all = cluster(lan, 3);
        for round in 0..50 {
            let value = round.to_string();
            let batch = [put("a", &value), put("b", &value)];
            lan.write(all[round % 3], &batch).expect("written");
            lan.run(Duration::from_micros(200));
            for &machine in &all {
                let of = |name| lan.data(machine).get(&key(name));
                assert_eq!(of("a"), of("b"), "round {round}");
            }
        }
    });
}

#[test]
fn what_was_not_told_is_found_and_only_what_differs_travels() {
    with_seeds(5, |lan| {
        let all = cluster(lan, 3);
        for number in 0..2000 {
            write(lan, all[0], put(&number.to_string(), &"x".repeat(1000)));
        }
        wait(lan, secs(30), "all have all", |lan| equal(lan, &all));
        lan.run(secs(15));
        cut(lan, &all[2..]);
        lan.wait(secs(10), "cut off", |lan| lan.agree(&all[..2]));
        for number in 0..10 {
            write(lan, all[0], put(&(number * 7).to_string(), "new"));
        }
        lan.run(secs(60));
        let sent = |lan: &Lan| lan.machines.iter().map(|it| it.synced.1).sum::<u64>();
        let before = sent(lan);
        cut(lan, &[]);
        wait(lan, secs(10), "healed", |lan| equal(lan, &all));
        let bytes = sent(lan) - before;
        assert!(bytes < 400_000, "{bytes} bytes for ten short values");
    });
}

#[test]
fn a_new_node_has_256_mib_within_5_s() {
    with_seeds(1, |lan| {
        let all = cluster(lan, 3);
        // As members have told each other over the days.
        for number in 0..4000 {
            let value = Bytes::from(vec![7; 64 * 1024]);
            let write = DataWrite::Put(key(&number.to_string()), value);
            let wall_ms = lan.wall_ms(all[0]) - 100_000;
            let told = lan
                .data(all[0])
                .write(wall_ms, &[write])
                .expect("room")
                .told;
            for &other in &all[1..] {
                lan.data(other).take_told(&told, wall_ms).expect("readable");
            }
        }
        lan.run(secs(20));
        let new = lan.machine("10.10.10.100");
        lan.start(new);
        let took = wait(lan, secs(6), "all is there", |lan| {
            lan.data(new).size() == lan.data(all[0]).size()
        });
        println!("256 MiB within {took:?}");
        assert!(took <= secs(5), "{took:?}");
    });
}

#[test]
fn counters_are_exact_through_cuts_and_losses() {
    with_seeds(20, |lan| {
        let all = cluster(lan, 5);
        lan.loss = 0.1;
        let mut sum = 0;
        for round in 0..200 {
            let amount = round % 7 - 2;
            write(
                lan,
                all[round as usize % 5],
                DataWrite::Increment(key("n"), amount),
            );
            sum += amount;
            if round % 50 == 10 {
                cut(lan, &all[..2]);
            } else if round % 50 == 40 {
                cut(lan, &[]);
            }
            let pause = lan.chance(ms(400));
            lan.run(pause);
        }
        cut(lan, &[]);
        let sum = sum.to_string();
        wait(lan, secs(90), "exact", |lan| {
            all.iter()
                .all(|&machine| shows(lan, machine, "n", Some(&sum)))
        });
    });
}

#[test]
fn a_counter_goes_on_after_a_restart_and_a_wiped_disk() {
    with_seeds(10, |lan| {
        let all = cluster(lan, 3);
        for round in 0..6 {
            let machine = all[round % 3];
            write(lan, machine, DataWrite::Increment(key("n"), 1));
            lan.run(ms(150));
            lan.kill(machine);
            if round % 2 == 0 {
                lan.machines[machine].disk.data = Default::default();
            }
            lan.start(machine);
            write(lan, machine, DataWrite::Increment(key("n"), 1));
            lan.run(secs(5));
        }
        wait(lan, secs(60), "exact", |lan| {
            all.iter()
                .all(|&machine| shows(lan, machine, "n", Some("12")))
        });
    });
}

#[test]
fn an_ephemeral_key_goes_with_its_exchange_and_its_node_and_is_back_after_a_cut() {
    with_seeds(20, |lan| {
        let all = cluster(lan, 3);
        let there = |lan: &Lan, machine, is: bool| shows(lan, machine, "p", is.then_some("here"));
        let hello = DataWrite::PutWhileOpen(key("p"), Bytes::from("here"), 77);
        write(lan, all[2], hello.clone());
        lan.run(ms(10));
        assert!(all.iter().all(|&machine| there(lan, machine, true)));
        lan.end_exchange(all[2], 77);
        lan.run(ms(10));
        assert!(all.iter().all(|&machine| there(lan, machine, false)));
        write(lan, all[2], hello.clone());
        cut(lan, &all[2..]);
        lan.wait(secs(10), "cut off", |lan| lan.agree(&all[..2]));
        assert!(there(lan, all[0], false) && there(lan, all[2], true));
        cut(lan, &[]);
        wait(lan, secs(20), "back", |lan| there(lan, all[0], true));
        lan.kill(all[2]);
        lan.wait(secs(10), "gone", |lan| lan.agree(&all[..2]));
        assert!(there(lan, all[0], false));
        lan.start(all[2]);
        lan.wait(secs(10), "started", |lan| lan.agree(&all));
        lan.run(secs(20));
        assert!(
            all.iter().all(|&machine| there(lan, machine, false)),
            "of an earlier run"
        );
    });
}

#[test]
fn a_site_that_was_off_for_a_month_loses_nothing_and_brings_nothing_back() {
    with_seeds(10, |lan| {
        let all = cluster(lan, 3);
        write(lan, all[0], put("deleted", "x"));
        write(lan, all[0], put("kept", "x"));
        lan.run(secs(20));
        let old_disk = lan.machines[all[2]].disk.data.clone();
        cut(lan, &all[2..]);
        lan.wait(secs(10), "cut off", |lan| lan.agree(&all[..2]));
        write(lan, all[0], delete("deleted"));
        write(lan, all[2], put("written alone", "y"));
        pass_days(lan, 30);
        lan.run(secs(30));
        cut(lan, &[]);
        wait(lan, secs(60), "healed", |lan| equal(lan, &all));
        let is_right = |lan: &Lan| {
            all.iter().all(|&machine| {
                shows(lan, machine, "deleted", None)
                    && shows(lan, machine, "kept", Some("x"))
                    && shows(lan, machine, "written alone", Some("y"))
            })
        };
        assert!(is_right(lan));
        // All are there, so the deletion is forgotten once it is old.
        pass_days(lan, 8);
        wait(lan, secs(60), "forgotten", |lan| {
            all.iter()
                .all(|&machine| lan.data(machine).known().len() == 2)
        });
        assert!(is_right(lan));
        // A disk of the time before comes back, as from a backup.
        lan.run(secs(5));
        lan.kill(all[2]);
        lan.machines[all[2]].disk.data = old_disk;
        lan.start(all[2]);
        wait(lan, secs(60), "equal", |lan| equal(lan, &all));
        assert!(is_right(lan));
    });
}

#[test]
fn a_clock_that_is_ahead_does_not_win_over_later_writes() {
    with_seeds(10, |lan| {
        let all = cluster(lan, 3);
        lan.run(secs(5));
        lan.machines[all[0]].clock_off = 90 * 60 * 1000;
        lan.run(secs(5));
        write(lan, all[0], put("a", "of the wrong clock"));
        // The other has not heard of it.
        cut(lan, &all[1..]);
        lan.run(secs(5));
        write(lan, all[1], put("a", "later"));
        write(lan, all[0], put("b", "of the wrong clock"));
        lan.run(secs(5));
        write(lan, all[2], put("b", "later"));
        cut(lan, &[]);
        wait(lan, secs(60), "healed", |lan| equal(lan, &all));
        assert!(shows(lan, all[0], "a", Some("later")));
    });
}
