//! Tests of the request path that need the machine for themselves: guests that
//! loop on every core, memory, a thousand streams.
//!
//! They run one after another, each on threads as a node has them.

#[path = "support/mod.rs"]
mod support;

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use runtime::loader::Loader;
use support::client::{Client, Protocol, Reader, get};
use support::components::{Limits, bytes, fresh, read_built, runtime};
use support::node::{NAMES, Node, Setup, view};
use support::{soon, until};

/// Memory that may come and go whatever a test does, in KiB.
const SLACK_KIB: usize = 24 << 10;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs a test on as many threads as a node has, and alone.
fn alone(test: impl Future<Output = ()>) {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads");
    runtime.block_on(async {
        let _machine = MACHINE.lock().await;
        test.await;
    });
}

/// A line of `/proc/self/status`, in KiB.
fn memory_kib(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let value = status
        .lines()
        .find_map(|one| one.strip_prefix(line))
        .expect("the line is there");
    let value = value.trim_start_matches(':').trim().trim_end_matches(" kB");
    value.parse().expect("a number")
}

/// Starts so many requests that do not end, and waits until all of them run.
async fn occupy(
    node: &Node,
    path: &'static str,
    requests: usize,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut running = Vec::new();
    for _ in 0..requests {
        let mut client = Client::connect(Protocol::H1, node.address).await;
        running.push(tokio::spawn(async move {
            // They end with their connection.
            let _ = client.send(get(path)).await;
        }));
    }
    until("all of them to run", || node.exchanges.live() >= requests).await;
    running
}

/// Asks for a path again and again; returns the times it took, sorted.
async fn times(node: &Node, path: &str, requests: usize) -> Vec<Duration> {
    let mut client = Client::connect(Protocol::H1, node.address).await;
    let mut times = Vec::new();
    for _ in 0..requests {
        let began = Instant::now();
        let answer = client.get(path).await;
        times.push(began.elapsed());
        assert!(answer.status.is_success(), "{}", answer.status);
    }
    times.sort_unstable();
    times
}

/// Asks while guests loop, twice as many as there are cores. What is promised
/// is 50 ms; a test on a shared machine demands a second.
async fn answers_while_guests_loop(fixture: &str, path: &str) {
    let node = Node::start(fixture).await;
    let calm = times(&node, path, 100).await;
    let spinning = occupy(&node, "/spin", 2 * cores()).await;
    let busy = times(&node, path, 100).await;
    assert!(
        spinning.iter().all(|spinner| !spinner.is_finished()),
        "the guests looped all the while"
    );
    println!(
        "GET {path} of {fixture}: calm median {:?}, most {:?}; with {} looping guests on {} cores \
         median {:?}, 90 % {:?}, most {:?}",
        calm[50],
        calm[99],
        spinning.len(),
        cores(),
        busy[50],
        busy[90],
        busy[99],
    );
    assert!(busy[99] <= Duration::from_secs(1), "{busy:?}");
    for spinner in spinning {
        spinner.abort();
    }
    node.idle().await;
}

#[test]
fn requests_are_answered_with_a_looping_guest_on_every_core() {
    alone(answers_while_guests_loop("fixture-misbehave", "/ok"));
}

#[test]
fn wasi_http_requests_are_answered_with_a_looping_guest_on_every_core() {
    alone(answers_while_guests_loop("fixture-plain", "/"));
}

