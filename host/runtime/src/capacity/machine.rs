//! How many instances this machine has room for, and how much memory they may use.

use std::path::{Path, PathBuf};

/// Mappings that an instance takes: two for its stack, which are there from the start, and up to
/// four for its memory and its tables while it lives.
const MAPPINGS_EACH: u64 = 6;
/// The least and the most places that are made, in all. More would only cost a longer start.
const FEWEST: u32 = 64;
const MOST: u32 = 8192;
/// How many requests may have an instance at a time, where there is room for so many.
const CALLS: u32 = 1000;
/// Places in which new code is tried out. A load makes one instance at a time; what it left
/// behind may still be ending.
const TRIES: u32 = 8;
/// How many instances may wait for their next call, where there is room for so many. Those that
/// work take no room from them, nor they from those: so they never cost a request its place.
const IDLE: u32 = 128;
/// What Linux allows if it is told nothing.
const USUAL_MAPPINGS: u64 = 65_530;

/// What this machine gives a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineLimits {
    /// How many mappings of memory the process may have: `vm.max_map_count`.
    pub mappings: u64,
    /// Bytes of memory that the process may use: what its cgroup allows, or what there is.
    pub memory: u64,
}

impl MachineLimits {
    /// Looks at the machine. What cannot be read counts as what Linux does if it is told nothing.
    pub fn look() -> MachineLimits {
        let mappings = number(Path::new("/proc/sys/vm/max_map_count"));
        let whole = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| total_memory(&text));
        let group = std::fs::read_to_string("/proc/self/cgroup")
            .ok()
            .and_then(|text| group_limit(&text, &|file| number(file)));
        let memory = [whole, group].into_iter().flatten().min();
        MachineLimits {
            mappings: mappings.unwrap_or(USUAL_MAPPINGS),
            memory: memory.unwrap_or(u64::MAX),
        }
    }

    /// The memory that a node may use here whose compiler may take so many bytes: three quarters
    /// of it all, and no more than the compiler leaves. A quarter is left to it in any case.
    pub fn budget_beside(&self, compiling: u64) -> u64 {
        let beside = self.memory.saturating_sub(compiling);
        (self.memory / 4 * 3).min(beside).max(self.memory / 4)
    }
}

/// How the machine is shared out. The numbers count instances of a usual component; one with
/// several memories counts several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// Requests: callbacks, and `wasi:http` requests until the response head.
    pub calls: u32,
    /// Streams: `wasi:http` requests after their response head, or that wait for their client.
    pub streams: u32,
    /// New code that is tried out.
    pub tries: u32,
    /// Live instances that wait for their next call.
    pub idle: u32,
    /// The bytes of memory that the process may use.
    pub budget: u64,
}

impl PlaceLimits {
    /// The room that this machine has. The budget is three quarters of its memory, unless another
    /// one is given.
    pub fn of(machine: MachineLimits, budget: Option<u64>) -> PlaceLimits {
        // A quarter of the mappings is left to code, threads and the allocator.
        let places = machine.mappings / 4 * 3 / MAPPINGS_EACH;
        let places = u32::try_from(places).unwrap_or(MOST);
        let budget = budget.unwrap_or(machine.budget_beside(0));
        PlaceLimits::with(places.clamp(FEWEST, MOST), budget)
    }

    /// Few places, and no budget: for one of several runtimes in a process.
    pub fn few() -> PlaceLimits {
        PlaceLimits::with(FEWEST * 4, u64::MAX)
    }

    /// So many places in all.
    fn with(places: u32, budget: u64) -> PlaceLimits {
        let tries = TRIES.min(places / 8);
        let calls = CALLS.min(places / 4);
        let idle = IDLE.min(places / 8);
        PlaceLimits {
            calls,
            streams: places - calls - tries - idle,
            tries,
            idle,
            budget,
        }
    }

    /// All places together.
    pub fn all(&self) -> u32 {
        self.calls + self.streams + self.tries + self.idle
    }

    /// A quarter of the places, for a machine with little address space. None if that would be
    /// too few.
    pub(crate) fn quarter(&self) -> Option<PlaceLimits> {
        let all = self.all() / 4;
        (all >= FEWEST).then(|| PlaceLimits::with(all, self.budget))
    }
}

/// The number that a file holds; none if it holds none, such as `max`.
fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = line?.trim().trim_end_matches(" kB").parse().ok()?;
    kib.checked_mul(1024)
}

/// The least limit of the groups in `/proc/self/cgroup`, and of those around them.
fn group_limit(groups: &str, number: &impl Fn(&Path) -> Option<u64>) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, files): (_, &[&str]) = match controllers {
            "" => ("/sys/fs/cgroup", &["memory.max", "memory.high"]),
            "memory" => ("/sys/fs/cgroup/memory", &["memory.limit_in_bytes"]),
            _ => return None,
        };
        let root = PathBuf::from(root);
        let group = root.join(path.trim_start_matches('/'));
        let groups = group
            .ancestors()
            .take_while(|group| group.starts_with(&root));
        let read = groups.flat_map(|group| files.iter().map(|file| group.join(file)));
        read.filter_map(|file| number(&file)).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_machine_as_it_comes_has_room_for_thousands_of_streams_beside_its_requests() {
        let machine = MachineLimits {
            mappings: USUAL_MAPPINGS,
            memory: 8 * GIB,
        };
        let room = PlaceLimits::of(machine, None);
        assert!(room.streams >= 6000 && room.calls == 1000, "{room:?}");
        assert_eq!(room.budget, 6 * GIB);
        let mappings = u64::from(room.all()) * MAPPINGS_EACH;
        assert!(mappings < machine.mappings * 4 / 5, "{mappings}");
        assert_eq!(PlaceLimits::of(machine, Some(GIB)).budget, GIB);
    }

    #[test]
    fn the_budget_is_no_more_than_the_compiler_leaves() {
        let (mappings, memory) = (USUAL_MAPPINGS, GIB);
        let machine = MachineLimits { mappings, memory };
        let beside = [0, GIB / 8 * 5, 4 * GIB].map(|compiling| machine.budget_beside(compiling));
        assert_eq!(beside, [GIB / 4 * 3, GIB / 8 * 3, GIB / 4]);
    }

    #[test]
    fn however_few_mappings_there_are_each_class_has_places() {
        for mappings in [0, 1000, 5000, 20_000] {
            let memory = u64::MAX;
            let mut room = Some(PlaceLimits::of(MachineLimits { mappings, memory }, None));
            while let Some(it) = room {
                assert!(
                    it.calls >= 16 && it.tries >= 8 && it.streams >= 32 && it.idle >= 8,
                    "{it:?}"
                );
                room = it.quarter();
            }
        }
    }

    #[test]
    fn the_tightest_group_counts_in_either_version() {
        let limit = |file: &Path| match file.to_str() {
            Some("/sys/fs/cgroup/a/memory.max") => Some(2 * GIB),
            Some("/sys/fs/cgroup/a/b/memory.max") => Some(3 * GIB),
            Some("/sys/fs/cgroup/memory/c/memory.limit_in_bytes") => Some(GIB),
            _ => None,
        };
        assert_eq!(group_limit("0::/a/b\n", &limit), Some(2 * GIB));
        let both = "4:memory:/c\n1:cpu:/c\n0::/a/b\n";
        assert_eq!(group_limit(both, &limit), Some(GIB));
        assert_eq!(group_limit("0::/\n", &limit), None);
        assert_eq!(total_memory("MemTotal:  8 kB\nMemFree: 1 kB\n"), Some(8192));
    }
}
