//! Changes of code under load, and what is left of old code.

use std::time::{Duration, Instant};

use runtime::loader::Loader;
use tokio::task::JoinHandle;

use crate::support::client::{Client, Protocol, Reader};
use crate::support::components::{Limits, bytes, fresh, read_built, runtime};
use crate::support::node::{Node, Setup};
use crate::support::{soon, until};
use crate::{alone, memory_kib};

/// What those who ask are to do.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Steady,
    Swapping,
    /// All streams are told something, which takes its time whatever changes.
    Telling,
    Over,
}

/// Asks again and again on one connection. Returns how long each answer took,
/// in microseconds, in either phase; that one of them failed fails the test.
async fn ask(mut client: Client, phase: tokio::sync::watch::Receiver<Phase>) -> [Vec<u32>; 2] {
    let mut took = [Vec::new(), Vec::new()];
    loop {
        let now = *phase.borrow();
        if now == Phase::Over {
            return took;
        }
        let began = Instant::now();
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200);
        assert!(["v1", "v2"].contains(&answer.text()), "{}", answer.text());
        if now != Phase::Telling && *phase.borrow() == now {
            took[now as usize].push(began.elapsed().as_micros() as u32);
        }
        // A pause, so that the machine is busy and not flooded.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The 50th and the 99th of a hundred.
fn spread<T: Copy + Ord>(mut values: Vec<T>) -> [T; 2] {
    values.sort_unstable();
    [50, 99].map(|percent| values[values.len() * percent / 100])
}

/// A thousand streams on ten connections, which must live as long.
async fn open_a_thousand(node: &Node) -> (Vec<Reader>, Vec<Client>) {
    let mut streams = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(Protocol::H2, node.address).await;
        for _ in 0..100 {
            streams.push(client.open("/count/tea").await);
        }
        connections.push(client);
    }
    (streams, connections)
}

/// How long the requests of all tasks took, before and during the swaps.
async fn answered(asking: Vec<JoinHandle<[Vec<u32>; 2]>>) -> [Vec<u32>; 2] {
    let [mut steady, mut swapping] = [Vec::new(), Vec::new()];
    for task in asking {
        let [before, during] = task.await.expect("every request was answered");
        steady.extend(before);
        swapping.extend(during);
    }
    [steady, swapping]
}

async fn ask_on_four_connections(
    node: &Node,
    phase: tokio::sync::watch::Receiver<Phase>,
) -> Vec<JoinHandle<[Vec<u32>; 2]>> {
    let mut asking = Vec::new();
    for protocol in [Protocol::H1, Protocol::H1, Protocol::H1, Protocol::H2] {
        let client = Client::connect(protocol, node.address).await;
        asking.push(tokio::spawn(ask(client, phase.clone())));
    }
    asking
}

fn print_times(
    steady: Vec<u32>,
    swapping: Vec<u32>,
    stores: Vec<Duration>,
    migrating: Vec<Duration>,
) {
    println!(
        "requests, p50 and p99: {:?} us before, {:?} us during the swaps",
        spread(steady),
        spread(swapping),
    );
    println!(
        "the store of a swap, p50 and p99: {:?}; 1000 streams migrated: {:?}",
        spread(stores),
        spread(migrating),
    );
}

