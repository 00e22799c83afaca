//! Requests, open streams and memory while code changes again and again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use runtime::loader::Loader;
use tokio::sync::watch;

use super::component::another;
use super::file::runtime;
use super::spread::{Spread, short};
use crate::support::client::{Client, Protocol, Reader};
use crate::support::components::{bytes, read_built};
use crate::support::node::{Node, Setup};
use crate::support::soon;

/// How long requests are asked before anything changes.
const STEADY: Duration = Duration::from_secs(3);

/// What those who ask are to do.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Steady,
    Compiling,
    Cached,
    Fresh,
    /// All streams are told something: that costs what it costs, whatever
    /// changes, and is in no row.
    Told,
    Over,
}

const PHASES: [(Phase, &str); 4] = [
    (Phase::Steady, "requests, nothing changes"),
    (
        Phase::Compiling,
        "requests, an app is compiled all the time",
    ),
    (Phase::Cached, "requests, swaps to code compiled before"),
    (Phase::Fresh, "requests, swaps to new code"),
];

/// Opens streams, asks, changes the code so often, and prints what it cost.
pub(crate) async fn measure(count: usize, swaps: usize) {
    let apps = ["fixture-counter-v1", "fixture-counter-v2"].map(read_built);
    let cache = tempfile::tempdir().expect("a folder");
    let runtime = runtime(cache.path());
    let first = runtime::generation::validate(&runtime, bytes(apps[0].clone())).await;
    let first = std::sync::Arc::new(first.expect("it is an app"));
    let node = Node::with_generation(first, Setup::default()).await;
    let loader = Loader::new(runtime, node.slot.clone());
    println!("\n{count} streams are open, four connections ask; the shape of the state changes");

    let mut streams = Streams::open(node.address, count).await;
    let (phase, seen) = watch::channel(Phase::Steady);
    let asking = ask_elsewhere(node.address, seen);
    tokio::time::sleep(STEADY).await;
    phase.send_replace(Phase::Compiling);
    compile_all_the_time(&loader, &apps[0]).await;

    let mut ticker = Client::connect(Protocol::H1, node.address).await;
    let mut rows: [Spread; 3] = Default::default();
    let mut memory = Vec::new();
    for (kind, is_new) in [(Phase::Fresh, true), (Phase::Cached, false)] {
        phase.send_replace(kind);
        for swap in 1..=swaps {
            let code = &apps[swap % 2];
            let app = if is_new {
                another(code, swap)
            } else {
                code.clone()
            };
            let swapped = loader
                .prepare(bytes(app))
                .await
                .expect("it is an app")
                .activate();
            let draining = swapped.draining.expect("there was one before");
            soon("the old code to be freed", draining.signals.freed()).await;
            let moved = draining.since.elapsed();
            assert_eq!(draining.stats.left().migrated, count as u64, "swap {swap}");
            rows[0].add(swapped.swapped);
            rows[1].add(moved);
            rows[2].add(moved / count as u32);
            if swap % 5 == 0 {
                phase.send_replace(Phase::Told);
                assert_eq!(ticker.get("/tick").await.status, 204);
                streams.ticked(["v1", "v2 unnamed"][swap % 2]).await;
                phase.send_replace(kind);
            }
            if is_new && (swap == 5 || swap % 25 == 0) {
                memory.push((swap, resident_kib()));
            }
        }
    }
    rows[0].print("the store");
    rows[1].print("all streams migrated");
    rows[2].print("  for each of them");

    phase.send_replace(Phase::Told);
    let back = go_back(&loader, &apps, swaps % 2, &mut ticker, &mut streams).await;
    back.print("rollback: decided -> all streams on the old code");
    println!("  streams lost: {}", count - node.exchanges.live());

    phase.send_replace(Phase::Over);
    let took = soon("those who ask", asking).await.expect("no panic");
    print_requests(&took, &memory);
}

async fn compile_all_the_time(loader: &Loader, code: &[u8]) {
    let began = Instant::now();
    for number in 0.. {
        if began.elapsed() > STEADY {
            break;
        }
        let app = another(code, usize::MAX - number);
        drop(loader.prepare(bytes(app)).await.expect("it is an app"));
    }
}

