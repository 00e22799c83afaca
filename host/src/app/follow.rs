//! Following the file of `--app`: whenever there is a new app in it, that is
//! loaded and put into force, and the log says what it took or why not.

use std::time::Instant;

use cluster::release::App;
use tokio::sync::mpsc;

use super::watch::{Seen, WatchedFile};
use super::{Draining, Loader, Swapped};
use crate::cluster_view::short;

/// Follows a file for ever. What was put into force is told to `swapped`.
pub async fn follow(mut file: WatchedFile, loader: Loader, swapped: mpsc::Sender<App>) {
    loop {
        let seen = file.next().await;
        let path = file.path().display().to_string();
        match take_up(&loader, seen, &path).await {
            Ok(None) => {}
            Ok(Some(app)) => {
                // The receiver is gone only if the node stops.
                let _ = swapped.send(app).await;
            }
            Err(reason) => tracing::error!("{reason}; the app before goes on serving"),
        }
    }
}

/// One change of the file; what serves now if it is another app.
async fn take_up(loader: &Loader, seen: Seen, path: &str) -> Result<Option<App>, String> {
    let app = seen.app.map_err(|error| error.to_string())?;
    if loader.serves() == Some(app.digest) {
        return Ok(None);
    }
    let read = seen.at.elapsed();
    let what = App::of(&app.bytes);
    let ready = loader
        .prepare(app)
        .await
        .map_err(|error| error.to_string())?;
    let swapped = ready.activate();
    tell(&swapped, path, read, seen.at);
    Ok(Some(what))
}

fn tell(swapped: &Swapped, path: &str, read: std::time::Duration, seen: Instant) {
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        digest = short(&swapped.digest.to_string()),
        read_ms = ms(read),
        waited_ms = ms(swapped.waited),
        compiled_ms = ms(swapped.compiled),
        validated_ms = ms(swapped.validated),
        swapped_us = u64::try_from(swapped.swapped.as_micros()).unwrap_or(u64::MAX),
        total_ms = ms(seen.elapsed()),
        "the app changed: {path}",
    );
    if let Some(draining) = swapped.draining.clone() {
        tokio::spawn(tell_end(draining));
    }
}

/// Says what became of the exchanges of old code, once it is freed.
async fn tell_end(draining: Draining) {
    draining.life.freed().await;
    let life = &draining.life;
    tracing::info!(
        digest = short(&draining.digest.to_string()),
        carried = life.carried(),
        refused = life.refused(),
        cut = life.cut(),
        drained_ms = u64::try_from(draining.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        "the app before is gone",
    );
}
