//! Log lines on standard error, for people or for machines. The newest lines are
//! also kept for `host logs`.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::flags::LogFormat;
use crate::api::recent::{RecentLayer, recent};

/// The environment variable for how much is logged.
const VARIABLE: &str = "HOST_LOG";

/// Sets up the log of the process. Warns if `HOST_LOG` makes no sense.
pub fn init(format: LogFormat) {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let (filter, problem) = match EnvFilter::builder().parse(&wanted) {
        Ok(filter) if !wanted.is_empty() => (filter, None),
        Ok(_) => (EnvFilter::new("info"), None),
        Err(problem) => (EnvFilter::new("info"), Some(problem)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Only the first log of a process takes effect; tests start more than one node
    // in one process.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(RecentLayer::new(recent()))
        .try_init();
    if let Some(problem) = problem {
        tracing::warn!("{VARIABLE}={wanted} makes no sense ({problem}); logging `info`");
    }
}
