//! `host logs`.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::interval;

use super::cli::{LogLevel, Logs};
use super::client::ApiClient;
use super::show::{BAD, BUSY, GOOD, PAST, PLAIN, styled};
use super::{CommandError, Exit, print};
use crate::api::types::{Level, LogLine};
use crate::terminal;

/// A line of the stream. It is empty while nothing happens.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Line {
    Log(LogLine),
    Nothing {},
}

/// How often to look whether anybody still reads while there are no lines.
const LOOK: Duration = Duration::from_millis(500);

/// Prints lines until there are no more, nobody reads them, or the user stops it.
pub(super) async fn run(asked: Logs) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let level = match asked.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let path = format!(
        "/v1/logs?lines={}&level={level}&follow={}",
        asked.lines, asked.follow
    );
    let mut lines = client.lines_as_they_are(&path).await?;
    let mut look = interval(LOOK);
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            _ = look.tick() => match nobody_reads() {
                true => return Ok(Exit::OK),
                false => continue,
            }
        };
        let Some(line) = line else {
            return Ok(Exit::OK);
        };
        match line {
            Line::Nothing {} => {}
            Line::Log(line) if asked.ask.json => print(&super::json(&line)?)?,
            Line::Log(line) => print(&shown(&line))?,
        }
    }
}

/// Whether the other end of standard output is closed.
fn nobody_reads() -> bool {
    let out = std::io::stdout();
    // Errors are reported whatever is asked for.
    let mut polled = [PollFd::new(&out, PollFlags::empty())];
    let there = poll(&mut polled, Some(&Timespec::default()));
    let gone = PollFlags::ERR | PollFlags::HUP;
    there.is_ok() && polled.iter().any(|it| it.revents().intersects(gone))
}

/// The line as the node writes it on its standard error.
fn shown(line: &LogLine) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(line.at_ms));
    let at = humantime::format_rfc3339_millis(at.unwrap_or(UNIX_EPOCH));
    let (style, level) = match line.level {
        Level::Error => (BAD, "ERROR"),
        Level::Warn => (BUSY, " WARN"),
        Level::Info => (GOOD, " INFO"),
        Level::Debug => (PLAIN, "DEBUG"),
        Level::Trace => (PAST, "TRACE"),
    };
    let mut text = format!(
        "{} {} {}",
        styled(PAST, at),
        styled(style, level),
        terminal::lines(&line.message)
    );
    for (name, value) in &line.fields {
        // Writing to a string never fails.
        let _ = write!(
            text,
            " {}{}",
            styled(PAST, terminal::one_line(name) + "="),
            terminal::lines(value)
        );
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_as_a_node_writes_it() {
        let line = LogLine {
            seq: 1,
            at_ms: 1_790_000_000_123,
            level: Level::Warn,
            message: "member down\nfor good".to_owned(),
            fields: vec![("member".to_owned(), "a@10.0.0.1\u{1b}[2J".to_owned())],
        };
        let plain = anstream::adapter::strip_str(&shown(&line)).to_string();
        assert_eq!(
            plain,
            "2026-09-21T14:13:20.123Z  WARN member down\n    for good member=a@10.0.0.1\\u{1b}[2J\n"
        );
    }
}
