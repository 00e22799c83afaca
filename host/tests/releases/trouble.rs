//! Pushes that go wrong before every node serves the app: a canary does not take
//! it, the command is killed on the way, the node has no room or may not use more of
//! it. Each time the release before stays, and what is pushed next is served.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lab::client;
use lab::components::{filled, wanting_memory};
use lab::small_disk::{self, Small};
use serde_json::Value;

use crate::place::{BOUND, COOKIE, Node, Place, counter};
use crate::relay::{AtSocket, Relay};
use crate::support::components::read_built;

/// The node that is asked in most of them. It has the lowest address: a single
/// canary is this one.
const LOWEST: u8 = 2;

/// Far more than is under way at a time, in bytes.
const LARGE: usize = 8_000_000;

/// What a node has that is to have little, in MiB: room for itself, and for one
/// such app.
const LITTLE: u32 = 48;

/// What is left on a full disk, in bytes: room for what is small.
const LEFT: u64 = 1 << 20;

/// The releases that a node lists: the id of each, and how it stands.
fn releases(place: &Place, node: u8) -> Result<Vec<(String, String)>> {
    let output = place.command(node, &["releases", "--json"]).output()?;
    let listed: Value = serde_json::from_slice(&output.stdout)?;
    let listed = listed["releases"].as_array().context("no list")?.iter();
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    listed
        .map(|it| Ok((text(&it["id"])?, text(&it["status"])?)))
        .collect()
}

/// Waits until a node lists releases that stand so, the greatest first.
fn comes_to_list(place: &Place, node: u8, status: &[&str]) -> Result<()> {
    let began = Instant::now();
    loop {
        let listed = releases(place, node)?;
        if listed.iter().map(|(_, it)| it).eq(status) {
            return Ok(());
        }
        ensure!(began.elapsed() < BOUND, "node {node}: {listed:?}");
    }
}

/// Every file in the store of a node.
fn stored(place: &Place, node: u8) -> Result<Vec<String>> {
    fn walk(folder: &Path, into: &mut Vec<String>) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => walk(&path, into)?,
                false => into.push(path.display().to_string()),
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    walk(&place.data(node).join("components"), &mut files)?;
    files.sort();
    ensure!(!files.is_empty(), "the store of node {node} is elsewhere");
    Ok(files)
}

/// That no node has ever served anything else than the first release.
fn nothing_changed(nodes: &[Node]) -> Result<()> {
    for node in nodes {
        ensure!(node.serves()? == "v1");
        let output = node.process.output();
        ensure!(!output.contains("the app changed"), "{output}");
    }
    Ok(())
}

fn all_serve(nodes: &[Node], text: &str) -> Result<()> {
    for node in nodes {
        let serves = node.serves()?;
        ensure!(serves == text, "{serves}, not {text}");
    }
    Ok(())
}

/// Pushes an app with one canary, which does not take it for this reason, and
/// then another one, which it takes.
fn refused_by_the_canary(place: &Place, nodes: &[Node; 3], app: &[u8], why: &str) -> Result<()> {
    let app = place.app("refused.wasm", app)?;
    let push = ["push", &app, "--canary", "1", "--bake", "10m"];
    let said = place.run(3, &push)?;
    ensure!(said.code == Some(3), "{said:?}");
    let last = said.text.lines().last().unwrap_or_default();
    ensure!(last.starts_with("voted down by "), "{last}");
    ensure!(last.contains("example@127.0.0.2 ("), "{last}");
    ensure!(last.contains(why), "{last}");
    nothing_changed(nodes)?;
    // All come to know how that ended.
    for node in 2..=4 {
        comes_to_list(place, node, &["voted-down", "target"])?;
    }
    nothing_changed(nodes)?;
    let two = place.app("two.wasm", &counter(2))?;
    let push = [
        "push",
        &two,
        "--canary",
        "1",
        "--bake",
        "1s",
        "--timeout",
        "1m",
    ];
    let said = place.run(3, &push)?;
    ensure!(said.code == Some(0), "{said:?}");
    all_serve(nodes, "v2")
}

