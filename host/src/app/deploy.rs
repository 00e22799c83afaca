//! From what the cluster has agreed on to what this node serves.
//!
//! ```text
//! target -> candidate | store | members -> Loader -> slot -> told to members
//! ```
//!
//! One task, [`Deploy`], makes the target serve. If something fails, what serves
//! does not change, and the log and [`Deployment`] show the reason. If the fault
//! is the app's, this node votes against the release. If the cause is on this
//! machine, such as a full disk, the node tries again, and this says nothing
//! about the app. If a component is larger than this node takes, the node does
//! not try again; a canary votes against the release.

mod bake_checks;
mod candidate;
mod file;
mod status;
mod streams;
mod trouble;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cluster::release::{ReleaseKind, Target, Verdict};
use cluster::{ComponentBytes, Digest, NodeId};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::api::types::Step;
use crate::app::App;
use crate::app::bake::{BakeOutcome, BakeTask};
use crate::app::crash_loop::CrashGuard;
use crate::app::retry::Retry;
use cluster::short;
use mesh::membership::Releases;
use mesh::store::Store;
use mesh::transfer::Fetcher;
use runtime::component::NamedComponent;
use runtime::generation::DrainingGeneration;
use runtime::loader::{Prepared, Preparing, Swapped};

pub(crate) use bake_checks::BakeChecks;
pub(crate) use candidate::Candidate;
pub(crate) use file::{Followed, follow};
pub use status::Deployment;
pub(crate) use status::Reporter;
use trouble::Trouble;

/// Makes the target serve.
pub(crate) struct Deploy {
    /// The IP of this node. Releases name canaries by it.
    pub(crate) ip: Ipv4Addr,
    pub(crate) app: Arc<App>,
    pub(crate) store: Store,
    pub(crate) fetcher: Fetcher,
    pub(crate) releases: Releases,
    pub(crate) bake_checks: BakeChecks,
    pub(crate) crash_guard: Arc<CrashGuard>,
}

impl Deploy {
    /// Runs until membership ends. May be dropped at any time.
    pub(crate) async fn run(mut self) {
        let mut targets = self.releases.target();
        loop {
            let target = targets.borrow_and_update().clone();
            tokio::select! {
                changed = targets.changed() => if changed.is_err() {
                    return;
                },
                () = self.obey(target) => {}
            }
        }
    }

    /// Makes this target serve. It never returns: it is dropped when the target
    /// changes.
    async fn obey(&mut self, target: Option<Target>) {
        if let Some(target) = target {
            self.app.candidate.keep_only(target.digest);
            self.app.report.wanted(&target);
            if self.bring_at_last(&target).await {
                // The check begins at once, because the disk may be slow.
                let outcome = self.try_out(&target);
                tokio::join!(
                    self.vote_when_baked(&target, outcome),
                    self.tidy(target.digest)
                );
            }
        }
        std::future::pending().await
    }

    /// Begins to check how what serves does.
    fn try_out(&mut self, target: &Target) -> impl Future<Output = BakeOutcome> + use<> {
        let stats = self.app.loader.current().map(|serves| serves.stats.clone());
        let bake = stats.map(|stats| self.bake_checks.of(target, stats));
        if let Some(bake) = bake {
            let left = bake
                .until()
                .saturating_duration_since(tokio::time::Instant::now());
            let until = (!left.is_zero()).then(|| SystemTime::now() + left);
            self.app.report.bakes(target.digest, until);
        }
        let outcome = bake.map(BakeTask::outcome);
        async move {
            match outcome {
                Some(outcome) => outcome.await,
                // Nothing serves, so there is nothing to check.
                None => std::future::pending().await,
            }
        }
    }

    /// Votes on the release once the outcome is known.
    async fn vote_when_baked(&self, target: &Target, outcome: impl Future<Output = BakeOutcome>) {
        let id = target.id;
        let outcome = outcome.await;
        self.app.report.bakes(target.digest, None);
        let verdict = match outcome {
            BakeOutcome::Sound => Verdict::Ok,
            BakeOutcome::Failed(reason) => {
                tracing::error!(
                    release = %id,
                    digest = short(&target.digest.to_string()),
                    "{reason}; {}",
                    consequence(target),
                );
                self.app
                    .report
                    .failed(Some(target), reason.to_string(), false);
                Verdict::Failed
            }
        };
        // This fails only if the node stops.
        let _ = self.releases.vote(id, verdict).await;
    }

