//! `cargo xtask test`: does the set-up, builds and runs all tests, and says at
//! the end how many passed and what was skipped.

use crate::command::{cargo, run as run_command};
use crate::workspace::{GUESTS, NATIVE};
use crate::{guests, makers, packages, setup, workspace};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

/// The arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to `cargo test`, e.g. a part of a test's name, or
    /// `--test cluster_lan`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// The results of the tests.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    skipped: Vec<String>,
}

/// Does the set-up, builds, and runs the tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    packages::for_tests()?;
    guests::for_tests()?;
    makers::all()?;
    let mut tally = Tally::default();
    let mut passed = true;
    // All test programs with a name belong to the native packages.
    let guests = (!args.names_a_program()).then_some(&GUESTS[..]);
    for packages in [Some(&NATIVE[..]), guests].into_iter().flatten() {
        // The build is a separate command, so that cargo shows its progress
        // bar.
        run_command(
            cargo(&["test", "--release", "--no-run"])
                .args(packages)
                .args(args.build()),
        )?;
        let mut test = cargo(&["test", "--release", "--no-fail-fast"]);
        passed &= tally.run(test.args(packages).args(&args.rest))?;
    }
    tally.print();
    if !passed {
        bail!("not all tests passed");
    }
    if workspace::is_ci() && !tally.skipped.is_empty() {
        bail!("in CI nothing may be skipped");
    }
    Ok(())
}

impl Args {
    /// The arguments for `cargo test --no-run`: all before a `--`.
    fn build(&self) -> impl Iterator<Item = &String> {
        self.rest.iter().take_while(|arg| *arg != "--")
    }

    /// Whether the arguments name a test program, so that only that one runs.
    fn names_a_program(&self) -> bool {
        self.build()
            .any(|arg| arg == "--test" || arg.starts_with("--test="))
    }
}

/// Copies line by line, and gives each line to `count`.
fn pass_on(from: impl Read, mut to: impl Write, mut count: impl FnMut(&str)) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        count(&line);
        // If the terminal was closed, the tests go on.
        let _ = writeln!(to, "{line}");
    }
}

impl Tally {
    /// Runs the tests, shows what they print, and counts. Returns false if one
    /// failed.
    fn run(&mut self, test: &mut Command) -> Result<bool> {
        test.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = test.spawn().context("cannot start cargo test")?;
        let stderr = child.stderr.take().context("cargo test has no stderr")?;
        let stdout = child.stdout.take().context("cargo test has no stdout")?;
        let skipped = thread::spawn(move || {
            let mut tally = Self::default();
            pass_on(stderr, std::io::stderr(), |line| tally.count_skipped(line));
            tally.skipped
        });
        pass_on(stdout, std::io::stdout(), |line| self.count(line));
        self.skipped.extend(skipped.join().unwrap_or_default());
        Ok(child
            .wait()
            .context("cannot wait for cargo test")?
            .success())
    }

    /// Counts a line such as
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; …`.
    fn count(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Counts skipped tests. A test that cannot run here says
    /// `skipped: NAME: WHY` and passes.
    fn count_skipped(&mut self, line: &str) {
        if let Some(why) = line.strip_prefix("skipped: ") {
            self.skipped.push(why.to_owned());
        }
    }

    fn print(&self) {
        let Self {
            passed,
            failed,
            ignored,
            skipped,
        } = self;
        let skips = skipped.len() as u64;
        println!();
        for why in skipped {
            println!("skipped: {why}");
        }
        println!(
            "all tests together: {} passed, {failed} failed, {skips} skipped, {ignored} ignored",
            passed.saturating_sub(skips)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn the_results_of_several_test_programs_are_added_up() {
        let mut tally = Tally::default();
        tally.count("running 3 tests");
        tally.count("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.count("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (7, 1, 1));
    }

    #[test]
    fn a_skipped_test_is_told_apart_from_a_passed_one() {
        let mut tally = Tally::default();
        tally.count_skipped("skipped: the_page_in_a_browser: chromium is missing");
        tally.count_skipped("warning: skipped: not at the start of the line");
        assert_eq!(
            tally.skipped,
            ["the_page_in_a_browser: chromium is missing"]
        );
    }
}
