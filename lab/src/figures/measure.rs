//! How each row of the table is measured.

use super::{Group, Plan, Row, Target};
use crate::cluster::{Cluster, START, names};
use crate::lan::Lan;
use crate::load::{Streams, requests_per_second};
use crate::process::{Launch, Process};
use crate::{events, targets};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// So many streams are opened at once.
const STREAMS: usize = 1000;
/// How long `wrk` asks one server before it asks the other.
const WRK: Duration = Duration::from_secs(5);
/// The bare server listens beside the host.
const BARE: &str = "10.10.10.2:8998";
/// A figure that is worse than this is not a figure but a fault.
const BOUND: Duration = Duration::from_secs(60);

/// The whole table.
pub const GROUPS: &[Group] = &[
    Group {
        rows: &[
            row(
                "third node starts -> all list three",
                "0.81 s",
                time(targets::STARTED),
            ),
            row(
                "third node serves -> all list three",
                "26 ms",
                time(targets::LISTED),
            ),
        ],
        measure: third_node_starts,
    },
    Group {
        rows: &[row(
            "lost broadcasts pass again -> all list three",
            "never",
            time(targets::FOUND),
        )],
        measure: broadcasts_were_lost,
    },
    Group {
        rows: &[row(
            "link down at boot comes up -> all list three",
            "dies",
            time(targets::FOUND),
        )],
        measure: link_was_down_at_boot,
    },
    Group {
        rows: &[row(
            "kill -9 -> the others list two",
            "11 ms",
            time(targets::KILLED),
        )],
        measure: node_is_killed,
    },
    Group {
        rows: &[
            row(
                "cable pulled -> the others list two",
                "49-65 s",
                time(targets::SILENT),
            ),
            row(
                "cable plugged in -> all list three",
                "never",
                time(targets::HEALED),
            ),
        ],
        measure: cable_is_pulled,
    },
    Group {
        rows: &[
            row(
                "SIGSTOP -> the others list two",
                "69 s",
                time(targets::SILENT),
            ),
            row("SIGCONT -> all list three", "never", time(targets::HEALED)),
        ],
        measure: node_hangs,
    },
    Group {
        rows: &[row(
            "SIGTERM -> the others list two",
            "1.0 s",
            time(targets::LEFT),
        )],
        measure: node_leaves,
    },
    Group {
        rows: &[row(
            "GET /, of what a bare hyper server answers",
            "0.25-0.3",
            Target::Share(0.45),
        )],
        measure: throughput,
    },
    Group {
        rows: &[
            row(
                "1000 streams at once, until the last has begun",
                "110 s",
                time(targets::OPENED),
            ),
            row(
                "one leave -> the last of 1000 streams is told",
                "43-65 ms",
                time(targets::TOLD),
            ),
            row(
                "1000 streams closed: files still open",
                "2000 leak",
                Target::Count(0.0),
            ),
        ],
        measure: thousand_streams,
    },
    Group {
        rows: &[row(
            "idle stream, beyond a bare connection",
            "12.7 KiB",
            Target::Bytes(4096.0),
        )],
        measure: stream_memory,
    },
    Group {
        rows: &[row(
            "idle node, resident",
            "57-62 MB",
            Target::Bytes(targets::IDLE_BYTES as f64),
        )],
        measure: idle_memory,
    },
];

const fn row(event: &'static str, seed: &'static str, target: Target) -> Row {
    Row {
        event,
        seed,
        target,
    }
}

const fn time(target: Duration) -> Target {
    Target::Seconds(target.as_secs_f64())
}

fn lan(plan: &Plan) -> Result<Lan> {
    Lan::new(plan.programs.clone(), 3)
}

fn seconds<const N: usize>(times: [Duration; N]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}

fn third_node_starts(plan: &Plan) -> Result<Vec<f64>> {
    let join = events::third_node_starts(&lan(plan)?, BOUND)?;
    Ok(seconds([join.since_start, join.since_ready]))
}

fn broadcasts_were_lost(plan: &Plan) -> Result<Vec<f64>> {
    Ok(seconds([events::broadcasts_were_lost(&lan(plan)?, BOUND)?]))
}

fn link_was_down_at_boot(plan: &Plan) -> Result<Vec<f64>> {
    let (took, _) = events::link_was_down_at_boot(&lan(plan)?, BOUND)?;
    Ok(seconds([took]))
}

fn node_is_killed(plan: &Plan) -> Result<Vec<f64>> {
    Ok(seconds([events::node_is_killed(&lan(plan)?, BOUND)?]))
}

fn cable_is_pulled(plan: &Plan) -> Result<Vec<f64>> {
    let absence = events::cable_is_pulled(&lan(plan)?, BOUND, BOUND)?;
    Ok(seconds([absence.noticed, absence.healed]))
}

