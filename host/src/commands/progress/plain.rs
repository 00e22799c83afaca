//! Shows a rollout as plain lines on standard error: one for each change.

use std::io::Write as _;
use std::time::Duration;

use super::{Gone, Show, Summary, already, end, late, released, stands};
use crate::api::types::{NodeState, Problem, Progress, ReleaseInfo};
use crate::commands::show::size;

pub(super) struct Plain;

fn line(text: &str) {
    // If nobody reads it, nothing is lost.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

impl Show for Plain {
    fn uploading(&mut self, bytes: u64) -> Gone {
        line(&format!("uploading {}", size(bytes)));
        Box::new(|_| {})
    }

    fn uploaded(&mut self) {}

    fn released(&mut self, release: &ReleaseInfo) {
        line(&released(release));
    }

    fn already(&mut self, release: &str) {
        line(&already(release));
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
                    line(&format!("{node}: {}", now.text));
                }
            }
            Progress::Gone { node } => line(&format!("{node}: gone")),
            Progress::Release { status, waits_for } => line(&stands(*status, waits_for)),
            Progress::Waiting => line(&summary.pending()),
            Progress::Done { .. } => {
                if let Some(text) = end(it, summary) {
                    line(&text);
                }
            }
        }
    }

    fn timed_out(&mut self, summary: &Summary, patience: Duration) {
        line(&late(summary, patience));
    }

    fn stopped(&mut self, why: &str) {
        line(why);
    }
}
