//! How each row of the table of rollouts that go wrong is measured.

use super::{Measured, Part, RolloutPlan};
use crate::figures::Target::{Count, Took};
use crate::figures::table::{crowded, row, time};
use crate::lan::Lan;
use crate::push::Pushed;
use crate::rollout::{DRAIN, LONG, Nodes};
use crate::targets;
use anyhow::{Result, anyhow};
use std::path::Path;
use std::time::Duration;

/// A figure that is worse than this is not a figure but a fault.
const BOUND: Duration = Duration::from_secs(120);
/// The machines of the LAN.
const MACHINES: u8 = 4;
/// The nodes, and the machine without one.
const THREE: [u8; 3] = [2, 3, 4];
const ELSEWHERE: u8 = 5;
/// Where the LAN is cut: all nodes, and those on the side of the canary.
const FOUR: [u8; 4] = [2, 3, 4, 5];
const AWAY: [u8; 2] = [2, 3];
/// The node that is asked. A single canary is another one.
const ASKED: u8 = 4;
/// The node that is killed while it fetches.
const VICTIM: u8 = 3;
/// How long a canary bears a release here before the others follow.
const BAKE: Duration = Duration::from_secs(5);
/// The nodes drain for longer than anything here takes.
const LONG_DRAIN: [&str; 2] = ["--drain", "10m"];

/// The whole table.
pub(super) const PARTS: &[Part] = &[
    Part {
        rows: &[
            row(
                "trap after a push: crossed -> the one before on all",
                time(targets::REVERTED),
            ),
            row("  -> the node that was asked has judged", Took),
        ],
        measure: trap_after_push,
    },
    Part {
        rows: &[
            row(
                "the same, requests open on the one before",
                time(targets::REVERTED),
            ),
            row("  open requests that were cut", Count(0.0)),
        ],
        measure: trap_with_open_requests,
    },
    Part {
        rows: &[
            row(
                "canary traps: crossed -> the one before on all",
                time(targets::REVERTED),
            ),
            row("  -> the canary has judged", Took),
            row("  other nodes that ever served it", Count(0.0)),
        ],
        measure: canary_traps,
    },
    Part {
        rows: &[
            row("cut in the bake: joined -> the one before on all", Took),
            row("  other nodes that ever served it", Count(0.0)),
        ],
        measure: canary_traps_apart,
    },
    Part {
        rows: &[
            row(
                "push during a revert: nodes that go back after it",
                Count(0.0),
            ),
            crowded("  newer one released -> all serve it", Took),
        ],
        measure: push_during_revert,
    },
    Part {
        rows: &[
            row(
                "canary killed in the bake: others that served it",
                Count(0.0),
            ),
            crowded(
                "  newer push -> all that are left serve it",
                time(targets::PUSHED),
            ),
            crowded("  canary starts again -> it serves the newer", Took),
        ],
        measure: canary_killed,
    },
    Part {
        rows: &[
            row(
                "pusher killed in the upload: nodes that changed",
                Count(0.0),
            ),
            row("  files and releases of it that are left", Count(0.0)),
            crowded("  next push -> all serve it", Took),
        ],
        measure: pusher_killed_while_uploading,
    },
    Part {
        rows: &[crowded(
            "pusher killed after its release: killed -> all serve it",
            Took,
        )],
        measure: pusher_killed_after_release,
    },
    Part {
        rows: &[crowded(
            "pusher killed in the bake: bake over -> all serve it",
            Took,
        )],
        measure: pusher_killed_in_the_bake,
    },
    Part {
        rows: &[crowded(
            "node killed in a fetch: starts again -> it serves it",
            Took,
        )],
        measure: killed_while_fetching,
    },
];

fn trap_after_push(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &THREE, |nodes, round| {
        let at = THREE[round as usize % THREE.len()];
        let it = nodes.trap_after_push(ASKED, at, &nodes.bad("bad")?)?;
        let values = [it.everywhere, it.judged].map(seconds);
        Ok((values, String::new()))
    })
}

fn canary_traps(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &THREE, |nodes, _| {
        let it = nodes.canary_traps(ASKED, &nodes.bad("bad")?)?;
        let [all, judged] = [it.reverted.everywhere, it.reverted.judged].map(seconds);
        Ok(([all, judged, it.strays as f64], ended(&it.pushed)))
    })
}

fn canary_traps_apart(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &FOUR, |nodes, _| {
        let it = nodes.canary_traps_apart(ASKED, &AWAY, &nodes.bad("bad")?)?;
        let note = format!(
            "4 nodes, of which the canary and another are cut off; {}",
            ended(&it.pushed)
        );
        Ok(([seconds(it.healed), it.strays as f64], note))
    })
}

fn trap_with_open_requests(plan: &RolloutPlan) -> Result<Measured> {
    let programs = &plan.programs;
    let old = programs.component("fixture-misbehave");
    let bad = programs.component("fixture-plain");
    let drain = humantime::format_duration(DRAIN).to_string();
    each_round_of(plan, &THREE, &old, &["--drain", &drain], |nodes, round| {
        let at = THREE[round as usize % THREE.len()];
        let it = nodes.trap_with_open_requests(ASKED, at, &bad, DRAIN)?;
        let note = format!(
            "one on each node, which the release that traps does not take over; --drain {drain}, \
             and looked at when that is over"
        );
        let values = [seconds(it.reverted.everywhere), it.cut as f64];
        Ok((values, note))
    })
}