#[test]
fn a_canary_that_lets_the_app_have_too_little_memory_says_so_and_the_release_before_stays()
-> Result<()> {
    let place = Place::new()?;
    place.write_all(&counter(1))?;
    let canary = place.with_file(LOWEST).flag("--memory-limit", "16MiB");
    let nodes = place.together_as(&canary)?;
    let greedy = wanting_memory(&counter(3), 512);
    // 512 pages of 64 KiB are 32 MiB.
    let why = "a memory that begins with 33554432 bytes, more than 16777216; --memory-limit";
    refused_by_the_canary(&place, &nodes, &greedy, why)
}

#[test]
fn a_canary_that_the_app_fails_the_smoke_request_of_says_so_and_the_release_before_stays()
-> Result<()> {
    let place = Place::new()?;
    place.write_all(&counter(1))?;
    let canary = place.with_file(LOWEST).arg("--smoke").arg("GET");
    let nodes = place.together_as(&canary.arg("/count/tea"))?;
    let other = read_built("fixture-misbehave");
    let why = "failed its smoke request: GET /count/tea was answered with 404";
    refused_by_the_canary(&place, &nodes, &other, why)
}

/// Three nodes that serve version 1, of which the lowest takes small apps only,
/// and an app that is larger than that.
fn with_one_for_small_apps(place: &Place) -> Result<([Node; 3], Vec<u8>)> {
    place.write_all(&counter(1))?;
    let small = place.with_file(LOWEST).flag("--max-component", "1MiB");
    let nodes = place.together_as(&small)?;
    Ok((nodes, filled(&counter(3), LARGE, 1)))
}

/// What such a node says of it.
const TOO_LARGE: &str = "more than the 1048576 that this node accepts";

#[test]
fn a_canary_that_takes_only_smaller_apps_says_so_and_the_release_before_stays() -> Result<()> {
    let place = Place::new()?;
    let (nodes, large) = with_one_for_small_apps(&place)?;
    refused_by_the_canary(&place, &nodes, &large, TOO_LARGE)
}

#[test]
fn a_node_that_takes_only_smaller_apps_is_named_and_the_others_serve_a_large_one() -> Result<()> {
    let place = Place::new()?;
    let (nodes, large) = with_one_for_small_apps(&place)?;
    let large = place.app("large.wasm", &large)?;
    let said = place.run(3, &["push", &large, "--timeout", "10m"])?;
    ensure!(said.code == Some(3), "{said:?}");
    let last = said.text.lines().last().unwrap_or_default();
    ensure!(last.contains("example@127.0.0.2"), "{last}");
    ensure!(last.contains(TOO_LARGE), "{last}");
    all_serve(&nodes[1..], "v3")?;
    all_serve(&nodes[..1], "v1")?;
    // It is no use to try that again.
    nodes[0].says(&[TOO_LARGE, "the other nodes go on without this one"])?;
    let status = place.run(LOWEST, &["status"])?;
    ensure!(!status.text.contains("again"), "{status:?}");
    let two = place.app("two.wasm", &counter(2))?;
    ensure!(place.run(3, &["push", &two])?.code == Some(0));
    all_serve(&nodes, "v2")
}

/// Kills a push to the lowest node while it is held, and sees that nothing came
/// of it.
fn killed(place: &Place, mut push: Command, relay: &Relay) -> Result<()> {
    let before = (releases(place, LOWEST)?, stored(place, LOWEST)?);
    let mut push = push.stderr(Stdio::null()).spawn()?;
    let held = relay.holds()?;
    // It goes by signal 9, and not before.
    push.kill()?;
    let ended = push.wait()?;
    ensure!(ended.code().is_none(), "{ended}");
    held.cut()?;
    let after = (releases(place, LOWEST)?, stored(place, LOWEST)?);
    ensure!(before == after, "{before:#?} became {after:#?}");
    Ok(())
}

#[test]
fn a_push_killed_while_it_uploads_leaves_nothing_and_the_next_one_is_served() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let two = place.app("two.wasm", &filled(&counter(2), LARGE, 1))?;
    let push = ["push", &two, "--timeout", "1m"];
    let at = AtSocket::new(&place.data(LOWEST))?;
    killed(&place, place.command(LOWEST, &push), &at.relay)?;
    drop(at);
    nothing_changed(&nodes)?;
    let said = place.run(LOWEST, &push)?;
    ensure!(said.code == Some(0), "{said:?}");
    all_serve(&nodes, "v2")
}

