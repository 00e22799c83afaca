//! What can happen to a cluster, each as one function that lets it happen on a
//! LAN of three machines and tells how long the others took to notice. The
//! tests call them under a bound, the lab calls them for the figures.

use crate::cluster::{Cluster, START};
use crate::lan::Lan;
use crate::wire::Capture;
use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// The machines of these events.
const ALL: [u8; 3] = [2, 3, 4];
/// Those that look on while something happens to [`FOURTH`].
const OTHERS: [u8; 2] = [2, 3];
/// The machine 10.10.10.4.
const FOURTH: u8 = 4;

/// Where broadcasts go.
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 255);
/// So many broadcasts are lost: the burst at boot, and some of those that come
/// once a second after it.
const LOST: usize = 8;

/// How long after an event the cluster was of one mind again.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// Since the process was started.
    pub since_start: Duration,
    /// Since it said that it serves.
    pub since_ready: Duration,
}

/// Two nodes are up; the third starts. Until all three list three.
///
/// # Errors
///
/// If they do not within the bound after the third is ready.
pub fn third_node_starts(lan: &Lan, bound: Duration) -> Result<Join> {
    let mut cluster = Cluster::start(lan, &OTHERS)?;
    let (started, ready) = cluster.join(FOURTH)?;
    let listed = cluster.wait_until_all_list(&ALL, bound)?;
    Ok(Join {
        since_start: listed - started,
        since_ready: listed.saturating_duration_since(ready),
    })
}

/// The third node starts while no broadcast reaches anyone. From the moment
/// they pass, until all three list three.
///
/// # Errors
///
/// If they do not within the bound, or find each other before.
pub fn broadcasts_were_lost(lan: &Lan, bound: Duration) -> Result<Duration> {
    let mut cluster = Cluster::start(lan, &OTHERS)?;
    for number in ALL {
        lan.pass_broadcasts_to(number, false)?;
    }
    let fourth = lan.machine(FOURTH);
    let mut capture = fourth.netns().run(Capture::begin)?;
    cluster.join(FOURTH)?;
    // Past its burst at boot: all of these are lost.
    capture.collect(LOST, START, |seen| {
        *seen.from.ip() == fourth.ip() && *seen.to.ip() == BROADCAST
    })?;
    cluster.wait_until_lists(FOURTH, &[FOURTH], START)?;
    let began = Instant::now();
    for number in ALL {
        lan.pass_broadcasts_to(number, true)?;
    }
    let listed = cluster.wait_until_all_list(&ALL, bound)?;
    ensure!(listed > began, "it was found without a broadcast");
    Ok(listed - began)
}

/// The third node starts while its network card is down. From the moment it is
/// up, until all three list three. Returns what it printed, too.
///
/// # Errors
///
/// If they do not within the bound.
pub fn link_was_down_at_boot(lan: &Lan, bound: Duration) -> Result<(Duration, String)> {
    let mut cluster = Cluster::start(lan, &OTHERS)?;
    lan.machine(FOURTH).link_down()?;
    cluster.join(FOURTH)?;
    cluster.wait_until_lists(FOURTH, &[FOURTH], START)?;
    let began = Instant::now();
    lan.machine(FOURTH).link_up()?;
    let listed = cluster.wait_until_all_list(&ALL, bound)?;
    // The others' broadcasts may have told it before its own worked.
    cluster
        .host(FOURTH)
        .wait_for_line(&["broadcast", "works again"], bound)?;
    Ok((listed - began, cluster.host(FOURTH).output()))
}

/// One of three is killed with signal 9. Until the others list two.
///
/// # Errors
///
/// If they do not within the bound.
pub fn node_is_killed(lan: &Lan, bound: Duration) -> Result<Duration> {
    let mut cluster = Cluster::start(lan, &ALL)?;
    let killed = cluster.host(FOURTH).kill()?;
    let listed = cluster.wait_until_all_list(&OTHERS, bound)?;
    Ok(listed - killed)
}

/// How long it took to notice that a node was gone, and that it was back.
#[derive(Clone, Copy, Debug)]
pub struct Absence {
    /// From the fault until the others list two.
    pub noticed: Duration,
    /// From its end until all list three.
    pub healed: Duration,
}

/// The cable of one of three is pulled, and plugged in when the others list
/// two and it lists itself alone.
///
/// # Errors
///
/// If either takes longer than its bound.
pub fn cable_is_pulled(lan: &Lan, noticed: Duration, healed: Duration) -> Result<Absence> {
    let mut cluster = Cluster::start(lan, &ALL)?;
    let cut = Instant::now();
    lan.cut(FOURTH)?;
    let listed = cluster.wait_until_all_list(&OTHERS, noticed)?;
    // It has two to give up, one after the other.
    cluster.wait_until_lists(FOURTH, &[FOURTH], noticed * 2)?;
    let mended = Instant::now();
    lan.mend(FOURTH)?;
    let back = cluster.wait_until_all_list(&ALL, healed)?;
    Ok(Absence {
        noticed: listed - cut,
        healed: back - mended,
    })
}

/// One of three hangs (SIGSTOP), and goes on (SIGCONT) when the others list
/// two.
///
/// # Errors
///
/// If either takes longer than its bound.
pub fn node_hangs(lan: &Lan, noticed: Duration, healed: Duration) -> Result<Absence> {
    let mut cluster = Cluster::start(lan, &ALL)?;
    let frozen = cluster.host(FOURTH).freeze()?;
    let listed = cluster.wait_until_all_list(&OTHERS, noticed)?;
    let thawed = cluster.host(FOURTH).thaw()?;
    // What it listed when it froze may still be its newest view: it counts only
    // that all agree.
    let back = cluster.wait_until_all_list(&ALL, healed)?;
    Ok(Absence {
        noticed: listed - frozen,
        healed: back.saturating_duration_since(thawed),
    })
}

/// One of three is asked to stop. Until the others list two; and it ends well.
///
/// # Errors
///
/// If they do not within the bound, or it ends with another status than 0.
pub fn node_leaves(lan: &Lan, bound: Duration) -> Result<Duration> {
    let mut cluster = Cluster::start(lan, &ALL)?;
    let asked = cluster.host(FOURTH).terminate()?;
    let listed = cluster.wait_until_all_list(&OTHERS, bound)?;
    let (status, _) = cluster.host(FOURTH).wait_for_end(START * 2)?;
    ensure!(
        status.success(),
        "it ended with {status}:\n{}",
        cluster.host(FOURTH).output()
    );
    Ok(listed - asked)
}
