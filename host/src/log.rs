//! Log lines, on standard error: for people or for machines. The newest of
//! them are kept besides, for `host logs`.

mod recent;

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::node::flags::LogFormat;
pub use recent::{Follow, Recent, RecentLayer, recent};

/// The environment variable that says how much is logged.
const VARIABLE: &str = "HOST_LOG";

/// Sets up the log of the process. Says so if `HOST_LOG` makes no sense.
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
    // Only the first of a process takes hold; tests start more than one node in one.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(RecentLayer::new(recent()))
        .try_init();
    if let Some(problem) = problem {
        tracing::warn!("{VARIABLE}={wanted} makes no sense ({problem}); logging `info`");
    }
}

/// Lets so many lines a second into the log, and counts the rest.
#[derive(Debug)]
pub struct Throttle {
    lines: u32,
    second: Mutex<Second>,
}

#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Throttle {
    /// So many lines a second.
    pub fn per_second(lines: u32) -> Throttle {
        Throttle {
            lines,
            second: Mutex::default(),
        }
    }

    /// Whether a line may be written now, and how many were left out since the
    /// one before it.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |began| now.duration_since(began) >= Duration::from_secs(1);
        if second.began.is_none_or(over) {
            second.began = Some(now);
            second.lines = 0;
        }
        if second.lines == self.lines {
            second.left_out += 1;
            return None;
        }
        second.lines += 1;
        Some(std::mem::take(&mut second.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_second_are_written_and_the_rest_counted() {
        let throttle = Throttle::per_second(10);
        let now = Instant::now();
        let written = (0..100).filter(|_| throttle.admit(now).is_some());
        assert_eq!(written.count(), 10);
        let later = now + Duration::from_secs(1);
        assert_eq!(throttle.admit(later), Some(90));
        assert_eq!(throttle.admit(later), Some(0));
    }
}