#[test]
fn a_push_from_elsewhere_killed_while_it_uploads_leaves_nothing_and_the_next_one_is_served()
-> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let two = place.app("two.wasm", &filled(&counter(2), LARGE, 1))?;
    let node = SocketAddr::from((Ipv4Addr::new(127, 0, 0, LOWEST), place.port()));
    let (relay, at) = Relay::over_tcp(node)?;
    let (at, node) = (at.to_string(), node.to_string());
    let push = [
        "push",
        &two,
        "--timeout",
        "1m",
        "--cookie",
        COOKIE,
        "--node",
    ];
    let through = place.bare_command(&[&push[..], &[&at]].concat());
    killed(&place, through, &relay)?;
    nothing_changed(&nodes)?;
    let said = place.bare(&[&push[..], &[&node]].concat())?;
    ensure!(said.code == Some(0), "{said:?}");
    all_serve(&nodes, "v2")
}

/// Three nodes; what this one keeps is on that disk.
fn three_on(place: &Place, node: u8, disk: &Path) -> Result<[Node; 3]> {
    std::fs::create_dir(disk.join("data"))?;
    std::os::unix::fs::symlink(disk.join("data"), place.data(node))?;
    place.three()
}

/// Runs the test of this name again, with a disk that comes to be full; a push to
/// the node that is on it is refused for this reason.
fn refused_for_lack_of_room(test: &str, small: Small, why: [&str; 2]) -> Result<()> {
    let Some(disk) = small_disk::inner() else {
        small_disk::run_again(&format!("trouble::{test}"), small);
        return Ok(());
    };
    let place = Place::new()?;
    let nodes = three_on(&place, LOWEST, &disk)?;
    let before = (releases(&place, LOWEST)?, stored(&place, LOWEST)?);
    let filling = small_disk::fill(&disk, LEFT)?;
    let two = place.app("two.wasm", &filled(&counter(2), LARGE, 1))?;
    let push = ["push", &two, "--timeout", "1m"];
    let said = place.run(LOWEST, &push)?;
    ensure!(said.code == Some(2), "{said:?}");
    let last = said.text.lines().last().context("it says nothing")?;
    ensure!(why.iter().all(|words| last.contains(words)), "{last}");
    let after = (releases(&place, LOWEST)?, stored(&place, LOWEST)?);
    ensure!(before == after, "{before:#?} became {after:#?}");
    ensure!(releases(&place, 4)? == before.0);
    nothing_changed(&nodes)?;
    std::fs::remove_file(&filling)?;
    let said = place.run(LOWEST, &push)?;
    ensure!(said.code == Some(0), "{said:?}");
    all_serve(&nodes, "v2")
}

#[test]
fn a_push_to_a_node_without_room_is_refused_and_leaves_nothing() -> Result<()> {
    let name = "a_push_to_a_node_without_room_is_refused_and_leaves_nothing";
    let why = ["there is no room for the component of", "make room there"];
    refused_for_lack_of_room(name, Small::Disk(LITTLE), why)
}

#[test]
fn a_push_to_a_node_whose_quota_is_used_up_is_refused_and_leaves_nothing() -> Result<()> {
    let name = "a_push_to_a_node_whose_quota_is_used_up_is_refused_and_leaves_nothing";
    let why = [
        "is more than the disk quota still lets this node write to",
        "make room there, raise the quota, or",
    ];
    refused_for_lack_of_room(name, Small::Quota(LITTLE), why)
}

