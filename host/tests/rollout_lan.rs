//! Rollouts on a LAN of network namespaces, where something goes wrong: two
//! decisions at once on two sides of a cut, releases that trap, and nodes and
//! commands that are cut off or killed while a release is on its way.
//!
//! `cargo xtask lab schedules` does the first at length, `cargo xtask lab rollouts`
//! measures the others.

use anyhow::{Context, Result, ensure};
use lab::rollout::{DRAIN, Nodes};
use lab::schedules::{Schedule, Session};
use lab::targets::{REVERTED, SLACK};
use lab::{Lan, Process, Programs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What must come, comes within this.
const BOUND: Duration = Duration::from_secs(30);
/// How long a canary is tried out here: long enough that two commands follow it
/// and it is cut off meanwhile, however busy the machine is.
const BAKE: Duration = Duration::from_secs(15);
/// The nodes, where there are three; a single canary is the first.
const THREE: [u8; 3] = [2, 3, 4];
/// The nodes, where the LAN is cut.
const FOUR: [u8; 4] = [2, 3, 4, 5];
/// A machine without a node.
const ELSEWHERE: u8 = 5;

/// A LAN of so many machines, or none where there can be none.
fn lan(machines: u8) -> Result<Option<Lan>> {
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
    Ok(Lan::or_skip(programs, machines))
}

/// Three nodes that serve the guest.
fn three(lan: &Lan) -> Result<Nodes<'_>> {
    Nodes::start(lan, &THREE, lan.programs().app(), &[], BOUND)
}

/// How a command ended, and its last line.
fn end(command: &Process) -> Result<(Option<i32>, String)> {
    let (status, _) = command.wait_for_end(BOUND)?;
    println!("{}", command.output());
    let last = command.lines().pop();
    Ok((status.code(), last.map(|it| it.text).unwrap_or_default()))
}

/// An app that the test program built, and its digest.
fn built(lan: &Lan, package: &str) -> Result<(PathBuf, String)> {
    let path = lan.programs().component(package);
    let digest = cluster::Digest::of(&std::fs::read(&path)?).to_string();
    Ok((path, digest))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Where the schedules start: from `LAB_SEED`, or the clock; a failure prints it.
fn seed() -> u64 {
    let given = std::env::var("LAB_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        now.unwrap_or_default().as_secs()
    })
}

#[test]
fn of_two_decisions_at_once_on_two_sides_of_a_cut_one_holds_and_both_commands_tell_the_truth()
-> Result<()> {
    let Some(lan) = lan(4)? else { return Ok(()) };
    let seed = seed();
    println!("the schedules are those of LAB_SEED={seed}");
    let mut session = Session::start(&lan)?;
    for seed in (seed..).take(6) {
        let schedule = Schedule::draw(seed);
        let ran = session.run(&schedule)?;
        println!("{schedule}: {ran:?}");
    }
    Ok(())
}

#[test]
fn a_canary_that_is_cut_off_keeps_its_vote_until_it_is_back_and_nobody_else_serves_it_before()
-> Result<()> {
    let Some(lan) = lan(4)? else { return Ok(()) };
    let (old, _) = built(&lan, "fixture-counter-v1")?;
    let (new, digest) = built(&lan, "fixture-counter-v2")?;
    let nodes = Nodes::start(&lan, &FOUR, &old, &[], BOUND)?;
    let bake = humantime::format_duration(BAKE).to_string();
    let staged = ["push", text(&new)?, "--canary", "1", "--bake", &bake];
    let push = nodes.command(3, &staged).spawn()?;
    nodes.says(4, &["release bakes"])?;
    nodes.says(2, &["the app changed"])?;
    // Others look on: one only for so long after that, one where the canary is.
    let short = nodes
        .command(4, &staged)
        .args(["--timeout", "5s"])
        .spawn()?;
    let alone = nodes.command(2, &staged).spawn()?;
    for follows in [&short, &alone] {
        follows.wait_for_line(&["already"], BOUND)?;
    }
    lan.cut(2)?;
    let away = lan.machine(2).node_name();
    for other in [3, 4, 5] {
        nodes.says(other, &["member down", &away])?;
    }
    // Where it is alone, its word is that of all canaries.
    nodes.says(2, &["release accepted by vote"])?;
    let (code, last) = end(&alone)?;
    ensure!(
        code == Some(0)
            && last.starts_with("done: 1 node serves it; gone before that: ")
            && last.contains("; a node that comes back gets it"),
        "{last}"
    );
    for other in [3, 4, 5] {
        ensure!(last.contains(&lan.machine(other).node_name()), "{last}");
    }
    let (code, last) = end(&short)?;
    ensure!(code == Some(5), "{code:?}");
    ensure!(
        last.contains("0 of 3 serve it; it waits for the votes of 10.10.10.2"),
        "{last}"
    );
    ensure!(push.is_running(), "{}", push.output());
    for other in [3, 4, 5] {
        ensure!(nodes.status(other)? == "baking");
        ensure!(nodes.changes(other).is_empty(), ".{other} serves it");
    }
    lan.mend(2)?;
    let (code, last) = end(&push)?;
    // The others may all serve it before the canary is a member again.
    let all = ["done: 4 nodes serve it", "done: 3 nodes serve it"];
    ensure!(
        code == Some(0) && all.iter().any(|all| last.starts_with(all)),
        "{last}"
    );
    for number in nodes.others(&[]) {
        nodes.serves(number, &digest)?;
        ensure!(nodes.status(number)? == "target");
        ensure!(nodes.changes(number).len() == 1, "{number}");
    }
    Ok(())
}

