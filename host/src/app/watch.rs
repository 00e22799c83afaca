//! Watching the file of `--app`, in whichever of its places it is: it tells
//! when there is a new whole app in it, and each state of the file once.
//!
//! What the system says about changes only wakes this up; what has changed is
//! seen by looking at the file. So a message that is lost costs time and
//! nothing else, and a file system that sends none is looked at now and then.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster::Digest;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::app::intake::{IntakeError, read_up_to};
use crate::app::search::{AppFileSearch, Modified};
use crate::app::whole::{Whole, look_at};
use mesh::store::MAX_APP;
use runtime::component::NamedComponent;
use runtime::engine::Runtime;

/// How long a file must not have changed before it is read: a burst of writes
/// is read once.
const QUIET: Duration = Duration::from_millis(25);
/// How often the file is looked at during that time.
const LOOK: Duration = Duration::from_millis(5);
/// How long a file that is missing, cut off or a core module counts as one
/// that is being built.
const UNFINISHED: Duration = Duration::from_secs(2);
/// How often the file is looked at where the system does not tell.
const POLL: Duration = Duration::from_millis(100);
/// How often it is looked at all the same where the system does: a synced or
/// mounted folder may change without a word.
const SAFETY: Duration = Duration::from_secs(1);
/// The most symbolic links that are followed to the file, as Linux itself does.
const MAX_LINKS: usize = 40;

/// How a file is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// The system tells of changes.
    Notify,
    /// The file is looked at ten times a second.
    Poll,
}

/// What tells one content of the file from another without reading it: its
/// place, and what the file system says of it. None if there is no such file.
type Look = Option<(usize, u64, u64, u64, Modified, i64, i64)>;

/// What there is to take.
#[derive(Debug)]
pub struct Seen {
    /// The app, or why there is none.
    pub app: Result<NamedComponent, IntakeError>,
    /// When the change was first seen.
    pub at: std::time::Instant,
}

/// The file of `--app`, watched.
pub struct WatchedFile {
    places: AppFileSearch,
    woken: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// The folders that the watcher watches, and which ones they were.
    folders: Vec<(PathBuf, Option<(u64, u64)>)>,
    /// What the file looked like when it was last taken or refused; none if
    /// it was not looked at yet.
    known: Option<Look>,
    /// The digest that was last taken; none if nothing was.
    digest: Option<Digest>,
    /// The most that is read of it, in bytes.
    most: u64,
    /// What compiles a new content while the file still rests.
    ahead: Option<Arc<Runtime>>,
}

impl WatchedFile {
    /// Watches the file in these places, of which a content was taken already,
    /// or none.
    pub fn watch(places: AppFileSearch, digest: Option<Digest>, mode: WatchMode) -> WatchedFile {
        let woken = Arc::new(Notify::new());
        let watcher = match mode {
            WatchMode::Poll => None,
            WatchMode::Notify => watcher(woken.clone())
                .inspect_err(|error| {
                    tracing::warn!(
                        "the system does not tell of changes of files ({error}); looking at {} ten times a second",
                        places.path().display()
                    );
                })
                .ok(),
        };
        WatchedFile {
            places,
            woken,
            watcher,
            folders: Vec::new(),
            // What happened since it was read told nobody: it is looked at once
            // more, and then known by its digest.
            known: None,
            digest,
            most: MAX_APP,
            ahead: None,
        }
    }

    /// Takes apps of up to so many bytes.
    #[must_use]
    pub fn up_to(self, most: u64) -> WatchedFile {
        WatchedFile { most, ..self }
    }

    /// Has this runtime compile a new content while the file still rests: the
    /// rest then costs no time.
    #[must_use]
    pub fn compiling_ahead(mut self, runtime: Arc<Runtime>) -> WatchedFile {
        self.ahead = Some(runtime);
        self
    }

    /// The file, where it is now.
    pub fn path(&self) -> &Path {
        self.places.path()
    }

    /// Looks where the file is now, and what it looks like. Never returns if the node
    /// stops.
    async fn look(&mut self) -> Look {
        let mut places = self.places.clone();
        let (places, moved, look) = blocking(move || {
            let moved = places.follow();
            let look = look(places.place(), places.path());
            (places, moved, look)
        })
        .await;
        self.places = places;
        if moved {
            tracing::info!("the app file is {} from now on", self.path().display());
        }
        look
    }

    /// Waits for a new content of the file that is whole, or that has not
    /// become so in two seconds. May be dropped at any time without losing a
    /// change.
    pub async fn next(&mut self) -> Seen {
        loop {
            let seen = self.changed().await;
            if let Some(app) = self.settled().await {
                return Seen { app, at: seen };
            }
        }
    }

    /// Waits until the file looks otherwise than the last time.
    async fn changed(&mut self) -> std::time::Instant {
        loop {
            let now = self.look().await;
            if self.known != Some(now) {
                return std::time::Instant::now();
            }
            let wait = match self.watcher {
                Some(_) => SAFETY,
                None => POLL,
            };
            if timeout(wait, self.woken.notified()).await.is_err() {
                self.watch_folders().await;
            }
        }
    }