#[test]
fn a_stream_is_told_with_a_looping_guest_on_every_core() {
    alone(async {
        let node = Node::start("fixture-misbehave").await;
        let mut client = Client::connect(Protocol::H1, node.address).await;
        let mut reader = client.open("/topic/busy").await;
        reader.to(": subscribed\n\n").await;
        let spinning = occupy(&node, "/spin", 2 * cores()).await;
        let began = Instant::now();
        times(&node, "/publish/busy", 1).await;
        reader.to("event: busy\n").await;
        assert!(
            began.elapsed() <= Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        assert!(spinning.iter().all(|spinner| !spinner.is_finished()));
    });
}

#[test]
fn a_download_that_its_client_does_not_read_waits_in_the_guest_and_not_in_memory() {
    alone(async {
        let node = Node::start("fixture-misbehave").await;
        // One to its end, so that all that is ever needed is there.
        Client::connect(Protocol::H1, node.address)
            .await
            .get("/download/4")
            .await;
        let before = memory_kib("VmRSS");
        let mut held = Vec::new();
        for _ in 0..32 {
            let mut client = Client::connect(Protocol::H1, node.address).await;
            let reader = client.open("/download/64").await;
            held.push((client, reader));
        }
        // Others are served meanwhile; each answer is a chance to have queued more.
        times(&node, "/ok", 200).await;
        let queued = memory_kib("VmRSS").saturating_sub(before);
        // In each queue at most what one callback adds to 256 KiB, and what
        // hyper holds of it.
        let most = 32 * 2 * 512 + SLACK_KIB;
        println!("32 downloads of 64 MiB that wait: {queued} KiB");
        assert!(queued <= most, "{queued} KiB, at most {most}");
        assert_eq!(node.exchanges.live(), 32);
        drop(held);
        node.idle().await;
    });
}

#[test]
fn a_download_is_never_in_memory_as_a_whole() {
    alone(async {
        let node = Node::start("fixture-misbehave").await;
        Client::connect(Protocol::H1, node.address)
            .await
            .get("/download/4")
            .await;
        let before = memory_kib("VmRSS");
        let mut client = Client::connect(Protocol::H1, node.address).await;
        let mut reader = client.open("/download/256").await;
        let (mut bytes, mut most) = (0, 0);
        while let Some(piece) = reader.piece().await {
            bytes += piece.expect("it is whole").len();
            most = most.max(memory_kib("VmRSS").saturating_sub(before));
        }
        assert_eq!(bytes, 256 << 20);
        println!("a download of 256 MiB: {most} KiB more than before");
        assert!(most <= SLACK_KIB, "{most} KiB");
    });
}

#[test]
fn a_thousand_streams_are_told_of_a_change_and_leave_nothing() {
    alone(async {
        let node = Node::start("guest").await;
        let round = async |version: u64| {
            node.see(view(version, &NAMES[..2]));
            let mut streams = Vec::new();
            for _ in 0..1000 {
                let mut client = Client::connect(Protocol::H1, node.address).await;
                let mut reader = client.open("/updates").await;
                reader.to("event: nodes").await;
                streams.push((client, reader));
            }
            assert_eq!(node.exchanges.live(), 1000);
            let began = Instant::now();
            node.see(view(version + 1, &NAMES));
            for (_, reader) in &mut streams {
                reader.to(NAMES[2]).await;
            }
            println!("1000 streams are told in {:?}", began.elapsed());
            drop(streams);
            node.idle().await;
        };
        // The first rounds leave what is kept to be used again.
        for version in [1, 3, 5] {
            round(version).await;
        }
        let before = memory_kib("VmRSS");
        for version in [7, 9, 11] {
            round(version).await;
        }
        let grown = memory_kib("VmRSS").saturating_sub(before);
        println!("3000 streams opened and closed: {grown} KiB more than before");
        // A stream alone takes more than four of them.
        assert!(grown <= 3000 * 4, "{grown} KiB");
        node.stop();
        node.stopped().await;
    });
}

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

#[test]
fn three_thousand_streams_of_a_wasi_http_app_leave_requests_as_quick_as_before() {
    alone(async {
        let setup = Setup {
            limits: Limits::Roomy,
            ..Setup::default()
        };
        let node = Node::with("fixture-plain", setup).await;
        let before = times(&node, "/", 200).await;
        let mut held = Vec::new();
        for _ in 0..15 {
            let client = Client::connect(Protocol::H2, node.address).await;
            let Client::H2(sender) = &client else {
                unreachable!("it was asked for")
            };
            for _ in 0..200 {
                let mut client = Client::H2(sender.clone());
                let mut reader = client.open("/hold").await;
                reader.to("holding\n").await;
                held.push(reader);
            }
        }
        let serving = node.slot.current().expect("an app");
        let now = serving.runtime.places().now();
        assert_eq!((now.streams, now.turned_away.streams), (3000, 0));
        let during = times(&node, "/", 200).await;
        let middle = |times: &[Duration]| times[times.len() / 2];
        println!(
            "median {:?}, then {:?}; {} MiB",
            middle(&before),
            middle(&during),
            now.memory >> 20
        );
        let bound = middle(&before) * 10 + Duration::from_millis(10);
        assert!(
            middle(&during) < bound,
            "{:?} {:?}",
            middle(&before),
            middle(&during)
        );
        drop(held);
        node.idle().await;
    });
}
