//! What a server uses of the machine: itself and all processes that it has started.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What `/proc/PID/stat` counts time in: `USER_HZ`, which is 100 on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// What is resident (RSS).
    pub(super) resident: u64,
    /// The same, but of pages that several processes have, each counts its part (PSS).
    pub(super) proportional: u64,
}

/// The processor time, user and system, that these processes have taken so far.
pub(super) fn processor_time(root: i32) -> Result<Duration> {
    let all = all_processes();
    let tree = tree(root, &all);
    ensure!(!tree.is_empty(), "process {root} has ended");
    let ticks: u32 = tree.iter().map(|pid| all[pid].ticks).sum();
    Ok(TICK * ticks)
}

/// The memory of these processes.
pub(super) fn memory(root: i32) -> Result<Memory> {
    let mut memory = Memory::default();
    for pid in tree(root, &all_processes()) {
        let file = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        memory.resident += field(&text, "Rss:");
        memory.proportional += field(&text, "Pss:");
    }
    Ok(memory)
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default() * 1024
}

struct Stat {
    parent: i32,
    ticks: u32,
}

fn all_processes() -> HashMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat_of(&stat)?))
        })
        .collect()
}

/// Parent, and `utime` and `stime`: fields 4, 14 and 15 (proc(5)). The second field is the
/// program's name in brackets, which may hold anything.
fn stat_of(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks(11)? + ticks(12)?,
    })
}

/// A process and all below it; none if it has ended.
fn tree(root: i32, all: &HashMap<i32, Stat>) -> Vec<i32> {
    let mut tree = Vec::new();
    let mut left = vec![root];
    while let Some(pid) = left.pop() {
        if all.contains_key(&pid) {
            tree.push(pid);
            let below = all.iter().filter(|(_, stat)| stat.parent == pid);
            left.extend(below.map(|(pid, _)| *pid));
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_and_times_are_read_past_any_name() {
        let stat = stat_of("7 (a ) b) S 42 2 3 4 5 6 7 8 9 10 120 34 0 0 20").expect("a line");
        assert_eq!((stat.parent, stat.ticks), (42, 154));
        assert!(stat_of("7 (a) S 1").is_none());
    }

    #[test]
    fn this_process_has_a_tree_and_one_that_is_not_there_has_none() {
        let this = i32::try_from(std::process::id()).expect("a small number");
        assert!(processor_time(this).is_ok());
        assert!(memory(this).expect("it runs").resident > 0);
        assert!(processor_time(i32::MAX).is_err());
    }
}
