//! Three real nodes on a LAN of network namespaces: they find each other, and
//! notice whatever happens to one of them.
//!
//! The figures are in `lab::targets`; the bounds here are ten times as wide.

use anyhow::{Context, Result, ensure};
use lab::cluster::{ANSWER, START};
use lab::targets::{FOUND, HEALED, KILLED, LEFT, LISTED, SILENT, SLACK};
use lab::{Cluster, Lan, Programs, events};
use std::path::PathBuf;
use std::time::Duration;

const ALL: [u8; 3] = [2, 3, 4];

/// Three machines, or none where there can be none.
fn lan() -> Result<Option<Lan>> {
    Ok(Lan::or_skip(
        Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
        3,
    ))
}

#[test]
fn every_page_links_to_every_node() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let cluster = Cluster::start(&lan, &ALL)?;
    for machine in lan.machines() {
        let answer = machine.get(&machine.url(), ANSWER)?;
        let page = answer.text();
        ensure!(answer.status == 200, "{}: {page}", answer.status);
        for other in lan.machines() {
            ensure!(
                page.contains(&format!("href=\"{}\"", other.url())),
                "no link in:\n{page}"
            );
        }
        ensure!(
            page.contains(&format!("node: {}", machine.node_name())),
            "no name in:\n{page}"
        );
        // What the links promise: from another machine too.
        let other = lan.machine(if machine.number() == 2 { 3 } else { 2 });
        let seen = other.get(&machine.url(), ANSWER)?.text();
        ensure!(
            seen.contains(&format!("node: {}", machine.node_name())),
            "{seen}"
        );
    }
    drop(cluster);
    Ok(())
}

#[test]
fn a_stream_tells_of_each_change_once() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3])?;
    cluster.views_of(2);
    cluster.join(4)?;
    cluster.wait_until_all_list(&ALL, LISTED * SLACK)?;
    cluster.host(4).kill()?;
    cluster.wait_until_all_list(&[2, 3], KILLED * SLACK)?;
    let (two, three) = (lab::cluster::names(&[2, 3]), lab::cluster::names(&ALL));
    assert_eq!(cluster.views_of(2), [three, two]);
    Ok(())
}

#[test]
fn a_third_node_is_listed_by_all_as_soon_as_it_serves() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    events::third_node_starts(&lan, LISTED * SLACK).map(drop)
}

#[test]
fn a_node_is_found_though_its_first_broadcasts_were_lost() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    events::broadcasts_were_lost(&lan, FOUND * SLACK).map(drop)
}

#[test]
fn a_node_whose_link_is_down_at_boot_says_so_once_and_is_found_when_it_is_up() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let (_, output) = events::link_was_down_at_boot(&lan, FOUND * SLACK)?;
    let told = output
        .lines()
        .filter(|line| line.contains("broadcast"))
        .count();
    ensure!(
        told == 2,
        "one line when it fails and one when it works again:\n{output}"
    );
    Ok(())
}

#[test]
fn a_killed_node_is_dropped() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    events::node_is_killed(&lan, KILLED * SLACK).map(drop)
}

#[test]
fn a_node_whose_cable_is_pulled_is_dropped_and_taken_back() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    events::cable_is_pulled(&lan, SILENT * SLACK, HEALED * SLACK).map(drop)
}

#[test]
fn a_node_that_hangs_is_dropped_and_taken_back() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    events::node_hangs(&lan, SILENT * SLACK, HEALED * SLACK).map(drop)
}

#[test]
fn a_node_that_is_asked_to_stop_says_so_and_ends_well() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    events::node_leaves(&lan, LEFT * SLACK).map(drop)
}

#[test]
fn a_killed_node_comes_back_under_its_name() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &ALL)?;
    cluster.host(4).kill()?;
    // At once, whether or not the others have noticed.
    cluster.join(4)?;
    cluster.wait_until_all_list(&ALL, HEALED * SLACK)?;
    // And it is the new one that they see: nobody waits for the old one's
    // verdict.
    cluster.host(4).terminate()?;
    cluster.wait_until_all_list(&[2, 3], LEFT * SLACK)?;
    Ok(())
}

#[test]
fn a_node_whose_data_was_wiped_comes_back_under_its_name() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &ALL)?;
    cluster.host(4).kill()?;
    cluster.remove(4);
    let data = lan.machine(4).data_dir();
    std::fs::remove_dir_all(data).with_context(|| format!("cannot wipe {}", data.display()))?;
    cluster.join(4)?;
    cluster.wait_until_all_list(&ALL, HEALED * SLACK)?;
    Ok(())
}

#[test]
fn a_node_whose_clock_was_set_back_comes_back_under_its_name() -> Result<()> {
    back_in_the_past(false)
}