fn node_hangs(plan: &Plan) -> Result<Vec<f64>> {
    let absence = events::node_hangs(&lan(plan)?, BOUND, BOUND)?;
    Ok(seconds([absence.noticed, absence.healed]))
}

fn node_leaves(plan: &Plan) -> Result<Vec<f64>> {
    Ok(seconds([events::node_leaves(&lan(plan)?, BOUND)?]))
}

/// The bare server, on machine 2, with a page as large as ours.
fn bare(plan: &Plan, lan: &Lan, page: usize) -> Result<Process> {
    let bare = Launch::new(&plan.bare)
        .in_netns(lan.machine(2).netns().name())
        .arg(BARE)
        .arg(page.to_string())
        .spawn()?;
    // It says nothing when it is ready; it is when it answers.
    let deadline = Instant::now() + START;
    let url = format!("http://{BARE}/");
    while let Err(error) = lan.machine(2).get(&url, START) {
        if Instant::now() > deadline || !bare.is_running() {
            return Err(error).context("the bare server does not answer");
        }
        std::thread::yield_now();
    }
    Ok(bare)
}

/// One after the other on the same cores, twice, since machines drift.
fn throughput(plan: &Plan) -> Result<Vec<f64>> {
    let lan = lan(plan)?;
    let cluster = Cluster::start(&lan, &[2])?;
    let machine = lan.machine(2);
    let page = machine.get(&machine.url(), START)?.body.len();
    let _bare = bare(plan, &lan, page)?;
    let (mut ours, mut bares) = (0.0, 0.0);
    for _ in 0..2 {
        ours += requests_per_second(machine, &machine.url(), WRK)?;
        bares += requests_per_second(machine, &format!("http://{BARE}/"), WRK)?;
    }
    drop(cluster);
    eprintln!(
        "lab: GET /: {:.0} a second, bare: {:.0}",
        ours / 2.0,
        bares / 2.0
    );
    Ok(vec![ours / bares])
}

fn thousand_streams(plan: &Plan) -> Result<Vec<f64>> {
    let lan = lan(plan)?;
    let mut cluster = Cluster::start(&lan, &[2, 3, 4])?;
    let (url, before) = (
        format!("{}/updates", lan.machine(2).url()),
        cluster.host(2).open_files()?,
    );
    let (mut streams, opened) = Streams::open(lan.machine(2), &url, STREAMS, BOUND)?;
    let four = &names(&[4])[0];
    cluster.host(4).terminate()?;
    // From the first word of it on this node, to the last.
    let heard = cluster.wait_until_lists(2, &[2, 3], BOUND)?;
    let told = streams.wait_for_all(BOUND, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("data: [") && !text.contains(four.as_str())
    })?;
    drop(streams);
    let left = files_left(cluster.host(2), before)?;
    Ok(vec![
        opened.as_secs_f64(),
        told.saturating_duration_since(heard).as_secs_f64(),
        left,
    ])
}

/// How many more files the host has open than before, when that number no
/// longer falls.
fn files_left(host: &Process, before: usize) -> Result<f64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = host.open_files()?.saturating_sub(before);
        if left == 0 || Instant::now() > deadline {
            return Ok(left as f64);
        }
        std::thread::yield_now();
    }
}

fn stream_memory(plan: &Plan) -> Result<Vec<f64>> {
    let lan = lan(plan)?;
    let cluster = Cluster::start(&lan, &[2])?;
    let machine = lan.machine(2);
    let ours = memory_of_streams(&lan, cluster.host(2), &format!("{}/updates", machine.url()))?;
    let bare = bare(plan, &lan, 1)?;
    let bares = memory_of_streams(&lan, &bare, &format!("http://{BARE}/updates"))?;
    eprintln!(
        "lab: an idle stream: {:.1} KiB, bare: {:.1} KiB",
        ours / 1024.0,
        bares / 1024.0
    );
    Ok(vec![ours - bares])
}

/// By how much each of many open streams makes the process larger.
fn memory_of_streams(lan: &Lan, host: &Process, url: &str) -> Result<f64> {
    // The first streams pay for what all share.
    let (warm, _) = Streams::open(lan.machine(2), url, STREAMS / 10, BOUND)?;
    let before = host.resident_bytes()?;
    let (streams, _) = Streams::open(lan.machine(2), url, STREAMS, BOUND)?;
    let after = host.resident_bytes()?;
    drop((warm, streams));
    Ok((after as f64 - before as f64) / STREAMS as f64)
}

fn idle_memory(plan: &Plan) -> Result<Vec<f64>> {
    let lan = lan(plan)?;
    let cluster = Cluster::start(&lan, &[2, 3, 4])?;
    Ok(vec![cluster.host(2).resident_bytes()? as f64])
}
