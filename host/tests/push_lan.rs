//! A push to three real nodes on a LAN of network namespaces, also where a cable
//! is pulled, a disk is full or a quota is used up: what a simulation and the
//! loopback interface cannot show, as short as it can be. `cargo xtask lab push` measures it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::Digest;
use lab::cluster::{ANSWER, START};
use lab::components::{filled, marked};
use lab::push::{Fleet, SMALL_DISK, SMALL_QUOTA};
use lab::quality::Quality;
use lab::small_disk::Small;
use lab::targets::{HEALED, PUSHED, SLACK};
use lab::{Cluster, Lan, Process, Programs};

/// Past this, a wait has failed. Each figure has its own, narrower bound.
const BOUND: Duration = Duration::from_secs(30);
/// How much longer than its target a timer of the protocol may take.
const LENIENT: u32 = 3;
/// The node that something goes wrong on, and another one.
const VICTIM: u8 = 4;
const OTHER: u8 = 2;
/// Where there are two nodes: the one with the higher address, and a machine
/// without a node, from which is pushed.
const SECOND: u8 = 3;
const ELSEWHERE: u8 = 4;
/// How long each frame is on its way while an upload is to be slow: 64 KiB of it
/// may be under way at a time, so that 40 MB take a minute at least.
const LATE: Duration = Duration::from_millis(50);
/// A command whose node has vanished asks whether it is there after 10 s, and
/// waits 5 s for the answer.
const NOTICED: Duration = Duration::from_secs(60);

/// Three machines, or none where there can be none.
fn lan() -> Result<Option<Lan>> {
    Ok(Lan::or_skip(
        Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
        3,
    ))
}

/// Two nodes that list each other and serve the guest.
fn two(lan: &Lan) -> Result<Cluster<'_>> {
    let cluster = Cluster::start(lan, &[OTHER, SECOND])?;
    for node in [OTHER, SECOND] {
        cluster.host(node).wait_for_line(&["new target"], START)?;
    }
    Ok(cluster)
}

/// An app file that the guest is made of, and its digest.
fn app_file(lan: &Lan, content: &[u8]) -> Result<(PathBuf, String)> {
    let digest = Digest::of(content).to_string();
    let path = lan.scratch().join(&digest);
    std::fs::write(&path, content)?;
    Ok((path, digest))
}

/// The digest of the app that a node serves.
fn serves(lan: &Lan, node: u8) -> Result<String> {
    let status = lan.machine(node).status(ANSWER)?;
    let digest = status["serving"]["digest"].as_str();
    Ok(digest.with_context(|| format!("{status:#}"))?.to_owned())
}

/// Waits for the end of a push whose cable is out, which is to be an error.
fn ends_without_its_node(push: &Process) -> Result<String> {
    let (status, _) = push.wait_for_end(NOTICED)?;
    println!("{}", push.output());
    ensure!(status.code() == Some(1), "{status}");
    let last = push.lines().pop().context("it says nothing")?.text;
    let why = "error: the connection to the node ended: ";
    ensure!(last.starts_with(why), "{last}");
    ensure!(last.contains("is the network cut"), "{last}");
    Ok(last)
}