/// Goes back and on ten times from this app, and returns how long going back
/// to the first one took.
async fn go_back(
    loader: &Loader,
    apps: &[Vec<u8>; 2],
    mut was: usize,
    ticker: &mut Client,
    streams: &mut Streams,
) -> Spread {
    let mut back = Spread::default();
    for _ in 0..10 {
        was = 1 - was;
        let began = Instant::now();
        let app = bytes(apps[was].clone());
        let swapped = loader.prepare(app).await.expect("it is an app").activate();
        let draining = swapped.draining.expect("there was one before");
        soon("the old code to be freed", draining.signals.freed()).await;
        if was == 0 {
            back.add(began.elapsed());
        }
        assert_eq!(ticker.get("/tick").await.status, 204);
        streams.ticked(["v1", "v2 unnamed"][was]).await;
    }
    back
}

/// How long requests took in each phase, and how the memory grew.
fn print_requests(took: &[Spread], memory: &[(usize, u64)]) {
    let steady = took[0].percentile(99).as_secs_f64();
    for ((_, name), spread) in PHASES.iter().zip(took) {
        spread.print(name);
        let times = spread.percentile(99).as_secs_f64() / steady;
        println!("    p99: {times:.1} times that of the first row");
    }
    for (swap, kib) in memory {
        let of_five = *kib as f64 / memory[0].1 as f64 * 100.0 - 100.0;
        println!(
            "  memory after {swap:>3} swaps {:>32} MiB {of_five:+9.1} %",
            kib / 1024
        );
    }
    println!(
        "  the slowest request: {}",
        took.iter()
            .map(|took| short(took.percentile(100)))
            .collect::<Vec<_>>()
            .join(", ")
    );
}

/// Open streams of ticks, and how many they were told.
struct Streams {
    readers: Vec<Reader>,
    _connections: Vec<Client>,
    ticks: u64,
}

impl Streams {
    async fn open(address: SocketAddr, count: usize) -> Streams {
        let mut streams = Streams {
            readers: Vec::new(),
            _connections: Vec::new(),
            ticks: 0,
        };
        while streams.readers.len() < count {
            let mut client = Client::connect(Protocol::H2, address).await;
            for _ in 0..100.min(count - streams.readers.len()) {
                streams.readers.push(client.open("/count/tea").await);
            }
            streams._connections.push(client);
        }
        streams
    }

    /// Every one of them must be told of the next tick, with all that came before.
    async fn ticked(&mut self, by: &str) {
        self.ticks += 1;
        let event = format!("data: {by} {}\n\n", self.ticks);
        for reader in &mut self.readers {
            let told = reader.to("\n\n").await;
            assert!(told == event || self.ticks == 1, "{told} is not {event}");
        }
    }
}

/// Asks on four connections, on a thread of its own, and returns how long
/// answers took in each phase. Every one must be answered.
fn ask_elsewhere(
    address: SocketAddr,
    phase: watch::Receiver<Phase>,
) -> tokio::task::JoinHandle<[Spread; 4]> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a thread");
        runtime.block_on(async {
            let mut asking = Vec::new();
            for protocol in [Protocol::H1, Protocol::H1, Protocol::H1, Protocol::H2] {
                let client = Client::connect(protocol, address).await;
                asking.push(tokio::spawn(ask(client, phase.clone())));
            }
            let mut all: [Spread; 4] = Default::default();
            for task in asking {
                let rows = task.await.expect("every request is answered");
                for (spread, row) in all.iter_mut().zip(rows) {
                    for micros in row {
                        spread.add(Duration::from_micros(u64::from(micros)));
                    }
                }
            }
            all
        })
    })
}

async fn ask(mut client: Client, phase: watch::Receiver<Phase>) -> [Vec<u32>; 4] {
    let mut took: [Vec<u32>; 4] = Default::default();
    loop {
        let now = *phase.borrow();
        if now == Phase::Over {
            return took;
        }
        let began = Instant::now();
        let answer = client.get("/").await;
        let row = PHASES.iter().position(|(one, _)| *one == now);
        if let (Some(row), true) = (row, *phase.borrow() == now) {
            // Little memory, as that is measured too.
            took[row].push(began.elapsed().as_micros() as u32);
        }
        assert_eq!(answer.status, 200);
        // A pause, so that the machine is busy and not flooded.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line
        .expect("the line is there")
        .trim()
        .trim_end_matches(" kB");
    value.parse().expect("a number")
}
