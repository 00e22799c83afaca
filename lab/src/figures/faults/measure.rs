//! How each row of the table of faults is measured.

use super::{Measured, Part, Session};
use crate::faults::{Alarms, Crowd};
use crate::figures::Target;
use crate::figures::table::{crowded, row, time};
use crate::quality::Quality;
use crate::targets;
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

/// A figure that is worse than this is not a figure but a fault.
pub(super) const BOUND: Duration = Duration::from_secs(60);
/// So long one hears nothing after all know.
const DEAF: Duration = Duration::from_secs(3);
/// Guests burn on one node of so many.
const BURNING: usize = 3;
/// So many lines of a log are shown beside a figure.
const SHOWN: usize = 4;

/// The whole table.
pub(super) const PARTS: &[Part] = &[
    Part {
        rows: &[
            crowded(
                "third..last node starts -> all list it",
                time(targets::STARTED),
            ),
            row(
                "third..last node serves -> all list it",
                time(targets::LISTED),
            ),
        ],
        measure: starts,
    },
    Part {
        rows: &[
            row("kill -9 -> all others know", time(targets::KILLED)),
            crowded(
                "killed one starts again -> all list it",
                time(targets::STARTED),
            ),
            row(
                "killed one serves again -> all list it",
                time(targets::LISTED),
            ),
        ],
        measure: |session| {
            session.each_round(|crowd, victim| {
                let (noticed, back) = crowd.kill(victim, BOUND)?;
                Ok([noticed, back.since_start, back.since_ready])
            })
        },
    },
    Part {
        rows: &[
            row("SIGSTOP -> all others know", time(targets::SILENT)),
            row("SIGCONT -> all list all", time(targets::HEALED)),
        ],
        measure: |session| {
            session.each_round(|crowd, victim| {
                let absence = crowd.hang(victim, BOUND)?;
                Ok([absence.noticed, absence.healed])
            })
        },
    },
    Part {
        rows: &[
            row("cable pulled -> all others know", time(targets::SILENT)),
            row(
                "cable pulled -> it lists itself alone",
                time(targets::SPLIT),
            ),
            row("cable plugged in -> all list all", time(targets::HEALED)),
        ],
        measure: |session| {
            session.each_round(|crowd, victim| {
                let cut = crowd.cut(victim, BOUND)?;
                Ok([cut.noticed, cut.alone, cut.healed])
            })
        },
    },
    Part {
        rows: &[
            row("halves split -> each lists its half", time(targets::SPLIT)),
            row("halves joined -> all list all", time(targets::JOINED)),
        ],
        measure: |session| {
            session.each_round(|crowd, _| {
                let absence = crowd.split(BOUND)?;
                Ok([absence.noticed, absence.healed])
            })
        },
    },
    Part {
        rows: &[
            row("deaf: all others know", time(targets::SPLIT)),
            row("deaf: it lists itself alone", time(targets::SPLIT)),
            row("deaf: others falsely down", Target::Count(0.0)),
        ],
        measure: deaf,
    },
    Part {
        rows: &[row("1 % of frames lost: false downs", Target::Count(0.0))],
        measure: |session| poor(session, Quality::losing_percent(1.0)),
    },
    Part {
        rows: &[row("5 % of frames lost: false downs", Target::Told)],
        measure: |session| poor(session, Quality::losing_percent(5.0)),
    },
    Part {
        rows: &[row(
            "frames 20 ms +- 10 ms late: false downs",
            Target::Count(0.0),
        )],
        measure: |session| {
            let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(10));
            poor(session, Quality::late_by(delay, jitter))
        },
    },
    Part {
        rows: &[
            row("idle: false downs", Target::Count(0.0)),
            row(
                "idle: gossip sent by a node, payload",
                Target::PerSecond(targets::IDLE_SENT),
            ),
            row(
                "idle: all sent by a node, on its card",
                Target::PerSecond(targets::IDLE_SENT),
            ),
            row(
                "idle: all received by a node, on its card",
                Target::PerSecond(targets::IDLE_RECEIVED),
            ),
            crowded(
                "idle: a node's share of one processor",
                Target::Percent(1.0),
            ),
        ],
        measure: idle,
    },
    Part {
        rows: &[
            row(
                "guests burn all processors: false downs",
                Target::Count(0.0),
            ),
            crowded("guests burn: GET /ok beside them", time(targets::BESIDE)),
        ],
        measure: burn,
    },
];