#[test]
fn a_canary_that_fails_while_it_is_cut_off_has_served_it_alone_once_it_is_back() -> Result<()> {
    let Some(lan) = lan(4)? else { return Ok(()) };
    let (old, before) = built(&lan, "fixture-counter-v1")?;
    let (bad, _) = built(&lan, "fixture-misbehave")?;
    let nodes = Nodes::start(&lan, &FOUR, &old, &[], BOUND)?;
    let staged = ["push", text(&bad)?, "--canary", "1", "--bake", "60s"];
    let push = nodes.command(3, &staged).spawn()?;
    nodes.says(2, &["the app changed"])?;
    lan.cut(2)?;
    nodes.says(3, &["member down", &lan.machine(2).node_name()])?;
    nodes.let_trap(2)?;
    nodes.serves(2, &before)?;
    // Nobody else can know.
    for other in [3, 4, 5] {
        ensure!(nodes.status(other)? == "baking");
    }
    ensure!(push.is_running(), "{}", push.output());
    let mended = Instant::now();
    lan.mend(2)?;
    let (code, last) = end(&push).with_context(|| nodes.output())?;
    println!("cable plugged in -> told: {:?}", mended.elapsed());
    ensure!(code == Some(3), "{code:?}");
    // By its name and with its reason, if it was heard of before its vote.
    ensure!(
        last.starts_with("voted down by ")
            && last.contains("10.10.10.2")
            && last.contains("the target is release"),
        "{last}"
    );
    for number in nodes.others(&[]) {
        nodes.stands(number, "voted-down")?;
        nodes.serves(number, &before)?;
        let served = nodes.changes(number).len();
        ensure!(served == if number == 2 { 2 } else { 0 }, ".{number}");
    }
    Ok(())
}

#[test]
fn a_push_that_is_prepared_while_nodes_go_back_wins_and_none_of_them_goes_back_after_it()
-> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let (old, _) = built(&lan, "fixture-misbehave")?;
    let (bad, _) = built(&lan, "fixture-plain")?;
    let nodes = Nodes::start(&lan, &THREE, &old, &["--drain", "10m"], BOUND)?;
    let it = nodes.push_during_revert(2, &bad, &nodes.good("newer")?)?;
    println!("newer one released -> all serve it: {:?}", it.served);
    ensure!(it.back == 0, "{it:?}");
    Ok(())
}

#[test]
fn a_release_that_traps_is_left_at_once_although_requests_are_open_on_the_one_before_and_they_go_on()
-> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let (old, _) = built(&lan, "fixture-misbehave")?;
    let (bad, _) = built(&lan, "fixture-plain")?;
    let drain = humantime::format_duration(DRAIN).to_string();
    let nodes = Nodes::start(&lan, &THREE, &old, &["--drain", &drain], BOUND)?;
    let it = nodes.trap_with_open_requests(2, 3, &bad, DRAIN)?;
    println!("{it:?}");
    ensure!(it.reverted.everywhere <= REVERTED * SLACK, "{it:?}");
    ensure!(it.cut == 0, "{it:?}");
    Ok(())
}

#[test]
fn a_release_that_traps_is_left_on_all_nodes_at_once() -> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let nodes = three(&lan)?;
    let it = nodes.trap_after_push(2, 3, &nodes.bad("bad")?)?;
    println!("{it:?}");
    ensure!(it.everywhere <= REVERTED * SLACK, "{it:?}");
    Ok(())
}