    /// Makes the target serve, with as many attempts as it takes. False if no
    /// attempt can succeed.
    async fn bring_at_last(&self, target: &Target) -> bool {
        let mut retry = Retry::new();
        let mut tries_states = streams::may_refuse(target);
        loop {
            if let Some(serves) = self
                .app
                .loader
                .current()
                .filter(|it| it.digest == target.digest)
            {
                serves.serve_as(target.id);
                self.releases.serves(serves.serving());
                self.app.report.serves(target.id, target.digest);
                self.crash_guard.serves(target.digest, target.id);
                return true;
            }
            let trouble = match self.bring(target, tries_states).await {
                Ok(swapped) => {
                    self.swapped(target, &swapped);
                    return true;
                }
                Err(trouble) => trouble,
            };
            if let Trouble::Streams(unreadable) = &trouble {
                self.streams_refused(target, unreadable).await;
                tries_states = false;
                continue;
            }
            let digest = short(&target.digest.to_string()).to_owned();
            let again = !matches!(
                trouble,
                Trouble::Refused(_) | Trouble::TooLarge(_) | Trouble::KillsProcess
            );
            self.app
                .report
                .failed(Some(target), trouble.to_string(), again);
            if again {
                self.crash_guard.rests(target.digest);
                let wait = retry.wait();
                tracing::warn!(
                    release = %target.id,
                    digest,
                    again_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    "cannot serve the release yet: {trouble}",
                );
                sleep(wait).await;
                continue;
            }
            self.crash_guard.over(target.digest);
            // The limit of this node says nothing about the limits of others.
            let is_apps = matches!(trouble, Trouble::Refused(_) | Trouble::KillsProcess);
            let speaks_against = is_apps || is_canary_of(target, self.ip);
            let follows = match speaks_against {
                true => consequence(target),
                false => "the other nodes go on without this one",
            };
            tracing::error!(
                release = %target.id,
                digest,
                "{trouble}; what serves goes on serving, and {follows}",
            );
            if speaks_against {
                // This fails only if the node stops.
                let _ = self.releases.vote(target.id, Verdict::Failed).await;
            }
            return false;
        }
    }

    /// Makes one attempt. `tries_states`: only if it can take over open streams.
    async fn bring(&self, target: &Target, tries_states: bool) -> Result<Swapped, Trouble> {
        let guard = &self.crash_guard;
        if guard.has_given_up(target.digest, Some(target.id)) {
            return Err(Trouble::KillsProcess);
        }
        // Somebody else may load the same component. Then that one has the only
        // room, and offers the component later. So the node waits for the offer
        // at the same time.
        let (ready, fetched) = tokio::select! {
            biased;
            ready = self.app.candidate.wait_for(target.digest) => (ready, None),
            loaded = self.load(target) => loaded?,
        };
        let generation = ready.generation().clone();
        if tries_states {
            self.app.exchanges.try_states(&generation).await?;
        }
        guard.begin(target.digest, Some(target.id));
        generation.serve_as(target.id);
        let swapped = ready.activate();
        guard.settle_in_a_minute();
        self.releases.serves(generation.serving());
        self.app
            .report
            .activated(target, &generation, &swapped, fetched);
        Ok(swapped)
    }

    /// Gets the component and loads it. Returns how long it took to fetch it, if
    /// it came from members.
    async fn load(&self, target: &Target) -> Result<(Prepared, Option<Duration>), Trouble> {
        // What drains is in memory, whatever happened to its file.
        if let Some(ready) = self.app.loader.back(target.digest).await {
            return Ok((ready, None));
        }
        let (component, fetched) = self.obtain(target).await?;
        let app = NamedComponent {
            path: PathBuf::from(format!("release {}", target.id)),
            component,
        };
        let tell = |what| {
            let step = match what {
                Preparing::WaitingForRoom => Step::WaitingForRoom,
                Preparing::Compiling => Step::Compiling,
                Preparing::TryingOut => {
                    self.crash_guard.begin(target.digest, Some(target.id));
                    Step::Compiling
                }
            };
            self.app.report.doing(target, step);
        };
        let ready = self.app.loader.prepare_telling(app, tell).await?;
        Ok((ready, fetched))
    }

