//! Follows the app file: when there is a new component in it, that is loaded and
//! checked. If it works, it is released. If there is no room to store it, or no memory to
//! compile it, the node tries again until another release comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::release::{AppFile, PathId, ReleaseId};
use cluster::{ComponentBytes, Digest};
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;

use crate::api::types::Step;
use crate::app::retry::Retry;
use crate::app::{App, Seen, WatchedFile};
use cluster::short;
use mesh::membership::{Releases, Stopping};
use mesh::store::{Store, StoreError};
use runtime::component::NamedComponent;

/// What following an app file needs.
pub(crate) struct Followed {
    pub(crate) file: WatchedFile,
    /// The id of the file in release agreement.
    pub(crate) path: PathId,
    pub(crate) app: Arc<App>,
    pub(crate) store: Store,
    pub(crate) releases: Releases,
}

/// Why an app file was not released.
enum NotTaken {
    /// The fault is in the file.
    Refused(String),
    /// There is no room to store it, the disk fails, or it could not be compiled or tried for a
    /// reason on this machine. A later attempt may succeed.
    NotNow(String),
    /// The node stops.
    Stopping,
}

impl From<Stopping> for NotTaken {
    fn from(_: Stopping) -> NotTaken {
        NotTaken::Stopping
    }
}

/// A file that the node tries again later.
struct Later {
    app: NamedComponent,
    at: Instant,
    retry: Retry,
    /// The greatest release when the file changed. A greater one is newer than the
    /// file.
    head: Option<(ReleaseId, Digest)>,
}

/// Follows the app file until the node stops.
pub(crate) async fn follow(mut followed: Followed) {
    let mut later: Option<Later> = None;
    loop {
        let (app, seen, again) = tokio::select! {
            Seen { app, at } = followed.file.next() => (app, at, None),
            again = due(&mut later) => (Ok(again.app.clone()), Instant::now(), Some(again)),
        };
        later = None;
        let head = followed.head();
        if let Some(again) = again.as_ref().filter(|again| again.head != head) {
            match head {
                // Somebody else has released the same component.
                Some((_, digest)) if digest == again.app.component.digest() => {
                    followed.app.report.idle()
                }
                _ => followed.give_up(&again.app),
            }
            continue;
        }
        let app = match app {
            Ok(app) => app,
            Err(error) => {
                followed.refuse(error.to_string());
                continue;
            }
        };
        // The file is stored first. Loading it in vain would take the only room, and
        // may end what drains.
        let stored = match again {
            Some(_) => followed.store(app.component.clone()).await,
            None => Ok(()),
        };
        let taken = match stored {
            Ok(()) => followed.take_up(app.clone(), seen).await,
            Err(not_now) => Err(not_now),
        };
        match taken {
            Ok(()) => {}
            Err(NotTaken::Refused(reason)) => followed.refuse(reason),
            Err(NotTaken::NotNow(reason)) => {
                let mut retry = again.map_or_else(Retry::new, |again| again.retry);
                let wait = retry.wait();
                followed.put_off(&app, &reason, wait);
                let at = Instant::now() + wait;
                later = Some(Later {
                    app,
                    at,
                    retry,
                    head,
                });
            }
            Err(NotTaken::Stopping) => return,
        }
    }
}

/// Waits until it is time to try the file again. May be dropped before that.
async fn due(later: &mut Option<Later>) -> Later {
    if let Some(it) = later {
        sleep_until(it.at.into()).await;
    }
    match later.take() {
        Some(it) => it,
        None => std::future::pending().await,
    }
}

impl Followed {
    /// The greatest release and its component, and not the target: votes change the
    /// target too, although nobody has decided anything new.
    fn head(&self) -> Option<(ReleaseId, Digest)> {
        let overview = self.releases.overview();
        let overview = overview.borrow();
        let head = overview.releases.first().map(|listed| &listed.release);
        head.map(|head| (head.id(), head.component().digest))
    }

