//! Points at which a test lets this process die, as in a power cut. So tests show that a node
//! killed at any step comes back with the whole component before it or the whole one after it.
//!
//! With the feature `fault-points`, which only tests enable, the environment variable
//! `HOST_FAULT` names a point, as `NAME` or `NAME:N`. The process kills itself by SIGKILL when
//! it gets there for the Nth time. Without the feature a point does nothing.

/// All points, in the order in which a changed file reaches them.
pub const POINTS: [&str; 23] = [
    "intake: app read",
    "validate: compiled",
    "loader: room made",
    "validate: tried out",
    "loader: smoke passed",
    "loader: ready",
    "loader: activated",
    "store: component begun",
    "store: component synced",
    "store: component renamed",
    "store: component kept",
    "store: download begun",
    "store: chunk written",
    "store: download synced",
    "store: download renamed",
    "store: download kept",
    "store: component collected",
    "store: component put aside",
    "data: file begun",
    "data: file synced",
    "data: file renamed",
    "releases: stored",
    "key-value: before the commit",
];

/// The process may die here; `name` is one of [`POINTS`].
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_name: &'static str) {}

/// The process may die here; `name` is one of [`POINTS`].
#[cfg(feature = "fault-points")]
pub fn point(name: &'static str) {
    armed::point(name);
}

#[cfg(feature = "fault-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    /// The chosen point, and how many more times it is passed first.
    struct Fault {
        name: String,
        left: AtomicU64,
    }

    static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
        let chosen = std::env::var("HOST_FAULT").ok()?;
        let (name, times) = parse(&chosen);
        if !super::POINTS.contains(&name) {
            tracing::error!("HOST_FAULT: there is no point {name}");
        }
        Some(Fault {
            name: name.to_owned(),
            left: AtomicU64::new(times),
        })
    });

    /// A name may have a colon itself, but no number after it.
    fn parse(chosen: &str) -> (&str, u64) {
        let counted = chosen.rsplit_once(':');
        let counted = counted.and_then(|(name, times)| Some((name, times.parse().ok()?)));
        counted.unwrap_or((chosen, 1))
    }

    pub(super) fn point(name: &'static str) {
        assert!(
            super::POINTS.contains(&name),
            "{name} is not among the points"
        );
        let Some(fault) = &*FAULT else {
            return;
        };
        if fault.name != name || fault.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        // This thread must do nothing more.
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    #[cfg(test)]
    mod tests {
        use super::parse;

        #[test]
        fn a_point_is_chosen_by_its_name_and_how_often_it_is_passed() {
            assert_eq!(
                parse("store: component synced"),
                ("store: component synced", 1)
            );
            assert_eq!(
                parse("store: component synced:3"),
                ("store: component synced", 3)
            );
        }
    }
}