    /// Gets the component from the store, or from a member. Returns how long
    /// fetching took.
    async fn obtain(&self, target: &Target) -> Result<(ComponentBytes, Option<Duration>), Trouble> {
        let (store, digest) = (self.store.clone(), target.digest);
        let found = spawn_blocking(move || store.find(&digest)).await;
        if let Some(component) = found.map_err(|_| Trouble::Stopping)?? {
            return Ok((component, None));
        }
        let began = Instant::now();
        let Some(release) = &target.release else {
            return Err(Trouble::NoRecord);
        };
        let app = release.component();
        let (progress, mut told) = watch::channel((0, app.size));
        let mut fetch = pin!(self.fetcher.fetch(&app, &progress));
        loop {
            let (have, of) = *told.borrow_and_update();
            self.app.report.fetching(target, have, of);
            tokio::select! {
                fetched = &mut fetch => return Ok((fetched?, Some(began.elapsed()))),
                // The sender is here, so it is not dropped.
                _ = told.changed() => {}
            }
        }
    }

    fn swapped(&self, target: &Target, swapped: &Swapped) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            release = %target.id,
            digest = short(&swapped.digest.to_string()),
            waited_ms = ms(swapped.waited),
            compiled_ms = ms(swapped.compiled),
            validated_ms = ms(swapped.validated),
            swapped_us = u64::try_from(swapped.swapped.as_micros()).unwrap_or(u64::MAX),
            "the app changed",
        );
        if let Some(draining) = swapped.draining.clone() {
            tokio::spawn(tell_end(draining, self.app.report.clone()));
        }
    }

    /// Removes components that nobody will go back to. Those that serve or drain
    /// stay, and the last two that were released.
    async fn tidy(&self, target: Digest) {
        let mut keep: Vec<Digest> = self.app.serving().into_iter().collect();
        keep.extend(self.app.loader.draining());
        let overview = self.releases.overview().borrow().clone();
        let released = overview
            .releases
            .iter()
            .map(|it| it.release.component().digest);
        // The list may not have the target yet.
        let mut last = vec![target];
        for digest in released {
            if last.len() < 2 && !last.contains(&digest) {
                last.push(digest);
            }
        }
        keep.extend(last);
        let store = self.store.clone();
        if let Ok(Err(error)) = spawn_blocking(move || store.collect(&keep)).await {
            tracing::warn!("old apps are not removed: {error}");
        }
    }
}

/// Whether this node is a canary of the release.
fn is_canary_of(target: &Target, ip: Ipv4Addr) -> bool {
    let release = target.release.as_ref();
    release.is_some_and(|release| release.plan().has_canary(NodeId::of(ip)))
}

/// What follows if a release fails here. The core takes no vote on a first
/// release, nor on a rollback, which a person decided.
fn consequence(target: &Target) -> &'static str {
    let is_voted_on = target
        .release
        .as_ref()
        .is_some_and(|release| release.kind() == ReleaseKind::Push && release.parent().is_some());
    if is_voted_on {
        "this node votes against the release"
    } else {
        "a first release or a rollback is not voted on: push another app, or go back with `host rollback`"
    }
}

/// Logs what became of the exchanges of old code, once that code is freed. Logs
/// nothing if the code comes back before that.
async fn tell_end(draining: DrainingGeneration, report: Reporter) {
    if !draining.signals.drained().await {
        return;
    }
    let stats = &draining.stats;
    report.drained(draining.since.elapsed());
    tracing::info!(
        digest = short(&draining.digest.to_string()),
        migrated = stats.left().migrated,
        refused = stats.left().refused,
        cut = stats.left().cut,
        drained_ms = u64::try_from(draining.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        "the app before is gone",
    );
}