    fn refuse(&self, reason: String) {
        tracing::error!("{reason}; the app before goes on serving");
        self.app.report.failed(None, reason, false);
    }

    /// Reports that the file is tried again after this time.
    fn put_off(&self, app: &NamedComponent, reason: &str, wait: Duration) {
        tracing::warn!(
            digest = short(&app.component.digest().to_string()),
            again_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "cannot take up the app file yet: {reason}",
        );
        self.app.report.failed(None, reason.to_owned(), true);
        self.app
            .report
            .doing_file(app.component.digest(), Step::TryingAgain);
    }

    /// Reports that the file is not tried again, because a release is newer.
    fn give_up(&self, app: &NamedComponent) {
        let reason = "the app file is not taken up any more, since another release has come \
                      meanwhile; to serve the file, change it again or push it";
        tracing::warn!(
            digest = short(&app.component.digest().to_string()),
            "{reason}"
        );
        self.app.report.failed(None, reason.to_owned(), false);
        self.app.report.idle();
    }

    /// Handles one change of the file.
    async fn take_up(&self, app: NamedComponent, seen: Instant) -> Result<(), NotTaken> {
        let digest = app.component.digest();
        let file = AppFile {
            path: self.path,
            component: app.component.app(),
        };
        let read = seen.elapsed();
        self.app.report.file(&app, Some(read));
        if self.app.serving() != Some(digest) {
            self.offer(app).await?;
            tracing::debug!(
                digest = short(&digest.to_string()),
                read_ms = u64::try_from(read.as_millis()).unwrap_or(u64::MAX),
                checked_ms = u64::try_from(seen.elapsed().as_millis()).unwrap_or(u64::MAX),
                "the app file changed",
            );
        }
        // Membership logs the reason of a refusal.
        let outcome = self.releases.file(file).await?;
        let target = self.releases.target();
        let wanted = target
            .borrow()
            .as_ref()
            .is_some_and(|it| it.digest == digest);
        if !wanted || self.app.serving() == Some(digest) {
            // The target is another component, whatever this file says. Or the same
            // component came from elsewhere, and serves already.
            drop(self.app.candidate.take(digest));
            self.app.report.idle();
        }
        if let Err(error) = outcome {
            self.app.report.failed(
                None,
                format!("the app file was not released: {error}"),
                false,
            );
        }
        Ok(())
    }

    /// Loads, checks and stores a component, so that others can get it as soon as they
    /// hear of it.
    async fn offer(&self, app: NamedComponent) -> Result<(), NotTaken> {
        let digest = app.component.digest();
        self.app.report.doing_file(digest, Step::Compiling);
        // An uploaded component that is not released yet must not keep the room.
        self.app.candidate.clear();
        let store = self.store(app.component.clone());
        let prepare = async {
            let ready = self.app.loader.prepare(app).await;
            ready.map_err(|error| match error.is_local() {
                true => NotTaken::NotNow(error.to_string()),
                false => NotTaken::Refused(error.to_string()),
            })
        };
        // A component that cannot be stored is not loaded to the end, because that may
        // end what drains.
        let ((), ready) = tokio::try_join!(store, prepare)?;
        let tried = self.app.exchanges.try_states(ready.generation()).await;
        tried.map_err(|unreadable| NotTaken::Refused(unreadable.to_string()))?;
        self.app.candidate.offer(ready);
        Ok(())
    }

    async fn store(&self, component: ComponentBytes) -> Result<(), NotTaken> {
        let store = self.store.clone();
        match spawn_blocking(move || store.store(&component)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ StoreError::TooLarge { .. })) => {
                Err(NotTaken::Refused(error.to_string()))
            }
            Ok(Err(error)) => Err(NotTaken::NotNow(error.to_string())),
            Err(ended) if ended.is_panic() => {
                let reason = "the app file cannot be stored: the store failed in a way that it must not; \
                              the log has more of it";
                Err(NotTaken::NotNow(reason.to_owned()))
            }
            Err(_) => Err(NotTaken::Stopping),
        }
    }
}