#[test]
fn a_canary_that_traps_keeps_the_release_from_all_others_and_the_push_says_why() -> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let nodes = three(&lan)?;
    let it = nodes.canary_traps(4, &nodes.bad("bad")?)?;
    println!("{it:?}");
    ensure!(it.reverted.everywhere <= REVERTED * SLACK, "{it:?}");
    ensure!(it.strays == 0, "{it:?}");
    ensure!(it.pushed.code == Some(3), "{it:?}");
    let canary = lan.machine(THREE[0]).node_name();
    let [(node, why)] = it.pushed.failed()[..] else {
        anyhow::bail!("one has failed: {it:?}");
    };
    ensure!(
        node == canary && why.contains("20 of 20 requests trapped"),
        "{it:?}"
    );
    Ok(())
}

#[test]
fn a_canary_that_answers_500_is_voted_down_for_two_clients_and_not_for_one() -> Result<()> {
    let Some(lan) = lan(4)? else { return Ok(()) };
    let (bad, _) = built(&lan, "fixture-misbehave")?;
    let nodes = three(&lan)?;
    let staged = ["push", text(&bad)?, "--canary", "1", "--bake", "60s"];
    let push = nodes.command(3, &staged).spawn()?;
    nodes.says(2, &["the app changed"])?;
    let url = format!("{}/status/500", lan.machine(2).url());
    let ask = |from: u8| -> Result<()> {
        for _ in 0..60 {
            let answer = lan.machine(from).get(&url, BOUND)?;
            ensure!(answer.status == 500, "{}", answer.status);
        }
        Ok(())
    };
    ask(ELSEWHERE)?;
    // The node looks five times a second.
    for _ in 0..20 {
        ensure!(nodes.status(2)? == "baking", "{}", nodes.output());
    }
    ask(4)?;
    nodes.says(
        2,
        &[
            "were answered with an error (5xx)",
            "votes against the release",
        ],
    )?;
    let (code, last) = end(&push)?;
    ensure!(
        code == Some(3) && last.starts_with("voted down by "),
        "{last}"
    );
    Ok(())
}

#[test]
fn a_node_that_is_cut_off_with_a_canary_that_traps_has_not_served_the_release_either() -> Result<()>
{
    let Some(lan) = lan(4)? else { return Ok(()) };
    let nodes = Nodes::start(&lan, &FOUR, lan.programs().app(), &[], BOUND)?;
    let it = nodes.canary_traps_apart(4, &FOUR[..2], &nodes.bad("bad")?)?;
    println!("{it:?}");
    ensure!(it.strays == 0, "{it:?}");
    ensure!(it.pushed.code == Some(3), "{it:?}");
    Ok(())
}

#[test]
fn a_canary_that_is_killed_is_waited_for_until_a_newer_push_which_it_serves_when_it_is_back()
-> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let mut nodes = three(&lan)?;
    let (app, newer) = (nodes.good("tried")?, nodes.good("newer")?);
    let it = nodes.canary_killed(4, &app, &newer)?;
    println!("{it:?}");
    ensure!(it.strays == 0, "{it:?}");
    ensure!(it.waits.contains("0 of 2 serve it"), "{it:?}");
    // Superseded.
    ensure!(it.code == Some(4), "{it:?}");
    Ok(())
}

#[test]
fn a_push_that_is_killed_while_it_uploads_leaves_nothing_and_the_next_one_is_served() -> Result<()>
{
    let Some(lan) = lan(4)? else { return Ok(()) };
    let nodes = three(&lan)?;
    let (app, next) = (nodes.long()?, nodes.good("next")?);
    let it = nodes.pusher_killed_while_uploading(ELSEWHERE, 2, &app, &next)?;
    println!("{it:?}");
    ensure!(it.received < it.of, "{it:?}");
    ensure!(it.changed == 0 && it.left == 0, "{it:?}");
    Ok(())
}

#[test]
fn a_release_is_served_by_all_if_its_push_is_killed_while_they_fetch_it() -> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let nodes = three(&lan)?;
    let served = nodes.pusher_killed_after_release(2, &nodes.long()?)?;
    println!("killed -> all serve it: {served:?}");
    Ok(())
}

#[test]
fn a_release_is_served_by_all_after_its_bake_if_its_push_is_killed_meanwhile() -> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let nodes = three(&lan)?;
    let bake = Duration::from_secs(5);
    let served = nodes.pusher_killed_in_the_bake(4, &nodes.good("alone")?, bake)?;
    println!("bake over -> all serve it: {served:?}");
    Ok(())
}

#[test]
fn a_node_that_is_killed_while_it_fetches_serves_the_release_when_it_is_back() -> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let mut nodes = three(&lan)?;
    let app = nodes.long()?;
    let it = nodes.killed_while_fetching(2, 4, &app)?;
    println!("{it:?}");
    // Those who are left serve it, and who is not is said.
    ensure!(it.pushed.code == Some(0), "{it:?}");
    ensure!(it.pushed.gone() == [lan.machine(4).node_name()], "{it:?}");
    Ok(())
}