#[test]
fn a_changed_file_that_there_is_no_room_for_is_released_when_there_is_unless_another_release_came()
-> Result<()> {
    let test = "a_changed_file_that_there_is_no_room_for_is_released_when_there_is_unless_another_release_came";
    let Some(disk) = small_disk::inner() else {
        small_disk::run_again(&format!("trouble::{test}"), Small::Disk(LITTLE));
        return Ok(());
    };
    let place = Place::new()?;
    let nodes = three_on(&place, LOWEST, &disk)?;
    let filling = small_disk::fill(&disk, LEFT)?;
    let yet = [
        "cannot take up the app file yet",
        "there is no room for the component of",
    ];
    place.write(LOWEST, &filled(&counter(3), LARGE, 1))?;
    nodes[0].says(&yet)?;
    let status = place.run(LOWEST, &["status"])?;
    ensure!(status.text.contains("it tries again"), "{status:?}");
    nothing_changed(&nodes)?;
    // What is pushed elsewhere meanwhile is newer, and there is room for it.
    let two = place.app("two.wasm", &counter(2))?;
    ensure!(place.run(3, &["push", &two])?.code == Some(0));
    nodes[0].says(&["the app file is not taken up any more", "push it"])?;
    all_serve(&nodes, "v2")?;
    let since = Instant::now();
    place.write(LOWEST, &filled(&counter(3), LARGE, 2))?;
    nodes[0].process.wait_for_line_after(since, &yet, BOUND)?;
    all_serve(&nodes, "v2")?;
    std::fs::remove_file(&filling)?;
    for node in &nodes {
        node.comes_to_serve("v3")?;
    }
    let status = place.run(LOWEST, &["status"])?;
    ensure!(!status.text.contains("it tries again"), "{status:?}");
    Ok(())
}

#[test]
fn a_changed_file_that_waits_for_room_is_given_up_for_what_bakes_elsewhere_and_not_when_that_is_over()
-> Result<()> {
    let test = "a_changed_file_that_waits_for_room_is_given_up_for_what_bakes_elsewhere_and_not_when_that_is_over";
    /// The node without room. Canaries have the lowest addresses, so it is none.
    const FULL: u8 = 4;
    let Some(disk) = small_disk::inner() else {
        small_disk::run_again(&format!("trouble::{test}"), Small::Disk(LITTLE));
        return Ok(());
    };
    let place = Place::new()?;
    let nodes = three_on(&place, FULL, &disk)?;
    let full = &nodes[2].process;
    let filling = small_disk::fill(&disk, LEFT)?;
    let two = place.app("two.wasm", &counter(2))?;
    let push = ["push", &two, "--canary", "1", "--bake", "10s"];
    let yet = ["cannot take up the app file yet"];
    let given_up = ["the app file is not taken up any more", "push it"];

    // It changed before.
    place.write(FULL, &filled(&counter(3), LARGE, 1))?;
    full.wait_for_line(&yet, BOUND)?;
    let mut push = place.command(3, &push).stdout(Stdio::null()).spawn()?;
    full.wait_for_line(&given_up, BOUND)?;
    nodes[0].comes_to_serve("v2")?;
    ensure!(nodes[2].serves()? == "v1", "it bakes");

    // And once more while that bakes, which is over before there is room.
    let since = Instant::now();
    place.write(FULL, &filled(&counter(3), LARGE, 2))?;
    full.wait_for_line_after(since, &yet, BOUND)?;
    nodes[2].comes_to_serve("v2")?;
    ensure!(push.wait()?.success());
    full.wait_for_line_after(Instant::now(), &yet, BOUND)?;
    std::fs::remove_file(&filling)?;
    for node in &nodes {
        node.comes_to_serve("v3")?;
    }
    Ok(())
}

#[test]
fn a_changed_file_that_waits_for_room_is_released_although_what_it_follows_was_voted_down()
-> Result<()> {
    let test =
        "a_changed_file_that_waits_for_room_is_released_although_what_it_follows_was_voted_down";
    let Some(disk) = small_disk::inner() else {
        small_disk::run_again(&format!("trouble::{test}"), Small::Disk(LITTLE));
        return Ok(());
    };
    let place = Place::new()?;
    let nodes = three_on(&place, LOWEST, &disk)?;
    let bad = place.app("bad.wasm", &read_built("fixture-misbehave"))?;
    ensure!(place.run(3, &["push", &bad])?.code == Some(0));
    let filling = small_disk::fill(&disk, LEFT)?;
    place.write(LOWEST, &filled(&counter(3), LARGE, 1))?;
    nodes[0].says(&["cannot take up the app file yet"])?;
    for _ in 0..30 {
        let answer = client::get(&nodes[1].url("/panic"), BOUND)?;
        ensure!(answer.status == 500, "{}", answer.status);
    }
    for node in &nodes {
        node.comes_to_serve("v1")?;
    }
    std::fs::remove_file(&filling)?;
    for node in &nodes {
        node.comes_to_serve("v3")?;
    }
    Ok(())
}
