//! The log of what apps do wrong: which release, which path, what.

use std::time::Instant;

use crate::app::Generation;
use crate::log::Throttle;

/// Logs failures of apps, at most ten lines a second, so that an app that
/// fails at every request does not fill a disk.
#[derive(Debug)]
pub(super) struct Complaints(Throttle);

impl Default for Complaints {
    fn default() -> Complaints {
        Complaints(Throttle::per_second(10))
    }
}

impl Complaints {
    /// Names a failure in the log.
    pub(super) fn about(&self, generation: &Generation, path: &str, cause: &dyn std::fmt::Display) {
        let Some(left_out) = self.0.admit(Instant::now()) else {
            return;
        };
        if left_out > 0 {
            tracing::error!("{left_out} more failures of the app were not logged");
        }
        tracing::error!(release = %generation.release.id, path, %cause, "the app failed");
    }

    /// Names a stream that newer code does not take over.
    pub(super) fn not_carried(&self, to: &Generation, path: &str, cause: &dyn std::fmt::Display) {
        if let Some(left_out) = self.0.admit(Instant::now()) {
            if left_out > 0 {
                tracing::warn!("{left_out} more complaints about the app were not logged");
            }
            tracing::warn!(
                release = %to.release.id, path, %cause,
                "a stream is not carried over to the new code, and is asked to end"
            );
        }
    }
}
