//! How each row of the table of pushes is measured.

use super::{Measured, Part, PushPlan};
use crate::components::{filled, marked, with_code};
use crate::figures::Target::{self, Took};
use crate::figures::table::{Row, crowded, row, time};
use crate::lan::Lan;
use crate::push::{Fleet, Pushed, Rollout, SMALL_DISK, Share, first_answers};
use crate::targets;
use anyhow::{Context, Result};
use std::time::Duration;

/// A figure that is worse than this is not a figure but a fault.
const BOUND: Duration = Duration::from_secs(120);
/// How much of the guest is new code when some of it is, in bytes.
const NEW_CODE: usize = 20_000;
/// Between two pages that are asked for to see which release makes them.
const PAUSE: Duration = Duration::from_millis(1);
/// So many clients ask each node at once under load.
const CLIENTS: usize = 2;
/// The node that fetches too slowly, or has too small a disk.
const VICTIM: u8 = 4;
/// So large is what is being fetched when the cable is pulled, in bytes.
const LONG: usize = 40_000_000;
/// So large is what a full disk has no room for, in bytes.
const WIDE: usize = 8_000_000;

/// What is told of a release to three nodes: when all served it, and the steps.
const fn rows_of_three(served: &'static str, told: &'static str) -> [Row; 4] {
    [
        crowded(served, time(targets::PUSHED)),
        crowded("  -> the release is made", Took),
        crowded("  -> the last node has answered with it", Took),
        crowded(told, Took),
    ]
}

/// The whole table.
pub(super) const PARTS: &[Part] = &[
    Part {
        rows: &rows_of_three(
            "3 nodes, some new code: push -> all serve it",
            "  -> `host push` has ended and said so",
        ),
        measure: |plan| three(plan, Change::Code),
    },
    Part {
        rows: &rows_of_three(
            "3 nodes, as much new code again: push -> all serve it",
            "  -> `host push` has ended and said so",
        ),
        measure: |plan| three(plan, Change::MuchCode),
    },
    Part {
        rows: &rows_of_three(
            "3 nodes, same code, new digest: push -> all serve it",
            "  -> `host push` has ended and said so",
        ),
        measure: |plan| three(plan, Change::Digest),
    },
    Part {
        rows: &rows_of_three(
            "3 nodes: rollback started -> all serve the one before",
            "  -> `host rollback` has ended and said so",
        ),
        measure: |plan| three(plan, Change::Back),
    },
    Part {
        rows: &[
            crowded("large cluster, new code: push -> all serve it", Took),
            crowded("  -> the release is made: one has compiled it", Took),
            crowded("  each other node: until it has heard of it", Took),
            crowded("  each other node: gets the app from others", Took),
            crowded("  each node: compiles it", Took),
            crowded("  each node: checks it", Took),
            crowded("  each node: swaps", Took),
            crowded("  all nodes: sum of compiling", Took),
            crowded("  all hosts: processor time", Took),
            crowded("large cluster, compiled before: rollback -> all", Took),
            crowded("  each other node: until it has heard of it", Took),
            crowded("  each node: loads compiled code", Took),
            crowded("  each node: checks it", Took),
            crowded("  each node: swaps", Took),
            crowded("  all nodes: sum of loading", Took),
            crowded("  all hosts: processor time", Took),
        ],
        measure: large,
    },
    Part {
        rows: &[
            row("pushes under load: requests lost", Target::Count(0.0)),
            crowded("  each push -> all serve it", Took),
            crowded("  the slowest page of each client", Took),
        ],
        measure: under_load,
    },
    Part {
        rows: &[
            row("cable pulled in a fetch: in again -> it serves it", Took),
            row("  push ends without it after the pull", Took),
        ],
        measure: cable_is_pulled,
    },
    Part {
        rows: &[
            row("disk full: room again -> it serves it", Took),
            row("  push started -> it ends with 3 and the reason", Took),
        ],
        measure: disk_is_full,
    },
];

/// How one release differs from the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// A little of its code is new to all nodes.
    Code,
    /// It has twice the code, and that half is new.
    MuchCode,
    /// Its code is the same, which no node is told.
    Digest,
    /// It is the one before that.
    Back,
}

