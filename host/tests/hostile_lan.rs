//! Real nodes on a LAN with someone on it who means them harm, or is merely
//! misconfigured: nothing that is not a member is ever listed, and nothing
//! stalls.

use anyhow::{Result, ensure};
use lab::cluster::{ANSWER, START, names};
use lab::targets::{HEALED, KILLED, SLACK};
use lab::wire::{Capture, Datagram, Forge};
use lab::{Cluster, Lan, Programs};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The cluster's port, UDP and TCP.
const PORT: u16 = 8383;
/// Machine 5 is the attacker's; there are nodes on 2, 3 and 4.
const ATTACKER: u8 = 5;
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 255);
/// What GET / may take at worst while the node is attacked.
const STALL: Duration = Duration::from_millis(250);
/// So many frames of one node are captured to be sent again.
const FRAMES: usize = 20;

fn lan() -> Result<Option<Lan>> {
    Ok(Lan::or_skip(
        Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
        4,
    ))
}

fn attack(lan: &Lan, datagrams: &[Datagram]) -> Result<()> {
    lan.machine(ATTACKER).netns().run(|| {
        let forge = Forge::begin()?;
        datagrams
            .iter()
            .try_for_each(|datagram| forge.send(datagram))
    })
}

fn at(number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 10, 10, number), PORT)
}

/// What node `number` sends, whoever to, in the next seconds.
fn frames_of(lan: &Lan, number: u8) -> Result<Vec<Datagram>> {
    let mut capture = lan.machine(number).netns().run(Capture::begin)?;
    capture.collect(FRAMES, START, |seen| *seen.from.ip() == *at(number).ip())
}

/// Wait until node 2 has sent a few more datagrams: time has passed, as the
/// cluster counts it.
fn let_the_cluster_work(lan: &Lan) -> Result<()> {
    frames_of(lan, 2).map(drop)
}

#[test]
fn a_node_with_the_wrong_cookie_is_never_listed() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3])?;
    for number in [2, 3] {
        cluster.views_of(number);
    }
    let stranger = lan.host(4).env("HOST_COOKIE", "another cookie");
    cluster.join_as(4, &stranger)?;
    let_the_cluster_work(&lan)?;
    for number in [2, 3] {
        ensure!(
            cluster.views_of(number).is_empty(),
            "node {number} saw it\n{}",
            cluster.output()
        );
    }
    ensure!(
        cluster.views_of(4).iter().all(|view| *view == names(&[4])),
        "it saw others:\n{}",
        cluster.output()
    );
    // Said, but not with every datagram.
    let refusals = |number: u8| {
        let output = cluster.host(number).output();
        output
            .lines()
            .filter(|line| line.contains("10.10.10.4"))
            .count()
    };
    ensure!(
        (1..=2).contains(&refusals(2)),
        "{} lines:\n{}",
        refusals(2),
        cluster.output()
    );
    Ok(())
}

#[test]
fn ten_thousand_bad_datagrams_change_nothing_and_stall_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3, 4])?;
    let real = frames_of(&lan, 3)?;
    for number in [2, 3, 4] {
        cluster.views_of(number);
    }
    let lines_before = cluster.host(2).lines().len();
    let seed = seed();
    let bad = bad_datagrams(&real, seed);
    ensure!(bad.len() >= 10_000);

    let attacked = AtomicBool::new(false);
    let two = lan.machine(2);
    let took = std::thread::scope(|scope| {
        let getter = scope.spawn(|| {
            two.netns().run(|| {
                let done = || attacked.load(Ordering::Relaxed);
                lab::client::get_repeatedly(&two.url(), ANSWER, done)
            })
        });
        let sent = attack(&lan, &bad);
        attacked.store(true, Ordering::Relaxed);
        sent?;
        getter
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let worst = took.iter().max().copied().unwrap_or_default();
    ensure!(
        worst < STALL,
        "GET / took {worst:?} of {} (seed {seed})",
        took.len()
    );

    let_the_cluster_work(&lan)?;
    for number in [2, 3, 4] {
        let views = cluster.views_of(number);
        ensure!(
            views.is_empty(),
            "node {number} changed its view to {views:?} (seed {seed})"
        );
    }
    // Every source is told of once a minute, and this took less.
    let lines = cluster.host(2).lines().split_off(lines_before);
    for source in 1..=254 {
        let address = format!("{}:", at(source).ip());
        let told = lines
            .iter()
            .filter(|line| line.text.contains(&address))
            .count();
        ensure!(
            told <= 1,
            "{told} lines of {address} (seed {seed}):\n{}",
            cluster.output()
        );
    }
    Ok(())
}

/// Garbage, truncated, changed, oversized, and with sources that are not
/// theirs: made of real frames, so that they get as far as they can.
fn bad_datagrams(real: &[Datagram], seed: u64) -> Vec<Datagram> {
    let mut random = Random(seed);
    let mut bad = Vec::new();
    while bad.len() < 10_000 {
        let mut datagram = real[random.below(real.len())].clone();
        datagram.to = if random.below(4) == 0 {
            SocketAddrV4::new(BROADCAST, PORT)
        } else {
            at(2)
        };
        match random.below(5) {
            0 => {
                let size = random.below(1400);
                datagram.payload = (0..size).map(|_| random.below(256) as u8).collect();
            }
            1 => datagram
                .payload
                .truncate(random.below(datagram.payload.len())),
            2 => {
                let at = random.below(datagram.payload.len());
                datagram.payload[at] ^= 1 << random.below(8);
            }
            3 => datagram.payload.resize(1401 + random.below(70), 0),
            _ => datagram.from = at(20 + random.below(200) as u8),
        }
        // Half of them come from machines unheard of, the others claim to be a
        // member.
        if random.below(2) == 0 {
            datagram.from = at(20 + random.below(200) as u8);
        }
        bad.push(datagram);
    }
    bad
}

#[test]
fn frames_of_a_live_node_sent_again_change_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3, 4])?;
    let frames = frames_of(&lan, 4)?;
    for number in [2, 3, 4] {
        cluster.views_of(number);
    }
    replay(&lan, &frames)?;
    for number in [2, 3, 4] {
        let views = cluster.views_of(number);
        ensure!(
            views.is_empty(),
            "node {number}: {views:?}\n{}",
            cluster.output()
        );
    }
    Ok(())
}

