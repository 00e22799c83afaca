//! How many instructions a request takes: nearly the same on every run, unlike its time. Callgrind
//! counts them while this program runs itself once more, and serves requests from memory.
//!
//! Under callgrind everything takes fifty times as long. So that a request is no long call for
//! that reason, the clock of the counted program goes a thousand times slower.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runtime::exchange::{BodyLimits, Exchanges, ExchangesConfig};
use runtime::generation::Generation;
use runtime::http::RequestHead;
use runtime::views::Views;
use support::components::{self, Limits};
use support::node;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;

/// The most instructions that a request to `/hello` of these components may take, with a fresh
/// instance: a tenth more than it took when the number was written. The instructions of the
/// kernel are not among them.
const MOST: [(&str, u64); 2] = [
    ("fixture-bench-raxx", 102_000),
    ("fixture-bench-wasi", 183_000),
];

/// If this is set, the program is the one that is counted.
const COUNTED: &str = "HOST_TEST_COUNTED";
/// The first requests pay for what all share.
const WARM: u32 = 50;
const REQUESTS: u32 = 200;

#[test]
fn a_request_takes_no_more_instructions_than_it_may() {
    if std::env::var_os(COUNTED).is_some() {
        return serve_all();
    }
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        return lab::skip::skip(&format!(
            "cannot start valgrind: {error} (Debian: apt-get install valgrind)"
        ));
    }
    let Some(slow_clock) = slow_clock() else {
        return lab::skip::skip("libfaketime is missing (Debian: apt-get install libfaketime)");
    };
    for ((package, most), took) in MOST.into_iter().zip(count(&slow_clock)) {
        let took = took / u64::from(REQUESTS);
        println!("{package}: {took} instructions per request, {most} allowed");
        assert!(
            took <= most,
            "a request to {package} takes {took} instructions, and {most} are allowed. If the \
             change is worth that, write {} into MOST of {}. docs/benchmarks.md says how to see \
             where they go. (Only code that is optimised as the workspace's profile says is \
             counted fairly.)",
            took + took / 10,
            file!()
        );
    }
}

/// A library that can slow the clock of a process with threads.
fn slow_clock() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .filter_map(|folder| Some(folder.ok()?.path()))
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

/// How many instructions the requests to each component took, by callgrind.
fn count(slow_clock: &Path) -> Vec<u64> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let this = std::env::current_exe().expect("a program");
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*counts_begin_anew*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg("a_request_takes_no_more_instructions_than_it_may")
        .env(COUNTED, "1")
        .env("LD_PRELOAD", slow_clock)
        .env("FAKETIME", "+0 x0.001")
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&counted.stderr);
    assert!(counted.status.success(), "{said}");
    // What is between two marks is one file; every other one is requests.
    let requests = (0..MOST.len()).map(|at| total(&out.with_extension(format!("{}", 2 * at + 2))));
    requests.collect()
}

/// What callgrind says in the last line of a file.
fn total(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).expect("callgrind has written it");
    let summary = text.lines().find_map(|line| line.strip_prefix("summary:"));
    let number = summary.and_then(|number| number.trim().parse().ok());
    number.expect("a summary")
}

/// Callgrind writes down what it has counted when this is called.
#[inline(never)]
fn counts_begin_anew(mark: usize) {
    std::hint::black_box(mark);
}

fn serve_all() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for (at, (package, _)) in MOST.into_iter().enumerate() {
            let path = components::built(package);
            let generation = components::generation(Limits::Few, &path).await;
            let mut client = connect(generation);
            ask(&mut client, WARM).await;
            counts_begin_anew(2 * at);
            ask(&mut client, REQUESTS).await;
            counts_begin_anew(2 * at + 1);
        }
    });
}

/// A connection in memory, on which this generation answers as on any other.
fn connect(generation: Arc<Generation>) -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    let (views, seen) = watch::channel(Arc::new(node::view(1, &node::NAMES[..2])));
    let (stop, stopping) = watch::channel(false);
    let slot = runtime::generation::Slot::new(std::time::Duration::ZERO);
    let exchanges = Exchanges::new(
        Views::new(seen, node::name(node::NAMES[0])),
        slot,
        stopping,
        ExchangesConfig {
            config: Bytes::new(),
            bodies: BodyLimits::default(),
        },
    );
    let service = service_fn(move |request: Request<Incoming>| {
        let (exchanges, generation) = (exchanges.clone(), generation.clone());
        async move {
            let (parts, body) = request.into_parts();
            let peer = ([127, 0, 0, 1], 1).into();
            let head = RequestHead::new(parts, peer);
            Ok::<_, std::convert::Infallible>(exchanges.serve(generation, head, body).await)
        }
    });
    tokio::spawn(async move {
        let _kept = (views, stop);
        let connection = hyper::server::conn::http1::Builder::new();
        let _ = connection
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    client
}

/// Sends so many requests, each after the answer to the one before.
async fn ask(client: &mut DuplexStream, requests: u32) {
    for _ in 0..requests {
        let request = b"GET /hello HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n";
        client.write_all(request).await.expect("it reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"Hello, world!") && !answer.ends_with(b"\r\n0\r\n\r\n") {
            let read = client.read_buf(&mut answer).await.expect("it writes");
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    }
}
