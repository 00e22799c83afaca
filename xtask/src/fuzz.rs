//! `cargo xtask fuzz`: builds the fuzz targets in `fuzz/` with this Rust, and
//! runs each for a bounded time. libFuzzer looks for inputs that make a decoder
//! panic, hang or grow. It starts from the committed corpus.

use crate::command::{cargo, output, program, run as run_command, say};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// The arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One of fuzz/fuzz_targets; all of them if none is given.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u32,
    /// Try this one input instead.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<String>,
}

/// The compiler flags that libFuzzer needs. `cargo fuzz --sanitizer none` uses
/// the same ones, and all are stable. There is no unsafe code that a sanitizer
/// could watch.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// How much time one input may take, and how much memory all of them together.
const LIMITS: [&str; 2] = ["-timeout=5", "-rss_limit_mb=512"];

/// The longest input. It is a little longer than the largest record, datagram
/// or state that takes another way through the code.
const LONGEST: &str = "-max_len=8192";

/// Builds the targets, then runs one after the other.
pub(crate) fn run(args: &Args) -> Result<()> {
    let targets = match &args.target {
        Some(target) => vec![target.clone()],
        None => targets()?,
    };
    let triple = triple()?;
    let out = workspace::target().join("fuzz");
    let mut build = cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    build
        .args(["--locked", "--target", &triple, "--bins", "--target-dir"])
        .arg(&out);
    run_command(build.env("RUSTFLAGS", COVERAGE))?;
    let programs = out.join(triple).join("release");
    for target in &targets {
        run_one(args, target, &programs)?;
    }
    Ok(())
}

fn run_one(args: &Args, target: &str, programs: &Path) -> Result<()> {
    let fuzz = workspace::root().join("fuzz");
    let artifacts = fuzz.join("artifacts").join(target);
    let found = workspace::target().join("fuzz/found").join(target);
    for folder in [&artifacts, &found] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut fuzzer = Command::new(programs.join(target));
    fuzzer.current_dir(workspace::root()).args(LIMITS);
    if let Some(input) = &args.input {
        return run_command(fuzzer.arg(input));
    }
    fuzzer
        .args([LONGEST, "-print_final_stats=1"])
        .arg(format!("-max_total_time={}", args.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // New inputs are kept out of the repository; the corpus is only read.
        .arg(&found)
        .arg(fuzz.join("corpus").join(target));
    // libFuzzer writes much text, which matters only if it has found something.
    let log = workspace::target().join(format!("fuzz/{target}.log"));
    let cannot = || format!("cannot write {}", log.display());
    fuzzer.stderr(std::fs::File::create(&log).with_context(cannot)?);
    let outcome = run_command(&mut fuzzer);
    let said = std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let said = String::from_utf8_lossy(&said);
    let Err(error) = outcome else {
        let tried = said.lines().find_map(|line| {
            let count = line.strip_prefix("stat::number_of_executed_units:")?;
            count.trim().parse::<u64>().ok()
        });
        let tried = tried.filter(|tried| *tried > 0);
        let tried = tried.context("it does not say that it tried any input")?;
        println!(
            "fuzz {target}: {tried} inputs in {} s, all passed",
            args.seconds
        );
        return Ok(());
    };
    let lines: Vec<&str> = said.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
        eprintln!("{line}");
    }
    let inputs = said.lines().filter_map(|line| {
        let (_, input) = line.split_once("Test unit written to ")?;
        Some(input)
    });
    for input in inputs {
        say(&format!("the input is {input}; to repeat it:"));
        say(&format!("    cargo xtask fuzz {target} --input {input}"));
    }
    bail!("{error}; all that it said is in {}", log.display());
}

/// How many of the last lines are shown if a target has found something.
const LAST_LINES: usize = 60;

/// The names of the targets.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let cannot = || format!("cannot list {}", folder.display());
    let mut names = Vec::new();
    for entry in folder.read_dir().with_context(cannot)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        names.extend(stem.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The target triple of this Rust. If it is given to cargo, build scripts and
/// macros are compiled without the flags that the fuzzers need.
fn triple() -> Result<String> {
    let said = output(program("rustc", &["-vV"]))?;
    let line = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc does not say its host")?.to_owned())
}
