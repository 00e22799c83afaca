//! Which component a node serves first, before any other node has told it anything. It
//! is the app file if that is new to the node, else what was the target when the node
//! last ran. What has killed the process twice is left out; then what served before it
//! serves.

use std::path::Path;
use std::sync::Arc;

use cluster::release::{self, AppFile, DeployKey, PathId, ReleaseId};
use cluster::{Digest, NodeName};

use super::App;
use super::crash_loop::CrashGuard;
use crate::files::{self, AppFileSearch, IntakeError};
use cluster::short;
use mesh::store::Store;
use runtime::component::NamedComponent;
use runtime::generation::{ComponentError, Generation};
use runtime::loader::Preparing;

/// What a node knows of its app before it hears from others.
pub(crate) struct First {
    /// The app file, if it could be read.
    pub(crate) file: Option<NamedComponent>,
    /// The id of the app file in release agreement.
    path: Option<PathId>,
    /// The places where the app file may be.
    pub(crate) places: Option<AppFileSearch>,
    /// Whether the file should be released, as far as this node knows.
    pub(crate) news: bool,
    /// The target when the node last ran.
    pub(crate) target: Option<(ReleaseId, Digest)>,
    /// If the target has killed the process too often: what may serve instead, the latest
    /// first.
    instead: Option<Vec<(ReleaseId, Digest)>>,
    /// Whether the app file has killed the process too often.
    file_kills: bool,
}

impl First {
    /// Reads the app file, and what the last run has stored.
    ///
    /// # Errors
    /// If the file cannot be read, and no release is known that can serve instead.
    pub(crate) fn read(
        given: Option<&Path>,
        most: u64,
        deploy_key: Option<DeployKey>,
        stored: Option<&[u8]>,
        me: &NodeName,
        guard: &CrashGuard,
    ) -> Result<First, IntakeError> {
        let at_start = |file| release::at_start(me, deploy_key.clone(), stored, file);
        let known = at_start(None);
        let target = known.target.map(|target| (target.id, target.digest));
        let kills = |&(id, digest): &(_, _)| guard.has_given_up(digest, Some(id));
        let before = known.before.into_iter().map(|it| (it.id, it.digest));
        let instead = match target.as_ref().is_some_and(kills) {
            true => Some(before.filter(|it| !kills(it)).collect()),
            false => None,
        };
        let mut places = given.map(AppFileSearch::of);
        let read = given.zip(places.as_mut()).map(|(given, places)| {
            let found = files::locate_in(places, given)?;
            places.take_now();
            files::read_up_to(&found, most)
        });
        let file = match (read, target) {
            (None, _) => None,
            (Some(Ok(app)), _) => Some(app),
            (Some(Err(error)), None) => return Err(error),
            (Some(Err(error)), Some((release, digest))) => {
                tracing::error!(
                    %release,
                    digest = short(&digest.to_string()),
                    "{error}; starting with the release that was the target",
                );
                None
            }
        };
        let of_target = |digest| target.filter(|it| it.1 == digest).map(|(id, _)| id);
        let file_kills = file.as_ref().is_some_and(|file: &NamedComponent| {
            let digest = file.component.digest();
            guard.has_given_up(digest, of_target(digest))
        });
        let mut first = First {
            file_kills,
            instead,
            file,
            path: given.map(path_id),
            places,
            news: false,
            target,
        };
        first.news = at_start(first.app_file()).file.is_some();
        Ok(first)
    }

    /// Stores a file that will be released, so that members can get it. The disk may
    /// be slow: the app file itself is there, too.
    pub(crate) fn store(&self, store: &Store) {
        if let Some(file) = self.file.as_ref().filter(|_| self.news) {
            let (store, component) = (store.clone(), file.component.clone());
            tokio::task::spawn_blocking(move || {
                if let Err(error) = store.store(&component) {
                    tracing::error!("{error}; other nodes cannot get the app file from this one");
                }
            });
        }
    }

