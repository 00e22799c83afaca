//! Following the file of `--app`: whenever there is a new app in it, that is
//! loaded and checked, and if it works, it is released.

use std::sync::Arc;
use std::time::Instant;

use cluster::release::{App, AppFile, PathId};
use tokio::task::spawn_blocking;

use super::{Candidate, Reporter, Step};
use crate::app::{AppBytes, Loader, Seen, WatchedFile};
use crate::cluster_view::short;
use crate::membership::{Releases, Stopping};
use crate::store::Store;

/// What following a file takes.
pub(crate) struct Followed {
    pub(crate) file: WatchedFile,
    /// What the file is called in release agreement.
    pub(crate) path: PathId,
    pub(crate) loader: Arc<Loader>,
    pub(crate) store: Store,
    pub(crate) releases: Releases,
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) report: Reporter,
}

/// Follows a file until the node stops.
pub(crate) async fn follow(mut followed: Followed) {
    loop {
        let Seen { app, at } = followed.file.next().await;
        let taken = match app {
            Ok(app) => followed.take_up(app, at).await,
            Err(error) => Ok(Err(error.to_string())),
        };
        match taken {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => {
                tracing::error!("{reason}; the app before goes on serving");
                followed.report.failed(None, reason, false);
            }
            Err(Stopping) => return,
        }
    }
}

impl Followed {
    /// One change of the file.
    async fn take_up(&self, app: AppBytes, seen: Instant) -> Result<Result<(), String>, Stopping> {
        let digest = app.digest;
        let file = AppFile {
            path: self.path,
            app: App::of(&app.bytes),
        };
        let read = seen.elapsed();
        self.report.file(&app, Some(read));
        if self.loader.serves() != Some(digest) {
            if let Err(reason) = self.offer(app).await {
                return Ok(Err(reason));
            }
            tracing::debug!(
                digest = short(&digest.to_string()),
                read_ms = u64::try_from(read.as_millis()).unwrap_or(u64::MAX),
                checked_ms = u64::try_from(seen.elapsed().as_millis()).unwrap_or(u64::MAX),
                "the app file changed",
            );
        }
        // Why it was refused is logged by membership.
        let outcome = self.releases.file(file).await?;
        let in_force = self.releases.in_force();
        let wanted = in_force
            .borrow()
            .as_ref()
            .is_some_and(|it| it.digest == digest);
        if !wanted || self.loader.serves() == Some(digest) {
            // What is in force is another app, whatever this file says; or the
            // same came from elsewhere and serves already.
            drop(self.candidate.take(digest));
            self.report.idle();
        }
        if let Err(error) = outcome {
            self.report.failed(
                None,
                format!("the app file was not released: {error}"),
                false,
            );
        }
        Ok(Ok(()))
    }

    /// Loads and checks an app, and keeps its bytes, so that others can have
    /// them as soon as they hear of it.
    async fn offer(&self, app: AppBytes) -> Result<(), String> {
        let digest = app.digest;
        self.report.doing_file(digest, Step::Compiling);
        let (store, bytes) = (self.store.clone(), app.bytes.clone());
        let kept = spawn_blocking(move || store.put(&bytes));
        // What was uploaded and not released yet has no claim to the room.
        self.candidate.clear();
        let ready = self.loader.prepare(app).await;
        let kept = kept.await;
        let ready = ready.map_err(|refusal| refusal.to_string())?;
        match kept {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the node is stopping".to_owned()),
        }
        self.candidate.offer(ready);
        Ok(())
    }
}