fn starts(session: &mut Session<'_>) -> Result<Measured> {
    // Its machines are still empty, or a node that starts finds its caches.
    ensure!(session.crowd.is_none(), "a crowd is there already");
    let (crowd, joins) = Crowd::start(session.lan, session.plan.programs.app(), BOUND)?;
    session.crowd = Some(crowd);
    let seconds = |pick: fn(&crate::events::Join) -> Duration| {
        joins.iter().map(|join| pick(join).as_secs_f64()).collect()
    };
    Ok(Measured {
        values: vec![
            seconds(|join| join.since_start),
            seconds(|join| join.since_ready),
        ],
        note: String::new(),
    })
}

fn poor(session: &mut Session<'_>, quality: Quality) -> Result<Measured> {
    let (lan, plan) = (session.lan, session.plan);
    let crowd = session.crowd()?;
    let poor = lan.degrade(quality, plan.seed)?;
    let ((), alarms) = crowd.watch(BOUND, |_| {
        // That nobody is missed takes as long as it lasts.
        thread::sleep(plan.poor);
        Ok(())
    })?;
    let frames = poor.frames()?;
    ensure!(frames.carried > 0, "no frame came past the poor cables");
    ensure!(
        quality.loss == 0.0 || frames.lost > 0,
        "the poor cables have lost nothing"
    );
    let share = frames.lost as f64 / (frames.lost + frames.carried) as f64;
    let note = format!(
        "{} s, {} frames carried, {} lost ({:.2} %), by {}\n{}",
        plan.poor.as_secs(),
        frames.carried,
        frames.lost,
        share * 100.0,
        poor.made_by(),
        shown(&alarms)
    );
    drop(poor);
    Ok(Measured {
        values: vec![vec![alarms.count() as f64]],
        note,
    })
}

fn deaf(session: &mut Session<'_>) -> Result<Measured> {
    let rounds = session.plan.rounds.max(1) as usize;
    let crowd = session.crowd()?;
    let mut values = vec![Vec::new(); 3];
    let mut note = String::new();
    for round in 0..rounds {
        let deaf = crowd.deafen(crowd.victim(round), DEAF, BOUND)?;
        let figures = [
            deaf.noticed.as_secs_f64(),
            deaf.alone.as_secs_f64(),
            deaf.alarms.count() as f64,
        ];
        for (row, figure) in values.iter_mut().zip(figures) {
            row.push(figure);
        }
        note.push_str(&shown(&deaf.alarms));
    }
    Ok(Measured { values, note })
}

fn idle(session: &mut Session<'_>) -> Result<Measured> {
    let lasting = session.plan.idle;
    let idle = session.crowd()?.idle(lasting, BOUND)?;
    let note = format!(
        "{} s; on the card: every protocol, with all headers; p50 and worst over the nodes; \
         gossip: UDP of the first node\n{}",
        lasting.as_secs(),
        shown(&idle.alarms)
    );
    Ok(Measured {
        values: vec![
            vec![idle.alarms.count() as f64],
            vec![idle.gossip],
            idle.sent,
            idle.received,
            idle.processor,
        ],
        note,
    })
}

fn burn(session: &mut Session<'_>) -> Result<Measured> {
    let (lan, plan) = (session.lan, session.plan);
    // It serves another app: this needs a crowd of its own, which has not agreed on
    // the first one.
    session.crowd = None;
    for machine in lan.machines() {
        machine.forget()?;
    }
    let (mut crowd, _) = Crowd::start(lan, &plan.misbehave, BOUND)?;
    let on: Vec<u8> = crowd.numbers().iter().copied().step_by(BURNING).collect();
    let burn = crowd.burn(&on, plan.burn, BOUND)?;
    ensure!(
        !burn.answers.is_empty(),
        "nothing was asked beside the burning guests"
    );
    let note = format!(
        "{} s on {} nodes, which kept {:.2} processors busy; {} answers of /ok\n{}",
        plan.burn.as_secs(),
        on.len(),
        burn.processors,
        burn.answers.len(),
        shown(&burn.alarms)
    );
    let answers = burn.answers.iter().map(Duration::as_secs_f64);
    Ok(Measured {
        values: vec![vec![burn.alarms.count() as f64], answers.collect()],
        note,
    })
}

/// The first lines of the false alarms.
fn shown(alarms: &Alarms) -> String {
    let mut text = String::new();
    for line in alarms.lines.iter().take(SHOWN) {
        text.push_str(&format!("{line}\n"));
    }
    if let Some(more @ 1..) = alarms.lines.len().checked_sub(SHOWN) {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}
