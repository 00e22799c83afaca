//! Ten real nodes on a LAN of network namespaces: what a simulation cannot show,
//! as short as it can be. `cargo xtask lab faults` does it at length.
//!
//! The figures are in `lab::targets`. What a timer of the protocol decides has
//! three times as long here, since ten hosts share few processors; what only the
//! machine decides, ten times.

use anyhow::{Result, ensure};
use lab::faults::{Alarms, Crowd};
use lab::quality::Quality;
use lab::targets::{HEALED, JOINED, KILLED, LISTED, SILENT, SLACK, SPLIT};
use lab::{Lan, Programs, skip};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// So many nodes.
const NODES: u8 = 10;
/// Past this, a wait has failed. Each figure has its own, narrower bound.
const BOUND: Duration = Duration::from_secs(30);
/// How much longer than its target a timer of the protocol may take.
const LENIENT: u32 = 3;
/// How long one frame in a hundred is lost.
const POOR: Duration = Duration::from_secs(20);
/// How long guests burn.
const BURN: Duration = Duration::from_secs(10);

/// Ten machines, or none where there can be none.
fn lan() -> Result<Option<Lan>> {
    Ok(Lan::or_skip(
        Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
        NODES,
    ))
}

fn crowd<'lan>(lan: &'lan Lan, app: &Path) -> Result<Crowd<'lan>> {
    let (crowd, joins) = Crowd::start(lan, app, BOUND)?;
    ensure!(joins.len() == usize::from(NODES) - 2);
    Ok(crowd)
}

fn within(what: &str, took: Duration, bound: Duration) -> Result<()> {
    println!("{what}: {took:?} of {bound:?}");
    ensure!(took <= bound, "{what}: {took:?}, which is past {bound:?}");
    Ok(())
}

fn nobody_is_missed(alarms: &Alarms) -> Result<()> {
    ensure!(alarms.count() == 0, "{alarms:#?}");
    Ok(())
}

#[test]
fn ten_nodes_notice_each_fault_and_are_whole_again_after_it() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut crowd = crowd(&lan, lan.programs().app())?;

    let (noticed, back) = crowd.kill(crowd.victim(0), BOUND)?;
    within("kill -9 -> all others know", noticed, KILLED * SLACK)?;
    within(
        "it serves again -> all list it",
        back.since_ready,
        LISTED * SLACK,
    )?;

    let hang = crowd.hang(crowd.victim(1), BOUND)?;
    within("SIGSTOP -> all others know", hang.noticed, SILENT * LENIENT)?;
    within("SIGCONT -> all list all", hang.healed, HEALED * LENIENT)?;

    let cut = crowd.cut(crowd.victim(2), BOUND)?;
    within(
        "cable pulled -> all others know",
        cut.noticed,
        SILENT * LENIENT,
    )?;
    within("cable pulled -> it is alone", cut.alone, SPLIT * LENIENT)?;
    within(
        "cable plugged in -> all list all",
        cut.healed,
        HEALED * LENIENT,
    )?;

    let split = crowd.split(BOUND)?;
    within(
        "halves split -> each lists its half",
        split.noticed,
        SPLIT * LENIENT,
    )?;
    within(
        "halves joined -> all list all",
        split.healed,
        JOINED * LENIENT,
    )
}

#[test]
fn nobody_is_missed_while_one_frame_in_a_hundred_is_lost() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut crowd = crowd(&lan, lan.programs().app())?;
    let seed = 1;
    println!("seed {seed}");
    let poor = match lan.degrade(Quality::losing_percent(1.0), seed) {
        Ok(poor) => poor,
        Err(error) => {
            skip::skip(&format!("frames cannot be lost here: {error:#}"));
            return Ok(());
        }
    };
    let ((), alarms) = crowd.watch(BOUND, |_| {
        // That nobody is missed takes as long as it lasts.
        thread::sleep(POOR);
        Ok(())
    })?;
    let frames = poor.frames()?;
    println!("{frames:?}, by {}", poor.made_by());
    ensure!(frames.lost > 0, "nothing was lost: {frames:?}");
    nobody_is_missed(&alarms)
}

#[test]
fn nobody_is_missed_while_guests_burn_all_processors() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut crowd = crowd(&lan, &lan.programs().component("fixture-misbehave"))?;
    let on: Vec<u8> = crowd.numbers().iter().copied().step_by(3).collect();
    let burn = crowd.burn(&on, BURN, BOUND)?;
    println!(
        "{:.2} processors busy, {} answers beside, the slowest after {:?}",
        burn.processors,
        burn.answers.len(),
        burn.answers.iter().max()
    );
    // Others may want processors meanwhile; idle hosts take a twentieth of one.
    ensure!(burn.processors > 0.5, "the guests did not burn");
    ensure!(!burn.answers.is_empty(), "nothing was asked beside them");
    nobody_is_missed(&burn.alarms)
}
