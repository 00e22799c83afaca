//! What this machine has.

use std::path::Path;

/// What is taken for the machine's memory if the system does not say: 1 GiB.
const UNKNOWN: u64 = 1 << 30;

/// How much memory this process may use, in bytes: what the machine has, or less if a
/// control group limits it.
pub fn memory() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo");
    let machine = machine.ok().and_then(|text| total(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = of_groups(&groups, Path::new("/sys/fs/cgroup"));
    match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (one, other) => one.or(other).unwrap_or(UNKNOWN),
    }
}

/// The line `MemTotal:  16318456 kB`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|it| it.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The least limit of the control groups that this process is in, of either version. The
/// argument has lines such as `0::/system.slice/host.service` and `4:memory:/a/b`.
fn of_groups(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (top, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            "memory" => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let within = top.join(path.trim_start_matches('/'));
        let folders = within.ancestors().take_while(|it| it.starts_with(&top));
        let limit = |folder: &Path| -> Option<u64> {
            let text = std::fs::read_to_string(folder.join(file)).ok()?;
            // `max` means no limit.
            text.trim().parse().ok()
        };
        folders.filter_map(limit).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_that_of_the_machine_or_of_the_tightest_group_around() {
        assert_eq!(
            total("MemTotal:       16318456 kB\nMemFree: 1 kB\n"),
            Some(16_318_456 * 1024)
        );
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("system.slice/host.service");
        std::fs::create_dir_all(&inner).unwrap();
        let groups = "1:name=systemd:/x\n0::/system.slice/host.service\n";
        assert_eq!(of_groups(groups, root.path()), None);
        std::fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(of_groups(groups, root.path()), None);
        std::fs::write(root.path().join("system.slice/memory.max"), "1073741824\n").unwrap();
        assert_eq!(of_groups(groups, root.path()), Some(1 << 30));
        std::fs::write(inner.join("memory.max"), "4096\n").unwrap();
        assert_eq!(of_groups(groups, root.path()), Some(4096));
        assert!(memory() > 0);
    }

    #[test]
    fn the_older_kind_of_group_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("memory/a");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("memory.limit_in_bytes"), "2048").unwrap();
        assert_eq!(of_groups("4:memory:/a\n", root.path()), Some(2048));
    }
}
