//! Which app a node serves first, before any other node has told it anything:
//! its app file if that is new to it, else what was in force when it last ran.

use std::path::Path;

use bytes::Bytes;
use cluster::Digest;
use cluster::release::{AppFile, ReleaseKey};

use crate::app::{self, AppBytes, IntakeError};
use crate::cluster_view::short;
use crate::store::{Store, StoreError};

/// What a node can serve at its start, best first.
pub(super) struct Choice {
    /// What is to be tried, in turn.
    pub(super) first: Vec<First>,
    /// The app file, if it could be read.
    pub(super) file: Option<AppBytes>,
}

/// One app to try.
pub(super) struct First {
    pub(super) app: AppBytes,
    /// It is what `--app` names.
    pub(super) is_file: bool,
}

/// Reads the app file.
///
/// # Errors
/// If it cannot be read, and no release is known that could be served instead.
pub(super) fn read(
    given: Option<&Path>,
    known: Option<(ReleaseKey, Digest)>,
) -> Result<Option<AppBytes>, IntakeError> {
    let Some(given) = given else {
        return Ok(None);
    };
    match (app::locate(given).and_then(|path| app::read(&path)), known) {
        (Ok(app), _) => Ok(Some(app)),
        (Err(error), None) => Err(error),
        (Err(error), Some((release, digest))) => {
            tracing::error!(
                %release,
                digest = short(&digest.to_string()),
                "{error}; starting with the release that was in force",
            );
            Ok(None)
        }
    }
}

impl Choice {
    /// Decides. `news`: whether the file is to be released.
    pub(super) fn new(
        store: &Store,
        file: Option<AppBytes>,
        news: bool,
        in_force: Option<(ReleaseKey, Digest)>,
    ) -> Choice {
        let as_file = |app: &AppBytes| First {
            app: app.clone(),
            is_file: true,
        };
        let mut first = Vec::new();
        let of_release = in_force.and_then(|(key, digest)| match &file {
            Some(app) if app.digest == digest => Some(as_file(app)),
            _ => kept(store, key, digest),
        });
        match (&file, of_release) {
            (Some(app), of_release) if news => {
                first.push(as_file(app));
                first.extend(of_release);
            }
            (_, Some(of_release)) => first.push(of_release),
            // Its app is lost. Until a member gives it again, the file is
            // better than nothing.
            (Some(app), None) => first.push(as_file(app)),
            (None, None) => {}
        }
        Choice { first, file }
    }
}

fn kept(store: &Store, key: ReleaseKey, digest: Digest) -> Option<First> {
    match store.get(&digest) {
        Ok(Some(bytes)) => Some(First {
            app: of_release(key, digest, bytes),
            is_file: false,
        }),
        Ok(None) => {
            tracing::warn!(
                release = %key,
                digest = short(&digest.to_string()),
                "the app of the release in force is not kept here; a member has to give it",
            );
            None
        }
        Err(error) => {
            report(&error);
            None
        }
    }
}

fn report(error: &StoreError) {
    tracing::error!("{error}");
}

/// The app of a release, under the name by which errors call it.
fn of_release(key: ReleaseKey, digest: Digest, bytes: Bytes) -> AppBytes {
    AppBytes {
        path: format!("the app of release {key}").into(),
        bytes,
        digest,
    }
}
