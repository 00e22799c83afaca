//! Follows a release until it is decided, nothing has happened for too long, or the user
//! stops it.

use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{Instant, sleep_until};

use super::client::ApiClient;
use super::progress::{Show, Summary};
use super::{CommandError, Exit};
use crate::api::types::{Outcome, Progress, Until, of_app};

/// How long after its last line a node counts as being at work. A line comes every five
/// seconds.
const ALIVE: Duration = Duration::from_secs(15);

/// What to follow.
pub(super) struct Following<'a> {
    /// The id of the release.
    pub(super) release: &'a str,
    pub(super) until: Until,
    /// How long nothing may happen.
    pub(super) patience: Duration,
}

/// Follows the release, and returns how that ended.
pub(super) async fn follow(
    client: &ApiClient,
    followed: Following<'_>,
    show: &mut dyn Show,
    interrupts: &mut Signal,
) -> Result<Exit, CommandError> {
    let Following {
        release,
        until,
        patience,
    } = followed;
    let path = of_app(&format!(
        "releases/{release}/progress?until={}",
        until.name()
    ));
    let mut lines = client.lines(&path).await?;
    let mut summary = Summary::default();
    let mut heard = Instant::now();
    let mut due = heard + patience;
    loop {
        let line = tokio::select! {
            // Lines that are there already count, even if the time is up.
            biased;
            line = lines.next::<Progress>() => line.map_err(goes_on)?,
            () = sleep_until(due) => {
                if summary.is_at_work(until) && heard.elapsed() < ALIVE {
                    due = Instant::now() + patience;
                    continue;
                }
                show.timed_out(&summary, patience);
                return Ok(Exit::TIMEOUT);
            }
            _ = interrupts.recv() => {
                show.stopped(&format!(
                    "stopped following; release {} goes on without this: see `host status`, `host nodes`",
                    super::show::id(release)
                ));
                return Ok(Exit::INTERRUPTED);
            }
        };
        let Some(line) = line else {
            let why = "the node said nothing more".to_owned();
            return Err(goes_on(CommandError::Broken(why)));
        };
        heard = Instant::now();
        if line != Progress::Waiting {
            due = heard + patience;
        }
        summary.take(&line);
        show.progress(&line, &summary);
        if let Progress::Done { outcome, .. } = line {
            return Ok(match outcome {
                Outcome::Served => Exit::OK,
                Outcome::Failed => Exit::FAILED,
                Outcome::Superseded => Exit::SUPERSEDED,
            });
        }
    }
}

/// Adds to a broken connection that the release goes on without this command.
fn goes_on(error: CommandError) -> CommandError {
    match error {
        CommandError::Broken(why) => {
            CommandError::Broken(format!("{why}; the release goes on without this"))
        }
        other => other,
    }
}
