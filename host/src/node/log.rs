//! Log lines on standard error, for people, for machines or for the journal. The newest lines
//! are also kept for `host logs`.
//!
//! ```text
//! event -> fields (fit for a terminal) -> stderr (a queue and its thread) -> standard error
//! ```
//!
//! No thread of a node waits for standard error, whoever reads it or not.

mod fields;
mod stderr;

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, LazyLock};
use std::thread;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::flags::LogFormat;
use crate::api::recent::{RecentLayer, recent};
use crate::terminal;
use fields::SafeFields;
use stderr::{EventWriter, StderrQueue};

/// The environment variable for how much is logged.
const VARIABLE: &str = "HOST_LOG";

/// The queue of this process. Its thread starts with the first use.
static STDERR: LazyLock<Arc<StderrQueue>> = LazyLock::new(StderrQueue::start);

/// Sets up the log of the process. Warns if `HOST_LOG` makes no sense.
pub fn init(format: LogFormat) {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let (filter, problem) = match EnvFilter::builder().parse(&wanted) {
        Ok(filter) if !wanted.is_empty() => (filter, None),
        Ok(_) => (EnvFilter::new("info"), None),
        Err(problem) => (EnvFilter::new("info"), Some(problem)),
    };
    let journal = std::env::var("JOURNAL_STREAM").is_ok_and(|it| leads_to(&it, std::io::stderr()));
    let lines = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(EventWriter {
            queue: STDERR.clone(),
            priorities: journal,
            json: format == LogFormat::Json,
        });
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            let lines = lines.with_ansi(colours).fmt_fields(SafeFields);
            match journal {
                // The journal has the time.
                true => lines.without_time().boxed(),
                false => lines.boxed(),
            }
        }
    };
    // Only the first log of a process takes effect; tests start more than one node
    // in one process.
    let first = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(RecentLayer::new(recent()))
        .try_init();
    if first.is_ok() {
        panic::set_hook(Box::new(panicked));
    }
    if let Some(problem) = problem {
        tracing::warn!("{VARIABLE}={wanted} makes no sense ({problem}); logging `info`");
    }
}

/// Ends the log of a process, with the error for which it ends if there is one. Waits up to a
/// second until all lines are written.
pub fn end(error: Option<&str>) {
    let last = error.map(|error| format!("error: {}", terminal::lines(error)));
    STDERR.end(last.as_deref());
}

/// How many lines of the log were lost since the start of the process, because standard error
/// was not read in time, or is closed.
pub(super) fn lost() -> u64 {
    STDERR.lost()
}

/// Logs a panic. The way in which `std` prints it would wait for standard error.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "an unknown place".to_owned());
    tracing::error!(
        "thread {name} panicked at {place}: {}",
        said(panic.payload())
    );
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!("{backtrace}");
    }
    if name == "main" {
        end(None);
    }
}

/// What a panic said.
fn said(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("(no text)")
}

/// Whether `JOURNAL_STREAM` names this file: it has the numbers of its device and inode. They
/// differ if standard error was sent elsewhere since.
fn leads_to(journal: &str, file: impl AsFd) -> bool {
    let (Some((device, inode)), Ok(stat)) = (journal.split_once(':'), rustix::fs::fstat(file))
    else {
        return false;
    };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_the_file_that_standard_error_is() {
        let file = tempfile::tempfile().unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        let (device, inode) = (stat.st_dev, stat.st_ino);
        assert!(leads_to(&format!("{device}:{inode}"), &file));
        for other in [
            format!("{device}:{}", inode + 1),
            format!("{}:{inode}", device + 1),
            String::new(),
            inode.to_string(),
        ] {
            assert!(!leads_to(&other, &file), "{other}");
        }
    }
}
