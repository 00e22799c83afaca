//! The servers run on one processor and the load on another, so that neither takes time from the
//! other.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Which processor servers run on, and which the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processors {
    pub(super) server: usize,
    pub(super) load: usize,
}

impl Processors {
    /// Chooses two that this process may use, and moves this process to that of the load. What
    /// it starts inherits that.
    pub(super) fn take() -> Result<Processors> {
        let status = fs::read_to_string("/proc/self/status").context("cannot read /proc")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let may = list.map(|list| numbers(list.trim())).unwrap_or_default();
        let server = *may.first().context("there is no processor to use")?;
        let load = may.get(1).copied().unwrap_or(server);
        let moved = Command::new("taskset")
            .args(["--all-tasks", "--cpu-list", "--pid", &load.to_string()])
            .arg(std::process::id().to_string())
            .stdout(Stdio::null())
            .status()
            .context("cannot start `taskset` (Debian: apt-get install util-linux)")?;
        ensure!(
            moved.success(),
            "taskset could not move this process to processor {load}"
        );
        Ok(Processors { server, load })
    }

    /// Whether there are two of them.
    pub(super) fn are_apart(self) -> bool {
        self.server != self.load
    }
}

/// The numbers of a list such as `0-2,5`.
fn numbers(list: &str) -> Vec<usize> {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

impl fmt::Display for Processors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Processors { server, load } = self;
        match self.are_apart() {
            true => write!(
                formatter,
                "servers on processor {server}, load on processor {load}"
            ),
            false => write!(
                formatter,
                "this machine has one processor only, which servers and load share: compare \
                 processor time per request, and nothing else"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn a_list_of_processors_has_numbers_and_ranges() {
        assert_eq!(numbers("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(numbers("3"), [3]);
        assert!(numbers("").is_empty());
    }
}
