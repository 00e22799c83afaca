//! `host logs`.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::cli::{LogLevel, Logs};
use super::client::ApiClient;
use super::show::{BAD, BUSY, GOOD, PAST, PLAIN, styled};
use super::{CommandError, Exit, print};
use crate::api::types::{Level, LogLine};

/// A line of the stream. It is empty while nothing happens.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Line {
    Log(LogLine),
    Nothing {},
}

/// Prints lines until there are no more, or the user stops it.
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
    let mut lines = client.lines(&path).await?;
    while let Some(line) = lines.next().await? {
        match line {
            Line::Nothing {} => {}
            Line::Log(line) if asked.ask.json => print(&super::json(&line)?)?,
            Line::Log(line) => print(&shown(&line))?,
        }
    }
    Ok(Exit::OK)
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
        tame(&line.message)
    );
    for (name, value) in &line.fields {
        // Writing to a string never fails.
        let _ = write!(
            text,
            " {}{}",
            styled(PAST, format_args!("{name}=")),
            tame(value)
        );
    }
    text.push('\n');
    text
}

/// Replaces control characters: text in the log may come from elsewhere, and
/// must not move the cursor.
fn tame(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
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
            message: "member down".to_owned(),
            fields: vec![("member".to_owned(), "a@10.0.0.1\u{1b}[2J".to_owned())],
        };
        let plain = anstream::adapter::strip_str(&shown(&line)).to_string();
        assert_eq!(
            plain,
            "2026-09-21T14:13:20.123Z  WARN member down member=a@10.0.0.1\u{fffd}[2J\n"
        );
    }
}