    /// Waits until the file rests, and reads it; none if it has what was taken
    /// last.
    async fn settled(&mut self) -> Option<Result<NamedComponent, IntakeError>> {
        let mut due = Instant::now() + UNFINISHED;
        let mut before = self.look().await;
        let mut since = Instant::now();
        // What it looked like when it was last compiled ahead.
        let mut begun = None;
        loop {
            sleep(LOOK).await;
            let now = self.look().await;
            if now != before {
                // As long as something is written to it, it is being built.
                if now.is_some() {
                    due = Instant::now() + UNFINISHED;
                }
                (before, since) = (now, Instant::now());
                continue;
            }
            if since.elapsed() < QUIET {
                if before.is_some() && begun != Some(before) {
                    begun = Some(before);
                    self.begin();
                }
                continue;
            }
            let read = self.read().await;
            if self.look().await != before {
                continue;
            }
            let unfinished = match &read {
                Ok(app) => look_at(app.component.bytes()) != Whole::Component,
                Err(IntakeError::Missing { .. }) => true,
                Err(_) => false,
            };
            if unfinished && Instant::now() < due {
                // Not read again before it changes.
                while self.look().await == before && Instant::now() < due {
                    sleep(LOOK).await;
                }
                continue;
            }
            self.watch_folders().await;
            // From here on nothing is waited for, so that no change is lost.
            self.known = Some(before);
            if let Some((.., modified, _, _)) = before {
                self.places.take(modified);
            }
            return match read {
                Ok(app) if Some(app.component.digest()) == self.digest => None,
                Ok(app) => {
                    self.digest = Some(app.component.digest());
                    Some(Ok(app))
                }
                Err(error) => Some(Err(error)),
            };
        }
    }

    /// Reads the file as it is now, and has it compiled if it looks whole. What
    /// is taken in the end is read when it has rested.
    fn begin(&self) {
        let Some(runtime) = self.ahead.clone() else {
            return;
        };
        let (path, known, most) = (self.path().to_owned(), self.digest, self.most);
        // It tells nobody: what there is to say of the file is said later.
        drop(tokio::task::spawn_blocking(move || {
            if let Ok(app) = read_up_to(&path, most)
                && Some(app.component.digest()) != known
                && look_at(app.component.bytes()) == Whole::Component
            {
                runtime.compile_ahead(&app.component);
            }
        }));
    }

    async fn read(&self) -> Result<NamedComponent, IntakeError> {
        let (path, most) = (self.path().to_owned(), self.most);
        let missing = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound => IntakeError::Missing {
                path: self.path().to_owned(),
                hint: "it was there before; build it again".to_owned(),
            },
            _ => IntakeError::Unreadable {
                path: self.path().to_owned(),
                cause,
            },
        };
        match tokio::task::spawn_blocking(move || read_up_to(&path, most)).await {
            Ok(Err(IntakeError::Unreadable { cause, .. })) => Err(missing(cause)),
            Ok(read) => read,
            Err(stopped) => Err(missing(io::Error::other(stopped))),
        }
    }

    /// Watches the folders that lead to the file: those of its places, and that
    /// of each symbolic link on the way. One that is not there yet is looked
    /// for now and then.
    async fn watch_folders(&mut self) {
        if self.watcher.is_none() {
            return;
        }
        let places = self.places.all().to_vec();
        let wanted: Vec<_> = blocking(move || {
            let folders = folders(&places).into_iter();
            let with_id = folders.map(|folder| {
                let id = std::fs::metadata(&folder).ok();
                let id = id.map(|metadata| (metadata.dev(), metadata.ino()));
                (folder, id)
            });
            with_id.collect()
        })
        .await;
        let Some(watcher) = self.watcher.as_mut().filter(|_| wanted != self.folders) else {
            return;
        };
        for (folder, _) in &self.folders {
            // It may be gone; then there is nothing to let go of.
            let _ = watcher.unwatch(folder);
        }
        for (folder, id) in &wanted {
            if id.is_some()
                && let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
            {
                tracing::warn!(
                    "cannot watch {}: {error}; looking at it once a second",
                    folder.display()
                );
            }
        }
        self.folders = wanted;
        // What happened before the folders were watched told nobody.
        self.woken.notify_one();
    }
}

/// Runs what waits for the disk. Never returns if the node stops.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

fn watcher(woken: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // To read a file is an event too, and its end as well; only writing counts.
        let counts = match event {
            Ok(event) => match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
                EventKind::Access(_) => false,
                _ => true,
            },
            // Events were lost: worth a look.
            Err(_) => true,
        };
        if counts {
            woken.notify_one();
        }
    })
}

fn look(place: usize, path: &Path) -> Look {
    let metadata: Metadata = std::fs::metadata(path).ok()?;
    Some((
        place,
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        (metadata.mtime(), metadata.mtime_nsec()),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}

fn folders(places: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for place in places {
        let mut at = place.clone();
        for _ in 0..MAX_LINKS {
            let folder = match at.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            };
            if !folders.contains(&folder) {
                folders.push(folder.clone());
            }
            match std::fs::read_link(&at) {
                Ok(target) => at = folder.join(target),
                Err(_) => break,
            }
        }
    }
    folders
}
