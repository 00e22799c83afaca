//! Watches the app file, in all of its places. It returns each new content of the
//! file once, when the content is whole.
//!
//! Messages of the system about changes only wake this up; it then looks at the file
//! itself. So a lost message costs only time, and on a file system that sends none,
//! the file is looked at now and then.

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

use crate::app::whole::{Completeness, look_at};
use crate::files::AppFileSearch;
use crate::files::search::Modified;
use crate::files::{IntakeError, read_up_to};
use mesh::store::MAX_APP;
use runtime::component::NamedComponent;
use runtime::engine::Runtime;

/// How long a file must be unchanged before it is read, so that a burst of writes is
/// read once.
const QUIET: Duration = Duration::from_millis(25);
/// How often the file is looked at during that time.
const LOOK: Duration = Duration::from_millis(5);
/// How long a file that is missing, cut off or a core module counts as one that is
/// being built.
const UNFINISHED: Duration = Duration::from_secs(2);
/// How often the file is looked at if the system sends no messages.
const POLL: Duration = Duration::from_millis(100);
/// How often the file is looked at if the system sends messages. A synced or mounted
/// folder may change without a message.
const SAFETY: Duration = Duration::from_secs(1);
/// How many symbolic links to the file are followed; Linux has the same limit.
const MAX_LINKS: usize = 40;

/// How a file is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// The system sends messages about changes.
    Notify,
    /// The file is looked at ten times a second.
    Poll,
}

/// Tells one content of the file from another without reading it: the place, and what
/// the file system says. None if there is no such file.
type Look = Option<(usize, u64, u64, u64, Modified, i64, i64)>;

/// A new content of the file.
#[derive(Debug)]
pub struct Seen {
    /// The component, or why there is none.
    pub app: Result<NamedComponent, IntakeError>,
    /// When the change was first seen.
    pub at: std::time::Instant,
}

/// The file of `--app`, watched.
pub struct WatchedFile {
    places: AppFileSearch,
    woken: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// The folders that the watcher watches, and the identity of each.
    folders: Vec<(PathBuf, Option<(u64, u64)>)>,
    /// What the file looked like when it was last taken or refused; none if it was
    /// not looked at yet.
    known: Option<Look>,
    /// The digest of what was last taken; none if nothing was.
    digest: Option<Digest>,
    /// How many bytes of the file are read at most.
    most: u64,
    /// Compiles a new content while the file must still be unchanged for a moment.
    ahead: Option<Arc<Runtime>>,
}

impl WatchedFile {
    /// Watches the file in these places. `digest` is the content that was taken
    /// already, if one was.
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
            // Nobody noticed what happened since the file was read. So it is looked
            // at once more, and the digest tells whether it is new.
            known: None,
            digest,
            most: MAX_APP,
            ahead: None,
        }
    }

    /// Accepts components of up to `most` bytes.
    #[must_use]
    pub fn up_to(self, most: u64) -> WatchedFile {
        WatchedFile { most, ..self }
    }

    /// Lets this runtime compile a new content before the file is read, so that the
    /// wait costs no time.
    #[must_use]
    pub fn compiling_ahead(mut self, runtime: Arc<Runtime>) -> WatchedFile {
        self.ahead = Some(runtime);
        self
    }

    /// The path of the file now.
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

    /// Waits for a new content of the file that is whole, or that has not become
    /// whole in two seconds. May be dropped at any time without losing a change.
    pub async fn next(&mut self) -> Seen {
        loop {
            let seen = self.changed().await;
            if let Some(app) = self.settled().await {
                return Seen { app, at: seen };
            }
        }
    }

    /// Waits until the file looks different from the last time.
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

    /// Waits until the file stays unchanged, and reads it. None if the content is the
    /// one that was last taken.
    async fn settled(&mut self) -> Option<Result<NamedComponent, IntakeError>> {
        let mut due = Instant::now() + UNFINISHED;
        let mut before = self.look().await;
        let mut since = Instant::now();
        // What the file looked like when it was last compiled ahead.
        let mut begun = None;
        loop {
            sleep(LOOK).await;
            let now = self.look().await;
            if now != before {
                // While something writes to the file, it is being built.
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
                Ok(app) => look_at(app.component.bytes()) != Completeness::Component,
                Err(IntakeError::Missing { .. }) => true,
                Err(_) => false,
            };
            if unfinished && Instant::now() < due {
                // The file is not read again before it changes.
                while self.look().await == before && Instant::now() < due {
                    sleep(LOOK).await;
                }
                continue;
            }
            self.watch_folders().await;
            // There is no await from here on, so no change is lost.
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

    /// Reads the file as it is now, and compiles it ahead if it looks whole. It is
    /// read again when it has stayed unchanged.
    fn begin(&self) {
        let Some(runtime) = self.ahead.clone() else {
            return;
        };
        let (path, known, most) = (self.path().to_owned(), self.digest, self.most);
        // Errors are dropped here: they are reported when the file is read again.
        drop(tokio::task::spawn_blocking(move || {
            if let Ok(app) = read_up_to(&path, most)
                && Some(app.component.digest()) != known
                && look_at(app.component.bytes()) == Completeness::Component
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

    /// Watches the folders that lead to the file: those of its places, and that of
    /// each symbolic link on the way. A folder that does not exist yet is looked for
    /// now and then.
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
            // The folder may be gone; then there is nothing to unwatch.
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
        // Nobody noticed what happened before the folders were watched.
        self.woken.notify_one();
    }
}

/// Runs work that waits for the disk. Never returns if the node stops.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

fn watcher(woken: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file causes events too. Only writing counts.
        let counts = match event {
            Ok(event) => match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
                EventKind::Access(_) => false,
                _ => true,
            },
            // Events were lost, so the file must be looked at.
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
