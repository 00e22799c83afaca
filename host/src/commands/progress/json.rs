//! Shows a rollout to programs: a line of JSON for each thing that happens.

use std::time::Duration;

use serde_json::json;

use super::{Gone, Show, Summary};
use crate::api::types::{Problem, Progress, ReleaseInfo};

/// Writes lines of JSON on standard output.
pub(super) struct Json;

impl Json {
    fn line(value: &serde_json::Value) {
        // If nobody reads the output any more, the reader has seen enough. The release is
        // followed to its end, because the exit status says how it ended.
        let _ = crate::commands::json(value).and_then(|line| crate::commands::print(&line));
    }
}

impl Show for Json {
    fn uploading(&mut self, size: u64) -> Gone {
        Self::line(&json!({ "event": "uploading", "size": size }));
        Box::new(|_| {})
    }

    fn uploaded(&mut self) {
        Self::line(&json!({ "event": "uploaded" }));
    }

    fn released(&mut self, release: &ReleaseInfo) {
        Self::line(&json!({ "event": "released", "release": release }));
    }

    fn already(&mut self, release: &str) {
        Self::line(&json!({ "event": "already", "release": release }));
    }

    fn refused(&mut self, problem: &Problem) {
        Self::line(&json!({ "event": "refused", "code": problem.code, "reason": problem.reason }));
    }

    fn progress(&mut self, line: &Progress, _: &Summary) {
        Self::line(&json!(line));
    }

    fn timed_out(&mut self, _: &Summary, _: Duration) {
        Self::line(&json!({ "event": "timeout" }));
    }

    fn stopped(&mut self, _: &str) {
        Self::line(&json!({ "event": "stopped" }));
    }
}