fn three(plan: &PushPlan, change: Change) -> Result<Measured> {
    let lan = Lan::new(plan.programs.clone(), 3)?;
    let fleet = Fleet::start(&lan)?;
    let guest = std::fs::read(plan.programs.app())?;
    let mut values = vec![Vec::new(); 4];
    let mut note = String::new();
    for round in 0..plan.rounds.max(1) {
        let at = node_of(&fleet, round);
        let app = match change {
            Change::Code => Some(with_code(&guest, guest.len() + NEW_CODE, round)),
            Change::MuchCode => Some(with_code(&guest, guest.len() * 2, round)),
            Change::Digest => Some(marked(&guest, &round.to_le_bytes())),
            Change::Back => {
                let app = with_code(&guest, guest.len() + NEW_CODE, round);
                fleet.roll_out(at, Some(&fleet.app_file(&app)?), BOUND)?;
                None
            }
        };
        let file = app.map(|app| fleet.app_file(&app)).transpose()?;
        let push = || fleet.roll_out(at, file.as_deref(), BOUND);
        let (rollout, asked) = fleet.asked(1, PAUSE, push)?;
        let answered = first_answers(&asked, &rollout.digest)? - rollout.started;
        let figures = [rollout.served(), rollout.released, answered, rollout.told];
        for (row, figure) in values.iter_mut().zip(figures) {
            row.push(figure.as_secs_f64());
        }
        note = format!(
            "the guest, {} kB; the last round: {}",
            guest.len() / 1000,
            shares(&rollout)
        );
    }
    Ok(Measured { values, note })
}

fn large(plan: &PushPlan) -> Result<Measured> {
    let lan = Lan::new(plan.programs.clone(), plan.nodes)?;
    let fleet = Fleet::start(&lan)?;
    let guest = std::fs::read(plan.programs.app())?;
    let mut values = Vec::new();
    for round in 0..plan.rounds.max(1) {
        let at = node_of(&fleet, round);
        let file = fleet.app_file(&with_code(&guest, plan.size, round))?;
        let mut figures: Vec<Vec<Duration>> = Vec::new();
        for app in [Some(file.as_path()), None] {
            let before = fleet.processor_time()?;
            let rollout = fleet.roll_out(at, app, BOUND)?;
            let processor = fleet.processor_time()?.saturating_sub(before);
            let of_each = |pick: fn(&Share) -> Duration| rollout.nodes.iter().map(pick).collect();
            let others = || rollout.nodes.iter().filter(|node| node.number != at);
            // Who makes the release tells the others before it answers.
            let made = rollout.nodes.iter().find(|node| node.number == at);
            let made = made.map_or(rollout.released, |node| node.heard);
            let heard = others().map(|node| node.heard.saturating_sub(made));
            let compiled = rollout.nodes.iter().map(|node| node.compiled).sum();
            figures.push(vec![rollout.served()]);
            if app.is_some() {
                figures.push(vec![rollout.released]);
            }
            figures.push(heard.collect());
            if app.is_some() {
                figures.push(others().filter_map(|node| node.fetched).collect());
            }
            figures.extend([
                of_each(|node| node.compiled),
                of_each(|node| node.validated),
                of_each(|node| node.swapped),
                vec![compiled],
                vec![processor],
            ]);
        }
        values.resize(figures.len(), Vec::new());
        for (row, figures) in values.iter_mut().zip(figures) {
            row.extend(figures.iter().map(Duration::as_secs_f64));
        }
    }
    Ok(Measured {
        values,
        note: format!(
            "{} nodes, a component of {:.1} MB of which {:.1} MB are code that is new in each round; \
             compiling is counted on the wall, while all want the processors",
            plan.nodes,
            plan.size as f64 / 1e6,
            plan.size.saturating_sub(guest.len()) as f64 / 1e6
        ),
    })
}

