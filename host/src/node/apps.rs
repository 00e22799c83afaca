//! What changes the app of a node while it runs: one task makes what is in
//! force serve, one follows the app file.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use cluster::release::AppFile;
use tokio::task::JoinSet;

use super::first::{self, Start};
use crate::app::deploy;
use crate::app::deploy::{BakeChecks, Candidate, Deploy, Followed, Reporter};
use crate::app::{WatchMode, WatchedFile};
use mesh::membership::Releases;
use mesh::store::Store;
use mesh::transfer::Fetcher;
use runtime::loader::Loader;

/// What it takes.
pub(super) struct Apps {
    /// The IP of this node.
    pub(super) ip: Ipv4Addr,
    /// The app file as it was given, and how it is watched; none if it is not.
    pub(super) followed: Option<(PathBuf, WatchMode)>,
    pub(super) first: Start,
    pub(super) loader: Arc<Loader>,
    pub(super) store: Store,
    pub(super) fetcher: Fetcher,
    pub(super) releases: Releases,
    pub(super) candidate: Arc<Candidate>,
    pub(super) report: Reporter,
    pub(super) bake_checks: BakeChecks,
}

impl Apps {
    /// Starts the tasks. They end when the set is dropped.
    pub(super) fn start(self) -> JoinSet<()> {
        let digest = self.first.file.as_ref().map(|file| file.component.digest());
        if let Some(file) = &self.first.file {
            self.report.file(file, None);
        }
        let deploy = Deploy {
            ip: self.ip,
            loader: self.loader.clone(),
            store: self.store.clone(),
            fetcher: self.fetcher,
            releases: self.releases.clone(),
            candidate: self.candidate.clone(),
            report: self.report.clone(),
            bake_checks: self.bake_checks,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(make_serve(
            deploy,
            self.releases.clone(),
            self.first.app_file(),
            self.first.news,
        ));
        let followed = self.followed.zip(self.first.places);
        if let Some(((given, mode), places)) = followed {
            tasks.spawn(deploy::follow(Followed {
                path: first::path_id(&given),
                // If it could not be found, it may appear.
                file: WatchedFile::watch(places, digest, mode)
                    .up_to(self.store.limits().component)
                    .compiling_ahead(self.loader.runtime().clone()),
                loader: self.loader,
                store: self.store,
                releases: self.releases,
                candidate: self.candidate,
                report: self.report,
            }));
        }
        tasks
    }
}

/// Tells the others of the app file, and makes the target serve.
async fn make_serve(deploy: Deploy, releases: Releases, file: Option<AppFile>, news: bool) {
    let Some(file) = file else {
        return deploy.run().await;
    };
    let mut target = releases.target();
    target.mark_unchanged();
    // What comes of the file is logged by membership.
    let mut asked = pin!(releases.file(file));
    if news {
        // The file serves already, and may be the target in a moment: until then
        // nothing else is to take its place.
        tokio::select! {
            _ = &mut asked => return deploy.run().await,
            _ = target.changed() => {}
        }
    }
    let _ = tokio::join!(asked, deploy.run());
}