#[test]
fn a_hundred_changes_of_code_under_load_lose_no_request_and_no_stream() {
    // The first changes leave the allocator what it will use again: its threads
    // take turns at freeing what others allocated, which touches new pages for
    // some fifty changes although what is in use does not grow.
    const SETTLE: usize = 50;
    const SWAPS: usize = 100;
    let packages = ["fixture-counter-v1", "fixture-counter-v2"];
    alone(async move {
        let first = fresh(Limits::Usual, packages[0]).await;
        let node = Node::with_generation(first, Setup::default()).await;
        let loader = Loader::new(runtime(Limits::Usual), node.slot.clone());
        let apps = packages.map(read_built);

        let (mut streams, _connections) = open_a_thousand(&node).await;
        assert_eq!(node.exchanges.live(), 1000);
        let (phase, seen) = tokio::sync::watch::channel(Phase::Steady);
        let asking = ask_on_four_connections(&node, seen).await;
        tokio::time::sleep(Duration::from_secs(2)).await;

        phase.send_replace(Phase::Swapping);
        let began = Instant::now();
        let mut ticker = Client::connect(Protocol::H1, node.address).await;
        let mut ticks = 0;
        let mut memory = Vec::new();
        let mut stores = Vec::new();
        let mut migrating = Vec::new();
        for swap in 1..=SETTLE + SWAPS {
            let app = bytes(apps[swap % 2].clone());
            let ready = loader.prepare(app).await.expect("it is an app");
            let swapped = ready.activate();
            let draining = swapped.draining.expect("there was one before");
            soon("the old code to be freed", draining.signals.freed()).await;
            stores.push(swapped.swapped);
            migrating.push(draining.since.elapsed());
            assert_eq!(draining.stats.left().migrated, 1000, "swap {swap}");
            assert_eq!(draining.stats.left().refused + draining.stats.left().cut, 0);
            if swap % 5 == 0 {
                phase.send_replace(Phase::Telling);
                assert_eq!(ticker.get("/tick").await.status, 204);
                ticks += 1;
                let event = match swap % 2 {
                    0 => format!("data: v1 {ticks}\n\n"),
                    _ => format!("data: v2 unnamed {ticks}\n\n"),
                };
                for reader in &mut streams {
                    assert_eq!(reader.to("\n\n").await, event);
                }
                phase.send_replace(Phase::Swapping);
            }
            if [5, 25, 50, 75, SWAPS].map(|it| SETTLE + it).contains(&swap) {
                memory.push(memory_kib("VmRSS"));
            }
        }
        let lasted = began.elapsed();
        assert_eq!(node.exchanges.live(), 1000);
        phase.send_replace(Phase::Over);
        let [steady, swapping] = answered(asking).await;
        println!(
            "{} swaps in {lasted:?}, 1000 streams each; {} requests, none failed",
            SETTLE + SWAPS,
            steady.len() + swapping.len()
        );
        print_times(steady, swapping, stores, migrating);
        println!("memory after {SETTLE} swaps and 5, 25, 50, 75, 100: {memory:?} KiB");
        assert!(memory[4] * 10 <= memory[0] * 11, "{memory:?} KiB");
    });
}

/// How much memory of this process holds code, in KiB.
fn code_kib() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    let code = maps.lines().filter(|line| line.contains("r-xp"));
    let size = |line: &str| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let [from, to] = [from, to].map(|it| usize::from_str_radix(it, 16));
        Some(to.ok()? - from.ok()?)
    };
    code.filter_map(size).sum::<usize>() >> 10
}

#[test]
fn the_memory_of_old_code_is_given_back_when_its_last_exchange_has_left_it() {
    alone(async {
        let first = fresh(Limits::Usual, "fixture-counter-v1").await;
        let node = Node::with_generation(first, Setup::default()).await;
        let loader = Loader::new(runtime(Limits::Usual), node.slot.clone());
        let small = || bytes(read_built("fixture-counter-v1"));
        let before = code_kib();
        let large = read_built("fixture-counter-v2");
        let large = bytes(lab::components::with_code(&large, 5 << 20, 1));
        let ready = loader.prepare(large).await.expect("it is an app");
        drop(ready.activate());
        let mut client = Client::connect(Protocol::H2, node.address).await;
        let _stream = client.open("/count/tea").await;
        let loaded = code_kib();
        assert!(loaded > before + 2048, "{before}, then {loaded} KiB");
        let ready = loader.prepare(small()).await.expect("it is an app");
        let draining = ready.activate().draining.expect("the large one");
        soon("the old code to be freed", draining.signals.freed()).await;
        assert_eq!(draining.stats.left().migrated, 1);
        until("its memory to be given back", || code_kib() < before + 1024).await;
        println!("code: {before}, {loaded}, then {} KiB", code_kib());
    });
}
