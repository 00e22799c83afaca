//! Answers with the newest lines of the log, and with those that follow.

use std::sync::Arc;

use http::Response;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Refused;
use super::body::{Body, Hung, LineWriter, lines};
use super::recent::{Follow, Recent};
use super::service::Limits;
use super::types::{Code, Level};

/// What the caller asks for.
struct Asked {
    /// How many of the newest lines that are there.
    lines: usize,
    level: Level,
    follow: bool,
}

/// Answers with lines, one JSON value each. While nothing happens, an empty
/// object now and then shows that the node is still there.
pub(super) fn answer(
    log: &Arc<Recent>,
    query: &str,
    limits: Limits,
    turn: OwnedSemaphorePermit,
) -> Result<Response<Body>, Refused> {
    let asked = Asked::read(query)?;
    let follow = log.follow();
    let (lines, answer) = lines();
    tokio::spawn(async move {
        // An error means that the caller has gone.
        let _ = write(lines, follow, asked, limits).await;
        drop(turn);
    });
    Ok(answer)
}

async fn write(
    mut to: LineWriter,
    mut log: Follow,
    asked: Asked,
    limits: Limits,
) -> Result<(), Hung> {
    let mut there = log.there();
    there.retain(|line| line.level <= asked.level);
    let too_many = there.len().saturating_sub(asked.lines);
    there.drain(..too_many);
    loop {
        for line in &there {
            to.write(&**line).await?;
        }
        if !asked.follow {
            return Ok(());
        }
        match timeout(limits.waiting, log.more()).await {
            Ok(()) => {
                there = log.there();
                there.retain(|line| line.level <= asked.level);
            }
            Err(_) => {
                there.clear();
                to.write(&serde_json::json!({})).await?;
            }
        }
    }
}

impl Asked {
    fn read(query: &str) -> Result<Asked, Refused> {
        let mut asked = Asked {
            lines: usize::MAX,
            level: Level::Trace,
            follow: false,
        };
        let bad = |what: &str| {
            let why = format!(
                "`{what}` is not to be understood; lines=N, level=warn and follow=true are"
            );
            Refused::new(Code::BadRequest, why)
        };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| bad(part))?;
            let level = || serde_json::from_value(serde_json::Value::from(value));
            match name {
                "lines" => asked.lines = value.parse().map_err(|_| bad(part))?,
                "level" => asked.level = level().map_err(|_| bad(part))?,
                "follow" => asked.follow = value.parse().map_err(|_| bad(part))?,
                _ => return Err(bad(part)),
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_to_the_letter() {
        let asked = Asked::read("lines=3&level=warn&follow=true").unwrap();
        assert_eq!(
            (asked.lines, asked.level, asked.follow),
            (3, Level::Warn, true)
        );
        assert!(!Asked::read("").unwrap().follow);
        for bad in ["lines=x", "level=loud", "follow=1", "follow", "tail=3"] {
            assert!(Asked::read(bad).is_err(), "{bad}");
        }
    }
}
