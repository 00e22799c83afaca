//! Shows a rollout as plain lines on standard error: one for each change.

use std::time::Duration;

use super::{Gone, Show, Summary, already, end, late, released, stands};
use crate::api::types::{NodeState, Problem, Progress, ReleaseInfo};
use crate::commands::show::size;
use crate::commands::tell;

pub(super) struct Plain;

impl Show for Plain {
    fn uploading(&mut self, bytes: u64) -> Gone {
        tell(&format!("uploading {}", size(bytes)));
        Box::new(|_| {})
    }

    fn uploaded(&mut self) {}

    fn released(&mut self, release: &ReleaseInfo) {
        tell(&released(release));
    }

    fn already(&mut self, release: &str) {
        tell(&already(release));
    }

    fn refused(&mut self, _: &Problem) {
        // The command prints this itself, as its last line.
    }

    fn progress(&mut self, it: &Progress, summary: &Summary) {
        match it {
            // Showing the bytes would need a line for each piece.
            Progress::Node {
                state: NodeState::Fetching,
                have: Some(1..),
                ..
            } => {}
            Progress::Node { node, .. } => {
                if let Some(now) = summary.nodes.get(node) {
                    tell(&format!("{node}: {}", now.text));
                }
            }
            Progress::Gone { node } => tell(&format!("{node}: gone")),
            Progress::Release { status, waits_for } => tell(&stands(*status, waits_for)),
            Progress::Waiting => tell(&summary.pending()),
            Progress::Done { .. } => {
                if let Some(text) = end(it, summary) {
                    tell(&text);
                }
            }
        }
    }

    fn timed_out(&mut self, summary: &Summary, patience: Duration) {
        tell(&late(summary, patience));
    }

    fn stopped(&mut self, why: &str) {
        tell(why);
    }
}