/// Plugs the cable in again from which was pushed, and pushes another app.
fn the_next_push_is_served(lan: &Lan, mark: &[u8]) -> Result<()> {
    lan.mend(ELSEWHERE)?;
    let began = Instant::now();
    let node = lan.machine(OTHER).url();
    while let Err(error) = lan.machine(ELSEWHERE).get(&node, ANSWER) {
        ensure!(began.elapsed() < BOUND, "{error:#}");
    }
    let guest = std::fs::read(lan.programs().app())?;
    let (app, digest) = app_file(lan, &marked(&guest, mark))?;
    let push = lan.tool_from(ELSEWHERE, OTHER, &["push", "--timeout", "1m"]);
    let push = push.arg(&app).spawn()?;
    let (status, _) = push.wait_for_end(NOTICED + BOUND)?;
    ensure!(status.code() == Some(0), "{status}: {}", push.output());
    for node in [OTHER, SECOND] {
        ensure!(serves(lan, node)? == digest);
    }
    Ok(())
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

/// Fills the disk of a node, or its quota, while it fetches: it says why in these
/// words, and takes the app once there is room.
fn takes_it_later(small: Small, why: &str) -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    if let Some(why) = small.obstacle()? {
        lab::skip::skip(&why);
        return Ok(());
    }
    let fleet = Fleet::start_with_small_disk(&lan, VICTIM, small)?;
    let guest = std::fs::read(lan.programs().app())?;
    let app = fleet.app_file(&filled(&guest, 8_000_000, 1))?;
    let full = fleet.fill_disk_and_push(OTHER, VICTIM, &app, BOUND)?;
    println!("room -> it serves it: {:?}", full.mended);
    ensure!(full.reason.contains(why), "{}", full.reason);
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

#[test]
fn a_node_without_room_says_so_serves_the_old_release_and_takes_the_new_one_later() -> Result<()> {
    takes_it_later(SMALL_DISK, "there is no room")
}

#[test]
fn a_node_over_its_quota_says_so_serves_the_old_release_and_takes_the_new_one_later() -> Result<()>
{
    takes_it_later(
        SMALL_QUOTA,
        "is more than the disk quota still lets this node write to",
    )
}

#[test]
fn a_push_cut_off_while_it_uploads_ends_with_an_error_and_releases_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let _cluster = two(&lan)?;
    let old = serves(&lan, OTHER)?;
    let stored = || anyhow::Ok(lan.machine(OTHER).status(ANSWER)?["store"].clone());
    let before = stored()?;
    let guest = std::fs::read(lan.programs().app())?;
    let (app, digest) = app_file(&lan, &filled(&guest, 40_000_000, 1))?;
    let slow = lan.degrade(Quality::late_by(LATE, Duration::ZERO), 1)?;
    let push = lan.tool_from(ELSEWHERE, OTHER, &["push"]).arg(&app);
    let push = push.spawn()?;
    push.wait_for_line(&["uploading"], BOUND)?;
    // The cards count, and tell nobody.
    let received = || anyhow::Ok(lan.machine(OTHER).traffic()?.1);
    let (first, began) = (received()?, Instant::now());
    while received()? < first + 500_000 {
        ensure!(began.elapsed() < BOUND, "it does not upload");
    }
    lan.cut(ELSEWHERE)?;
    let said = ends_without_its_node(&push)?;
    ensure!(!said.contains("goes on"), "{said}");
    drop(slow);
    let listed = lan.tool(OTHER, &["releases", "--json"]).spawn()?;
    ensure!(listed.wait_for_end(BOUND)?.0.success());
    ensure!(!listed.output().contains(&digest), "{}", listed.output());
    ensure!(stored()? == before, "{} became {}", before, stored()?);
    for node in [OTHER, SECOND] {
        ensure!(serves(&lan, node)? == old);
    }
    the_next_push_is_served(&lan, b"next")
}

#[test]
fn a_push_cut_off_while_it_follows_ends_with_an_error_and_a_newer_one_is_served() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let cluster = two(&lan)?;
    let old = serves(&lan, SECOND)?;
    let guest = std::fs::read(lan.programs().app())?;
    let (app, digest) = app_file(&lan, &marked(&guest, b"baking"))?;
    let push = ["push", "--canary", "1", "--bake", "10m"];
    let push = lan.tool_from(ELSEWHERE, OTHER, &push).arg(&app).spawn()?;
    let canary = cluster.host(OTHER);
    canary.wait_for_line(&["the app changed"], BOUND)?;
    push.wait_for_line(&["example@10.10.10.2: serving"], BOUND)?;
    lan.cut(ELSEWHERE)?;
    let said = ends_without_its_node(&push)?;
    ensure!(said.contains("the release goes on without this"), "{said}");
    // One tries it out, the other waits.
    ensure!(serves(&lan, OTHER)? == digest);
    ensure!(serves(&lan, SECOND)? == old);
    the_next_push_is_served(&lan, b"newer")
}
