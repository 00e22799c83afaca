//! The log of what apps do wrong: which release, which path, and what.

use std::time::Instant;

use parking_lot::Mutex;

use crate::generation::Generation;
use crate::throttle::Throttle;

/// Logs failures of apps: at most ten lines a second, so that an app that fails at
/// every request does not fill a disk.
#[derive(Debug)]
pub(super) struct Complaints {
    throttle: Throttle,
    /// Where the last failure is kept if failures are not logged.
    kept: Option<Mutex<Option<Complaint>>>,
}

/// Why a request failed while new code was tried out.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    /// The cause, as the log would have it.
    pub(crate) cause: String,
    /// Whether the machine had no room, which says nothing about the code.
    pub(crate) by_machine: bool,
}

impl Default for Complaints {
    fn default() -> Complaints {
        Complaints {
            throttle: Throttle::per_second(10),
            kept: None,
        }
    }
}

impl Complaints {
    /// Complaints that are not logged. The last one is kept for a caller that asks.
    pub(super) fn kept() -> Complaints {
        Complaints {
            kept: Some(Mutex::default()),
            ..Complaints::default()
        }
    }

    /// The last failure, if failures are kept.
    pub(super) fn last(&self) -> Option<Complaint> {
        let kept = self.kept.as_ref()?;
        let last = kept.lock();
        last.clone()
    }

    /// Logs a failure.
    pub(super) fn about(&self, generation: &Generation, path: &str, cause: &dyn std::fmt::Display) {
        if let Some(kept) = &self.kept {
            *kept.lock() = Some(Complaint {
                cause: cause.to_string(),
                by_machine: false,
            });
            return;
        }
        let Some(left_out) = self.throttle.admit(Instant::now()) else {
            return;
        };
        if left_out > 0 {
            tracing::error!("{left_out} more failures of the app were not logged");
        }
        tracing::error!(release = %generation.release(), path, %cause, "the app failed");
    }

    /// Logs a failure that came after a whole response. Nobody has seen it.
    pub(super) fn after(&self, generation: &Generation, path: &str, cause: &dyn std::fmt::Display) {
        if self.kept.is_some() {
            return;
        }
        if let Some(left_out) = self.throttle.admit(Instant::now()) {
            if left_out > 0 {
                tracing::warn!("{left_out} more complaints about the app were not logged");
            }
            tracing::warn!(
                release = %generation.release(), path, %cause,
                "an app failed after its response was complete"
            );
        }
    }

    /// Notes that the machine had no room for a request. [`InstancePlaces`](crate::capacity::InstancePlaces) has
    /// logged it.
    pub(super) fn no_place(&self, cause: &dyn std::fmt::Display) {
        if let Some(kept) = &self.kept {
            *kept.lock() = Some(Complaint {
                cause: cause.to_string(),
                by_machine: true,
            });
        }
    }

    /// Logs that a stream could not migrate to newer code.
    pub(super) fn not_migrated(&self, to: &Generation, path: &str, cause: &dyn std::fmt::Display) {
        if let Some(left_out) = self.throttle.admit(Instant::now()) {
            if left_out > 0 {
                tracing::warn!("{left_out} more complaints about the app were not logged");
            }
            tracing::warn!(
                release = %to.release(), path, %cause,
                "a stream is not migrated to the new code, and is asked to end"
            );
        }
    }
}
