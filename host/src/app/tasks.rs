//! The tasks that change the app of a running node: one makes the target serve, the
//! other follows the app file.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use cluster::release::AppFile;
use tokio::task::JoinSet;

use super::crash_loop::CrashGuard;
use super::deploy::{self, BakeChecks, Deploy, Followed};
use super::first::{self, First};
use super::uploads;
use super::{App, WatchMode, WatchedFile};
use mesh::membership::Releases;
use mesh::store::Store;
use mesh::transfer::Fetcher;

/// What these tasks need of the node.
pub(crate) struct Tasks {
    /// The IP of this node. Releases name canaries by it.
    pub(crate) ip: Ipv4Addr,
    /// The app file as it was given, and how it is watched; none if it is not
    /// watched.
    pub(crate) followed: Option<(PathBuf, WatchMode)>,
    pub(crate) first: First,
    pub(crate) crash_guard: Arc<CrashGuard>,
    pub(crate) store: Store,
    pub(crate) fetcher: Fetcher,
    pub(crate) releases: Releases,
}

impl App {
    /// Starts the tasks. They end when the set is dropped.
    pub(crate) fn start(self: &Arc<App>, tasks: Tasks) -> JoinSet<()> {
        let Tasks {
            ip,
            followed,
            first,
            crash_guard,
            store,
            fetcher,
            releases,
        } = tasks;
        let digest = first.file.as_ref().map(|file| file.component.digest());
        if let Some(file) = &first.file {
            self.report.file(file, None);
        }
        let deploy = Deploy {
            ip,
            app: self.clone(),
            store: store.clone(),
            fetcher,
            releases: releases.clone(),
            bake_checks: BakeChecks::new(self.rule),
            crash_guard,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(uploads::tidy(store.clone(), releases.clone(), digest));
        let (file, news) = (first.app_file(), first.news);
        tasks.spawn(make_serve(deploy, releases.clone(), file, news));
        if let Some(((given, mode), places)) = followed.zip(first.places) {
            tasks.spawn(deploy::follow(Followed {
                path: first::path_id(&given),
                // If the file could not be found, it may still appear.
                file: WatchedFile::watch(places, digest, mode)
                    .up_to(store.limits().component)
                    .compiling_ahead(self.loader.runtime().clone()),
                app: self.clone(),
                store,
                releases,
            }));
        }
        tasks
    }
}

/// Tells other nodes of the app file, and makes the target serve.
async fn make_serve(deploy: Deploy, releases: Releases, file: Option<AppFile>, news: bool) {
    let Some(file) = file else {
        return deploy.run().await;
    };
    let mut target = releases.target();
    target.mark_unchanged();
    // Membership logs the result.
    let mut asked = pin!(releases.file(file));
    if news {
        // The file serves already, and may be the target in a moment. Until then
        // nothing else may take its place.
        tokio::select! {
            _ = &mut asked => return deploy.run().await,
            _ = target.changed() => {}
        }
    }
    let _ = tokio::join!(asked, deploy.run());
}