fn push_during_revert(plan: &RolloutPlan) -> Result<Measured> {
    let programs = &plan.programs;
    let old = programs.component("fixture-misbehave");
    let bad = programs.component("fixture-plain");
    each_round_of(plan, &THREE, &old, &LONG_DRAIN, |nodes, _| {
        let it = nodes.push_during_revert(ASKED, &bad, &nodes.good("newer")?)?;
        let note = "the newer one waits for room on the node that was asked when the first votes";
        Ok(([it.back as f64, seconds(it.served)], note.to_owned()))
    })
}

fn canary_killed(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &THREE, |nodes, _| {
        let app = nodes.good("tried")?;
        let newer = nodes.good("newer")?;
        let it = nodes.canary_killed(ASKED, &app, &newer)?;
        let note = format!(
            "`host push` said meanwhile: {}; and ended with {}",
            it.waits,
            code(it.code)
        );
        let [newer, again] = [it.newer, it.again].map(seconds);
        Ok(([it.strays as f64, newer, again], note))
    })
}

fn pusher_killed_while_uploading(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &THREE, |nodes, _| {
        let (app, next) = (nodes.long()?, nodes.good("next")?);
        let it = nodes.pusher_killed_while_uploading(ELSEWHERE, ASKED, &app, &next)?;
        let note = format!(
            "from another machine; the last round: {:.1} of {:.1} MB had come",
            it.received as f64 / 1e6,
            it.of as f64 / 1e6
        );
        let values = [it.changed as f64, it.left as f64, seconds(it.next)];
        Ok((values, note))
    })
}

fn pusher_killed_after_release(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &THREE, |nodes, _| {
        let it = nodes.pusher_killed_after_release(ASKED, &nodes.long()?)?;
        let note = format!("{:.1} MB, which the others fetch then", LONG as f64 / 1e6);
        Ok(([seconds(it)], note))
    })
}

fn pusher_killed_in_the_bake(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &THREE, |nodes, _| {
        let app = nodes.good("alone")?;
        let it = nodes.pusher_killed_in_the_bake(ASKED, &app, BAKE)?;
        let note = format!("it bakes for {BAKE:?}");
        Ok(([seconds(it)], note))
    })
}

fn killed_while_fetching(plan: &RolloutPlan) -> Result<Measured> {
    each_round(plan, &THREE, |nodes, _| {
        let app = nodes.long()?;
        let it = nodes.killed_while_fetching(ASKED, VICTIM, &app)?;
        let note = format!(
            "the last round: it had {:.1} of {:.1} MB; {}",
            it.have as f64 / 1e6,
            it.of as f64 / 1e6,
            ended(&it.pushed)
        );
        Ok(([seconds(it.again)], note))
    })
}

/// Measure once in each round, on new nodes that serve the guest.
fn each_round<const ROWS: usize>(
    plan: &RolloutPlan,
    numbers: &[u8],
    measure: impl FnMut(&mut Nodes<'_>, u32) -> Result<([f64; ROWS], String)>,
) -> Result<Measured> {
    each_round_of(plan, numbers, plan.programs.app(), &[], measure)
}

/// The same on nodes that serve this app, with these flags. They are new in each
/// round, so that none goes by what another round has left. The note is that of
/// the last round.
fn each_round_of<const ROWS: usize>(
    plan: &RolloutPlan,
    numbers: &[u8],
    app: &Path,
    flags: &[&str],
    mut measure: impl FnMut(&mut Nodes<'_>, u32) -> Result<([f64; ROWS], String)>,
) -> Result<Measured> {
    let mut values = vec![Vec::new(); ROWS];
    let mut note = String::new();
    for round in 0..plan.rounds.max(1) {
        let lan = Lan::new(plan.programs.clone(), MACHINES)?;
        let mut nodes = Nodes::start(&lan, numbers, app, flags, BOUND)?;
        let measured = measure(&mut nodes, round);
        let (figures, told) = measured
            .map_err(|error| anyhow!("in round {}: {error:#}\n{}", round + 1, nodes.output()))?;
        note = told;
        for (row, figure) in values.iter_mut().zip(figures) {
            row.push(figure);
        }
    }
    Ok(Measured { values, note })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// How a push ended, and what it said of nodes that do not serve the app. Of one
/// that was away when it failed, only the vote is known.
fn ended(pushed: &Pushed) -> String {
    let mut text = format!("`host push` ended with {}", code(pushed.code));
    for (node, reason) in pushed.failed() {
        text += &match reason {
            "" => format!("; {node} has voted against it"),
            reason => format!("; {node}: {reason}"),
        };
    }
    match pushed.gone()[..] {
        [] => text,
        ref gone => format!("{text}; meanwhile gone: {}", gone.join(", ")),
    }
}

fn code(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| code.to_string())
}
