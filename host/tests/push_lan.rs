//! A push to three real nodes on a LAN of network namespaces, also where a cable
//! is pulled or a disk is full: what a simulation and the loopback interface
//! cannot show, as short as it can be. `cargo xtask lab push` measures it.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::components::{filled, marked};
use lab::push::Fleet;
use lab::targets::{HEALED, PUSHED, SLACK};
use lab::{Lan, Programs};

/// Past this, a wait has failed. Each figure has its own, narrower bound.
const BOUND: Duration = Duration::from_secs(30);
/// How much longer than its target a timer of the protocol may take.
const LENIENT: u32 = 3;
/// The node that something goes wrong on, and another one.
const VICTIM: u8 = 4;
const OTHER: u8 = 2;

/// Three machines, or none where there can be none.
fn lan() -> Result<Option<Lan>> {
    Ok(Lan::or_skip(
        Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
        3,
    ))
}

fn within(what: &str, took: Duration, bound: Duration) -> Result<()> {
    println!("{what}: {took:?} of {bound:?}");
    ensure!(took <= bound, "{what}: {took:?}, which is past {bound:?}");
    Ok(())
}

#[test]
fn a_push_is_served_by_all_and_a_rollback_goes_back_and_no_request_is_lost() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let fleet = Fleet::start(&lan)?;
    let old = fleet.serves(OTHER)?;
    let app = fleet.app_file(&marked(&std::fs::read(lan.programs().app())?, b"new"))?;
    let pushes = || {
        let there = fleet.roll_out(OTHER, Some(&app), BOUND)?;
        Ok([there, fleet.roll_out(VICTIM, None, BOUND)?])
    };
    let ([there, back], asked) = fleet.asked(1, Duration::ZERO, pushes)?;
    within("push -> all serve it", there.served(), PUSHED * SLACK)?;
    within("rollback -> all serve it", back.served(), PUSHED * SLACK)?;
    ensure!(there.digest != old && back.digest == old);
    for client in &asked {
        ensure!(client.lost == 0, "{client:#?}");
        // Each node went there and back in one step each.
        let seen: Vec<&String> = client.changes.iter().map(|(_, digest)| digest).collect();
        ensure!(seen == [&old, &there.digest, &old], "{seen:?}");
    }
    Ok(())
}

#[test]
fn a_node_cut_off_while_it_fetches_serves_the_old_release_until_it_is_back() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let fleet = Fleet::start(&lan)?;
    let guest = std::fs::read(lan.programs().app())?;
    let app = fleet.app_file(&filled(&guest, 40_000_000, 1))?;
    let cut = fleet.cut_while_fetching(OTHER, VICTIM, &app, BOUND)?;
    println!("it had {} of {} bytes", cut.have, cut.of);
    // Those who are left serve it, and who is not is said.
    ensure!(cut.pushed.code == Some(0), "{:#?}", cut.pushed);
    let name = lan.machine(VICTIM).node_name();
    ensure!(cut.pushed.gone() == [&*name], "{:#?}", cut.pushed);
    within("plugged in -> it serves it", cut.healed, HEALED * LENIENT)
}

#[test]
fn a_node_without_room_says_so_serves_the_old_release_and_takes_the_new_one_later() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let fleet = Fleet::start_with_small_disk(&lan, VICTIM)?;
    let guest = std::fs::read(lan.programs().app())?;
    let app = fleet.app_file(&filled(&guest, 8_000_000, 1))?;
    let full = fleet.fill_disk_and_push(OTHER, VICTIM, &app, BOUND)?;
    println!("room -> it serves it: {:?}", full.mended);
    ensure!(full.reason.contains("there is no room"), "{}", full.reason);
    ensure!(full.logged.contains(&full.reason), "{}", full.logged);
    ensure!(full.pushed.code == Some(3), "{:#?}", full.pushed);
    let name = lan.machine(VICTIM).node_name();
    ensure!(
        full.pushed.failed() == [(&*name, &*full.reason)],
        "{:#?}",
        full.pushed
    );
    Ok(())
}
