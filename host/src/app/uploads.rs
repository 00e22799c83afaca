//! Keeps the store free of uploads that came to nothing: at the start those that an earlier
//! run of the node has left, and then those that nobody releases.

use std::sync::Arc;
use std::time::Duration;

use cluster::Digest;
use mesh::membership::{Overview, Releases};
use mesh::store::Store;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// How long an upload is kept that nobody releases: enough for a person to sign a record.
const UNRELEASED: Duration = Duration::from_secs(10 * 60);
/// How often uploads are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until the node stops. `file` is the component of the app file.
pub(super) async fn tidy(store: Store, releases: Releases, file: Option<Digest>) {
    let overview = releases.overview();
    let known = released(&overview.borrow());
    // A node that knows of no release may have lost them. Then nothing is known to be
    // superfluous.
    if !known.is_empty() {
        let except: Vec<Digest> = known.into_iter().chain(file).collect();
        change(&store, move |store| store.forget_earlier(&except)).await;
    }
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let known = released(&overview.borrow());
        change(&store, move |store| {
            store.settle_uploads(&known, UNRELEASED)
        })
        .await;
    }
}

fn released(overview: &Arc<Overview>) -> Vec<Digest> {
    let releases = overview.releases.iter();
    releases.map(|it| it.release.component().digest).collect()
}

async fn change<E>(store: &Store, change: impl FnOnce(&Store) -> Result<usize, E> + Send + 'static)
where
    E: std::fmt::Display + Send + 'static,
{
    let store = store.clone();
    match spawn_blocking(move || change(&store)).await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(count)) => tracing::info!("removed {count} components that were never released"),
        Ok(Err(error)) => {
            tracing::warn!("components that nobody released are not removed: {error}")
        }
    }
}
