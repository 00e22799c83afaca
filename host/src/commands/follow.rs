//! Follows a release until it is decided, the time is up, or the user stops it.

use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{Instant, sleep_until};

use super::client::ApiClient;
use super::progress::{Show, Summary};
use super::{CommandError, Exit};
use crate::api::types::{Outcome, Progress, of_app};

/// Follows the release, and returns how that ended.
pub(super) async fn follow(
    client: &ApiClient,
    release: &str,
    show: &mut dyn Show,
    patience: Duration,
    interrupts: &mut Signal,
) -> Result<Exit, CommandError> {
    let path = of_app(&format!("releases/{release}/progress"));
    let mut lines = client.lines(&path).await?;
    let mut summary = Summary::default();
    let until = Instant::now() + patience;
    loop {
        let line = tokio::select! {
            // Lines that are there already count, even if the time is up.
            biased;
            line = lines.next::<Progress>() => line.map_err(goes_on)?,
            () = sleep_until(until) => {
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
