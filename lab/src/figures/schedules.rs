//! The table that `cargo xtask lab schedules` prints: how many schedules of
//! which shape there were, how the commands ended, and how long after the LAN
//! was whole again all nodes were of one mind.

use crate::lan::Lan;
use crate::programs::Programs;
use crate::schedules::{HALVES, Heal, Ran, Relation, Schedule, Session, Split, What};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// Which schedules are carried out.
#[derive(Clone, Debug)]
pub struct SchedulePlan {
    /// The programs.
    pub programs: Programs,
    /// How many.
    pub count: u32,
    /// The seed of the first; the next one has the next.
    pub seed: u64,
}

/// What is older than this when a command says it, is so only since the machine
/// stood still.
const WIDE: Duration = Duration::from_secs(1);

/// What a row is about.
type Shape = fn(&Schedule, &Ran) -> bool;

/// The rows: what the schedules of each have in common.
const ROWS: &[(&str, Shape)] = &[
    ("all", |_, _| true),
    ("two apps", |it, _| it.what == What::TwoApps),
    ("the same app twice", |it, _| it.what == What::SameApp),
    ("a rollback, then a push", |it, _| {
        it.what == What::RollbackThenPush
    }),
    ("a push, then a rollback", |it, _| {
        it.what == What::PushThenRollback
    }),
    ("two rollbacks", |it, _| it.what == What::TwoRollbacks),
    ("split before both, and noticed", |it, _| {
        it.split == Split::Noticed
    }),
    ("split just before both", |it, _| {
        matches!(it.split, Split::Before(_))
    }),
    ("split between the two", |it, _| {
        matches!(it.split, Split::Between(_))
    }),
    ("split just after both", |it, _| {
        matches!(it.split, Split::After(_))
    }),
    ("healed while they follow", |it, _| {
        matches!(it.heal, Heal::Meanwhile(_))
    }),
    ("healed when both had ended", |it, _| {
        matches!(it.heal, Heal::Ended(_))
    }),
    ("came out as a conflict: one lost", |_, ran| {
        ran.relation == Relation::Conflict
    }),
    ("the second knew the first", |_, ran| {
        ran.relation == Relation::Sequence
    }),
    ("one release", |_, ran| ran.relation == Relation::Same),
];

/// Carry them out, and print the table.
///
/// # Errors
///
/// If one did not end as it has to: each such one is printed when it happens,
/// with its seed.
pub fn print(plan: &SchedulePlan) -> Result<()> {
    let nodes: Vec<u8> = HALVES.into_iter().flatten().collect();
    let machines = u8::try_from(nodes.len())?;
    let lan = Lan::new(plan.programs.clone(), machines)?;
    let machine = super::machine();
    let began = Instant::now();
    let mut session = None;
    let (mut ran, mut failed) = (Vec::new(), Vec::new());
    for at in 0..plan.count.max(1) {
        let schedule = Schedule::draw(plan.seed.wrapping_add(at.into()));
        // Of a session in which one has failed nobody knows the state.
        let mut now = match session.take() {
            Some(session) => session,
            None => Session::start(&lan)?,
        };
        match now.run(&schedule) {
            Ok(it) => {
                ran.push((schedule, it));
                session = Some(now);
            }
            Err(error) => {
                println!("failed: {error:#}");
                failed.push(schedule.seed);
            }
        }
    }
    println!(
        "{} nodes in two halves, a network namespace each; {machine}\n\
         {} schedules from seed {}, of which {} failed; {:.0} s, {:.1} s each",
        nodes.len(),
        ran.len() + failed.len(),
        plan.seed,
        failed.len(),
        began.elapsed().as_secs_f64(),
        began.elapsed().as_secs_f64() / f64::from(plan.count.max(1))
    );
    print_table(&ran);
    let still = ran.iter().map(|(_, ran)| ran.stood_still);
    println!(
        "the machine stood still for {:.2} s in all, for {:.2} s at most in one schedule",
        still.clone().sum::<Duration>().as_secs_f64(),
        still.max().unwrap_or_default().as_secs_f64()
    );
    let wide = ran.iter().filter(|(_, ran)| ran.leeway > WIDE).count();
    println!(
        "what a command said might be older than {} s in {wide} of them, since it stood still just then",
        WIDE.as_secs()
    );
    ensure!(
        failed.is_empty(),
        "these seeds failed: {failed:?}; again: cargo xtask lab schedules --count 1 --seed N"
    );
    Ok(())
}

fn print_table(ran: &[(Schedule, Ran)]) {
    println!(
        "{:<34} {:>9} {:>7} {:>7} {:>7}   {:>10} {:>10}",
        "", "schedules", "exit 0", "exit 4", "exit 5", "agreed p50", "worst"
    );
    for (name, shape) in ROWS {
        let of: Vec<&Ran> = ran
            .iter()
            .filter(|(schedule, ran)| shape(schedule, ran))
            .map(|(_, ran)| ran)
            .collect();
        let exits = |code: i32| {
            let codes = of.iter().flat_map(|ran| ran.exits);
            codes.filter(|it| *it == code).count()
        };
        let mut agreed: Vec<Duration> = of.iter().map(|ran| ran.agreed).collect();
        agreed.sort_unstable();
        let show = |time: Option<&Duration>| {
            time.map_or("-".to_owned(), |time| {
                format!("{:.2} s", time.as_secs_f64())
            })
        };
        println!(
            "{name:<34} {:>9} {:>7} {:>7} {:>7}   {:>10} {:>10}",
            of.len(),
            exits(0),
            exits(4),
            exits(5),
            show(agreed.get(agreed.len() / 2)),
            show(agreed.last())
        );
    }
}