    /// The components that can serve, the best first, each with its release.
    fn choices(&self, store: &Store) -> Vec<(NamedComponent, Option<ReleaseId>)> {
        let file = self.file.as_ref().filter(|_| !self.file_kills);
        let of_release = |&(id, digest): &(ReleaseId, Digest)| {
            let component = match file {
                Some(file) if file.component.digest() == digest => Some(file.clone()),
                _ => find(store, id, digest),
            };
            component.map(|component| (component, Some(id)))
        };
        let of_release = match &self.instead {
            None => self.target.as_ref().and_then(of_release),
            Some(instead) => instead.iter().find_map(of_release),
        };
        let file = file.map(|file| (file.clone(), None));
        match (file, of_release) {
            (Some(file), Some(other)) if self.news => vec![file, other],
            (_, Some(of_release)) => vec![of_release],
            // The component of the release is lost. Until a member gives it again, the
            // app file is better than nothing.
            (Some(file), None) => vec![file],
            (None, None) => Vec::new(),
        }
    }

    /// Loads the best component that works, and puts it in. A file that is refused
    /// must not be released.
    ///
    /// # Errors
    /// If the file is refused, and no release is known that can serve instead.
    pub(crate) async fn load(
        &mut self,
        store: &Store,
        app: &App,
        guard: &Arc<CrashGuard>,
    ) -> Result<(), ComponentError> {
        for (choice, release) in self.choices(store) {
            let (digest, path) = (choice.component.digest(), choice.path.clone());
            let tell = |step| {
                if step == Preparing::TryingOut {
                    guard.begin(digest, release);
                }
            };
            match app.loader.prepare_telling(choice, tell).await {
                Ok(ready) => {
                    let generation = ready.generation().clone();
                    if let Some((release, _)) = self.target.filter(|target| target.1 == digest) {
                        generation.serve_as(release);
                    }
                    app.report.started(&generation, &ready.activate());
                    guard.settle_in_a_minute();
                    announce(&generation, &path);
                    return Ok(());
                }
                Err(refusal) if self.target.is_none() => return Err(refusal),
                Err(refusal) => {
                    match refusal.is_local() {
                        true => guard.rests(digest),
                        false => guard.over(digest),
                    }
                    tracing::error!("{refusal}");
                    self.file.take_if(|file| file.component.digest() == digest);
                }
            }
        }
        if self.target.is_none() {
            tracing::info!(
                "no --app was given and no release is known: answering 503 until a member has one, or one is pushed"
            );
        }
        Ok(())
    }

    /// The app file, as release agreement knows it. None if it kills the process, so that it
    /// is not released.
    pub(crate) fn app_file(&self) -> Option<AppFile> {
        if self.file_kills {
            return None;
        }
        let (file, path) = (self.file.as_ref()?, self.path?);
        Some(AppFile {
            path,
            component: file.component.app(),
        })
    }
}

/// The id in release agreement of the file that `--app` names. It has two parts. The
/// absolute path makes it the same from whichever folder the host starts. The given
/// path makes a release build after a debug build the same file, changed. Links are
/// not followed: a link that points to another file now is a changed file.
pub(crate) fn path_id(given: &Path) -> PathId {
    use std::os::unix::ffi::OsStrExt as _;
    let absolute = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
    PathId::of(absolute.as_os_str().as_bytes())
}

fn find(store: &Store, id: ReleaseId, digest: Digest) -> Option<NamedComponent> {
    match store.find(&digest) {
        Ok(Some(component)) => Some(NamedComponent {
            path: format!("the component of release {id}").into(),
            component,
        }),
        Ok(None) => {
            tracing::warn!(
                release = %id,
                digest = short(&digest.to_string()),
                "the component of the target is not stored here; a member has to give it",
            );
            None
        }
        Err(error) => {
            tracing::error!("{error}");
            None
        }
    }
}

fn announce(generation: &Generation, path: &Path) {
    tracing::info!(
        digest = short(&generation.digest.to_string()),
        size = %bytesize::ByteSize(generation.size as u64),
        compiled_ms = u64::try_from(generation.compiled_in.as_millis()).unwrap_or(u64::MAX),
        handler = generation.kind.name(),
        "app {}",
        path.display(),
    );
}