#[test]
fn frames_of_a_dead_node_sent_again_do_not_bring_it_back() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3])?;
    // From its very first frame on, and with all that it says to the others.
    let mut capture = lan.machine(4).netns().run(Capture::begin)?;
    cluster.join(4)?;
    cluster.wait_until_all_list(&[2, 3, 4], HEALED * SLACK)?;
    let frames = capture.collect(2 * FRAMES, START, |seen| *seen.from.ip() == *at(4).ip())?;
    cluster.host(4).kill()?;
    cluster.wait_until_all_list(&[2, 3], KILLED * SLACK)?;
    for number in [2, 3] {
        cluster.views_of(number);
    }
    replay(&lan, &frames)?;
    for number in [2, 3] {
        let views = cluster.views_of(number);
        ensure!(
            views.is_empty(),
            "node {number}: {views:?}\n{}",
            cluster.output()
        );
    }
    Ok(())
}

#[test]
fn frames_from_before_a_restart_sent_again_change_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3, 4])?;
    let frames = frames_of(&lan, 4)?;
    cluster.host(4).terminate()?;
    cluster.wait_until_all_list(&[2, 3], HEALED * SLACK)?;
    cluster.join(4)?;
    cluster.wait_until_all_list(&[2, 3, 4], HEALED * SLACK)?;
    for number in [2, 3, 4] {
        cluster.views_of(number);
    }
    replay(&lan, &frames)?;
    for number in [2, 3, 4] {
        let views = cluster.views_of(number);
        ensure!(
            views.is_empty(),
            "node {number}: {views:?}\n{}",
            cluster.output()
        );
    }
    Ok(())
}

/// Send the frames again: as they were, to each node, and from the attacker's
/// own address; then give the cluster time to fall for it.
fn replay(lan: &Lan, frames: &[Datagram]) -> Result<()> {
    let mut again = Vec::new();
    for frame in frames {
        for to in [
            frame.to,
            at(2),
            at(3),
            at(4),
            SocketAddrV4::new(BROADCAST, PORT),
        ] {
            for from in [frame.from, at(ATTACKER)] {
                again.push(Datagram {
                    from,
                    to,
                    payload: frame.payload.clone(),
                });
            }
        }
    }
    // What went between two nodes on other ports is none of the cluster's.
    again.retain(|datagram| datagram.to.port() == PORT);
    attack(lan, &again)?;
    let_the_cluster_work(lan)
}

#[test]
fn a_node_may_not_have_a_name_whose_ip_is_not_its_own() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let impostor = lan.host(4).flag("--name", "example@10.10.10.3").spawn()?;
    let (status, _) = impostor.wait_for_end(START)?;
    let output = impostor.output();
    ensure!(!status.success(), "{output}");
    let reason = impostor
        .lines()
        .pop()
        .map(|line| line.text)
        .unwrap_or_default();
    ensure!(
        reason.starts_with("error: 10.10.10.3 is not an address"),
        "{output}"
    );
    // It says which addresses there are.
    ensure!(output.contains("10.10.10.4"), "{output}");
    Ok(())
}

#[test]
fn connections_that_say_nothing_or_nonsense_leave_the_cluster_alone() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let mut cluster = Cluster::start(&lan, &[2, 3, 4])?;
    for number in [2, 3, 4] {
        cluster.views_of(number);
    }
    let held = lan.machine(ATTACKER).netns().run(|| {
        use std::io::Write;
        let mut held = Vec::new();
        for number in 0..300 {
            let mut stream = std::net::TcpStream::connect(at(2))?;
            // Every third says nothing; a refusal is as good as an answer.
            match number % 3 {
                0 => {}
                1 => drop(stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")),
                _ => drop(stream.write_all(&[0xff; 4096])),
            }
            held.push(stream);
        }
        Ok(held)
    })?;
    let asked = Instant::now();
    lan.machine(2).get(&lan.machine(2).url(), ANSWER)?;
    ensure!(asked.elapsed() < STALL, "GET / took {:?}", asked.elapsed());
    let_the_cluster_work(&lan)?;
    for number in [2, 3, 4] {
        let views = cluster.views_of(number);
        ensure!(
            views.is_empty(),
            "node {number}: {views:?}\n{}",
            cluster.output()
        );
    }
    // And a fault is still noticed while they are held.
    cluster.host(4).kill()?;
    cluster.wait_until_all_list(&[2, 3], KILLED * SLACK)?;
    drop(held);
    Ok(())
}

/// Where the random numbers start: from `LAB_SEED`, or the clock; a failure
/// prints it.
fn seed() -> u64 {
    let given = std::env::var("LAB_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        now.as_nanos() as u64
    })
}

/// SplitMix64: enough to mangle datagrams with.
struct Random(u64);

impl Random {
    /// A number below `bound`; 0 if `bound` is 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound.max(1)
    }
}