#[test]
fn a_node_whose_clock_was_set_back_and_data_wiped_comes_back_under_its_name() -> Result<()> {
    back_in_the_past(true)
}

/// Node 4 comes back with a clock that is a day slow.
fn back_in_the_past(wipe: bool) -> Result<()> {
    let Some(library) = libfaketime() else {
        lab::skip::skip("libfaketime is missing (Debian: apt-get install libfaketime)");
        return Ok(());
    };
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &ALL)?;
    cluster.host(4).kill()?;
    cluster.remove(4);
    if wipe {
        std::fs::remove_dir_all(lan.machine(4).data_dir()).context("cannot wipe the data")?;
    }
    let yesterday = lan
        .host(4)
        .env("LD_PRELOAD", library)
        .env("FAKETIME", "-1d")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    cluster.join_as(4, &yesterday)?;
    cluster.wait_until_all_list(&ALL, HEALED * SLACK)?;
    Ok(())
}

fn libfaketime() -> Option<PathBuf> {
    let dirs = PathBuf::from("/usr/lib").read_dir().ok()?;
    let mut libraries = dirs
        .flatten()
        .map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists())
}

#[test]
fn the_second_machine_with_a_name_ends_and_says_why() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3])?;
    // Machine 4 is given the address of machine 3, and starts the same node.
    lan.machine(4).take_address(lan.machine(4).ip())?;
    lan.machine(4).give_address(lan.machine(3).ip())?;
    let second = lan
        .host(4)
        .flag("--name", lan.machine(3).node_name())
        .spawn()?;
    let (status, _) = second.wait_for_end(START * 3)?;
    let output = second.output();
    ensure!(!status.success(), "{output}");
    ensure!(
        output
            .lines()
            .any(|line| line.starts_with("  error: another machine uses the name")),
        "no reason given:\n{output}"
    );
    ensure!(
        cluster.host(3).is_running(),
        "the first has ended:\n{}",
        cluster.output()
    );
    lan.machine(4).link_down()?;
    cluster.wait_until_all_list(&[2, 3], HEALED * SLACK)?;
    Ok(())
}

#[test]
fn a_node_that_is_told_to_waits_for_its_address() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let machine = lan.machine(2);
    machine.take_address(machine.ip())?;
    let host = lan.host(2).flag("--wait-address", "60s").spawn()?;
    host.wait_for_line(&["waiting", "10.10.10.2"], START)?;
    machine.give_address(machine.ip())?;
    host.wait_until_ready(START).map(drop)
}

#[test]
fn a_node_whose_address_is_taken_away_says_so_and_waits_or_ends() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let waits = lan.host(2).flag("--wait-address", "60s").spawn()?;
    let ends = lan.host(3).spawn()?;
    for host in [&waits, &ends] {
        host.wait_until_ready(START)?;
    }
    for number in [2, 3] {
        lan.machine(number).take_address(lan.machine(number).ip())?;
    }
    let gone = "is no longer on this machine, so nobody reaches the node";
    waits.wait_for_line(&["the IP 10.10.10.2", gone, "up to 60 s"], START)?;
    ends.wait_for_line(&["the IP 10.10.10.3", gone], START)?;
    let (status, _) = ends.wait_for_end(START * 3)?;
    let output = ends.output();
    let why = "error: the IP 10.10.10.3 of this node has been away from this machine";
    ensure!(status.code() == Some(1) && output.contains(why), "{output}");
    lan.machine(2).give_address(lan.machine(2).ip())?;
    waits.wait_for_line(&["10.10.10.2", "on this machine again"], START)?;
    let page = lan.machine(2).get(&lan.machine(2).url(), ANSWER)?;
    ensure!(page.status == 200, "{page:?}");
    Ok(())
}

#[test]
fn a_node_that_hears_nobody_says_once_what_to_look_at() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    for number in [2, 3] {
        lan.pass_broadcasts_to(number, false)?;
    }
    let nodes = [lan.host(2).spawn()?, lan.host(3).spawn()?];
    for node in nodes {
        let hint = ["no other node was heard in 60 s", "port 8383", "--join"];
        node.wait_for_line(&hint, START + Duration::from_secs(70))?;
    }
    Ok(())
}

#[test]
fn a_node_is_joined_where_no_broadcast_passes() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    for number in ALL {
        lan.pass_broadcasts_to(number, false)?;
    }
    let mut cluster = Cluster::start(&lan, &[2])?;
    for number in [3, 4] {
        cluster.join_as(number, &lan.host(number).flag("--join", "10.10.10.2"))?;
    }
    cluster.wait_until_all_list(&ALL, START).map(drop)
}
