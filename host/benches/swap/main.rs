//! What a change of code takes, and what it costs those who are served
//! meanwhile: the program behind `cargo xtask bench swap`.
//!
//! - [`file`]: a file is written, and its code answers
//! - [`node`]: the same on a whole node
//! - [`crowd`]: requests, open streams and memory while code changes
//! - [`component`]: components to change to
//!
//! All but [`node`] run the request path of a node in this process, as the tests
//! do, with clients on a thread of their own. Figures are of this machine and this run.

#[path = "../../tests/support/mod.rs"]
mod support;

mod component;
mod crowd;
mod file;
mod node;
mod spread;

use std::collections::HashMap;

/// What can be said on the command line.
struct Args {
    rounds: usize,
    swaps: usize,
    streams: usize,
    only: Option<String>,
}

impl Args {
    fn of_process() -> Result<Args, String> {
        let mut options: HashMap<String, usize> =
            [("rounds", 20), ("swaps", 100), ("streams", 1000)]
                .map(|(name, value)| (name.to_owned(), value))
                .into();
        let mut only = None;
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                // What cargo says to any benchmark.
                Some("bench") => {}
                Some(name) => {
                    let value = words.next().and_then(|value| value.parse().ok());
                    match (options.get_mut(name), value) {
                        (Some(option), Some(value)) if value > 0 => *option = value,
                        _ => {
                            return Err(format!(
                                "--{name}: options are --rounds N, --swaps N, --streams N"
                            ));
                        }
                    }
                }
                None => only = Some(word),
            }
        }
        Ok(Args {
            rounds: options["rounds"],
            swaps: options["swaps"],
            streams: options["streams"],
            only,
        })
    }
}

fn main() {
    let args = match Args::of_process() {
        Ok(args) => args,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(2);
        }
    };
    let wanted = |row: &str| args.only.as_ref().is_none_or(|only| row.contains(only));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{workers} processors; p50, p99 and the most of each");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("threads");
    if wanted("file") {
        runtime.block_on(file::measure(
            "the example guest",
            component::guest(),
            args.rounds,
        ));
        let large = component::large(5 << 20);
        runtime.block_on(file::measure(
            "a component of 5 MB",
            large,
            (args.rounds / 4).max(1),
        ));
    }
    if wanted("node")
        && let Err(error) = node::measure(args.rounds)
    {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
    if wanted("crowd") {
        runtime.block_on(crowd::measure(args.streams, args.swaps));
    }
    // What is left open needs no end.
    runtime.shutdown_background();
}