fn under_load(plan: &PushPlan) -> Result<Measured> {
    let lan = Lan::new(plan.programs.clone(), 3)?;
    let fleet = Fleet::start(&lan)?;
    let guest = std::fs::read(plan.programs.app())?;
    let push = |round| {
        let app = with_code(&guest, guest.len() + NEW_CODE, round);
        let file = fleet.app_file(&app)?;
        let rollout = fleet.roll_out(node_of(&fleet, round), Some(&file), BOUND)?;
        Ok(rollout.served().as_secs_f64())
    };
    let pushes = || (0..plan.pushes).map(push).collect::<Result<Vec<_>>>();
    let (served, asked) = fleet.asked(CLIENTS, Duration::ZERO, pushes)?;
    let lost: u64 = asked.iter().map(|client| client.lost).sum();
    let answered: u64 = asked.iter().map(|client| client.answered).sum();
    let mut note = format!(
        "{} pushes of new code, {} clients that ask without a pause: {answered} pages\n",
        plan.pushes,
        asked.len()
    );
    for reason in asked.iter().flat_map(|client| &client.reasons) {
        note.push_str(&format!("{reason}\n"));
    }
    let slowest = asked.iter().map(|client| client.slowest.as_secs_f64());
    Ok(Measured {
        values: vec![vec![lost as f64], served, slowest.collect()],
        note,
    })
}

fn cable_is_pulled(plan: &PushPlan) -> Result<Measured> {
    let lan = Lan::new(plan.programs.clone(), 3)?;
    let fleet = Fleet::start(&lan)?;
    let guest = std::fs::read(plan.programs.app())?;
    let mut values = vec![Vec::new(); 2];
    let mut note = String::new();
    for round in 0..plan.rounds.max(1) {
        let file = fleet.app_file(&filled(&guest, LONG, round))?;
        let cut = fleet.cut_while_fetching(2, VICTIM, &file, BOUND)?;
        values[0].push(cut.healed.as_secs_f64());
        values[1].push((cut.pushed.ended - cut.pulled).as_secs_f64());
        note = format!(
            "the last round: it had {:.1} of {:.1} MB and served the release before; \
             `host push` ended with {} and said that {} is gone\n",
            cut.have as f64 / 1e6,
            cut.of as f64 / 1e6,
            code_of(&cut.pushed),
            cut.pushed.gone().join(", ")
        );
    }
    Ok(Measured { values, note })
}

fn disk_is_full(plan: &PushPlan) -> Result<Measured> {
    let guest = std::fs::read(plan.programs.app())?;
    let mut values = vec![Vec::new(); 2];
    let mut note = String::new();
    for round in 0..plan.rounds.max(1) {
        // What earlier rounds leave on the small disk would be in the way.
        let lan = Lan::new(plan.programs.clone(), 3)?;
        let fleet = Fleet::start_with_small_disk(&lan, VICTIM, SMALL_DISK)?;
        let file = fleet.app_file(&filled(&guest, WIDE, round))?;
        let full = fleet.fill_disk_and_push(2, VICTIM, &file, BOUND)?;
        values[0].push(full.mended.as_secs_f64());
        values[1].push((full.pushed.ended - full.pushed.started).as_secs_f64());
        let (node, reason) = full
            .pushed
            .failed()
            .first()
            .copied()
            .context("none failed")?;
        note = format!(
            "`host push` ended with {}: {node}: {reason}\n",
            code_of(&full.pushed)
        );
    }
    Ok(Measured { values, note })
}

/// The node that is asked in this round: they take turns.
fn node_of(fleet: &Fleet<'_>, round: u32) -> u8 {
    let numbers = fleet.numbers();
    let at = round as usize % numbers.len().max(1);
    numbers.get(at).copied().unwrap_or(2)
}

fn code_of(pushed: &Pushed) -> String {
    pushed
        .code
        .map_or_else(|| "a signal".to_owned(), |code| code.to_string())
}

/// What each node did, in a few words.
fn shares(rollout: &Rollout) -> String {
    let ms = |time: Duration| time.as_millis();
    let share = |node: &Share| {
        let fetched = node.fetched.map(|it| format!("fetched {} ms, ", ms(it)));
        format!(
            ".{} {}compiled {} ms, checked {} ms",
            node.number,
            fetched.unwrap_or_default(),
            ms(node.compiled),
            ms(node.validated)
        )
    };
    let shares: Vec<String> = rollout.nodes.iter().map(share).collect();
    shares.join("; ")
}
