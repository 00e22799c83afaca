//! What a node reports of its own app, in the terms of the API: what serves, what the
//! node is busy with, what failed last. `host status` shows it, and tools that follow
//! a push.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster::Digest;
use cluster::release::{ReleaseId, Target};
use tokio::sync::watch;

use crate::api::describe::{self, now_ms};
use crate::api::types::{Doing, Failed, ServingStatus, Step, Steps};
use runtime::component::NamedComponent;
use runtime::generation::Generation;
use runtime::loader::Swapped;

/// The state of the app of a node.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Counts the changes, so that a caller can wait for news.
    pub revision: u64,
    /// What serves; none if nothing does. How many exchanges are on it is not told here.
    pub serving: Option<ServingStatus>,
    /// What the node is about to serve; none if it is not busy with that.
    pub doing: Option<Doing>,
    /// What failed last; none once something newer is the target.
    pub failed: Option<Failed>,
    /// How many generations were activated since the node started.
    pub generations: u64,
    /// The digest of the app file; none if no file could be read.
    pub file: Option<Digest>,
    /// Where the app file was found.
    pub file_at: Option<PathBuf>,
    /// How long it took from when the change was seen until the file was read.
    /// None once the file serves, or if it has not changed since the start.
    pub file_read_in: Option<Duration>,
}

/// Writes the [`Deployment`]. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(watch::Sender<Arc<Deployment>>);

impl Reporter {
    pub(crate) fn new() -> Reporter {
        Reporter(watch::Sender::new(Arc::default()))
    }

    /// Follows what is reported.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Deployment>> {
        self.0.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Deployment)) {
        self.0.send_modify(|now| {
            let now = Arc::make_mut(now);
            change(now);
            now.revision += 1;
        });
    }

    /// The target has changed.
    pub(super) fn wanted(&self, target: &Target) {
        self.change(|now| {
            // A failure is shown until something newer is the target. What serves
            // in place of a release that failed is not newer.
            if target.id == target.head.id() {
                let id = Some(describe::id(&target.id));
                drop(now.failed.take_if(|failed| failed.release != id));
            }
            now.over();
        });
    }

    pub(super) fn doing(&self, target: &Target, step: Step) {
        self.change(|now| now.doing = Some(doing(target.digest, Some(target.id), step)));
    }

    /// `have`: how many bytes were fetched, `of` so many.
    pub(super) fn fetching(&self, target: &Target, have: u64, of: u64) {
        self.change(|now| {
            now.doing = Some(Doing {
                have: Some(have),
                of: Some(of),
                ..doing(target.digest, Some(target.id), Step::Fetching)
            });
        });
    }

    pub(super) fn doing_file(&self, digest: Digest, step: Step) {
        self.change(|now| now.doing = Some(doing(digest, None, step)));
    }

    /// `target`: what failed; none for the app file. `again`: whether the node
    /// tries again.
    pub(super) fn failed(&self, target: Option<&Target>, reason: String, again: bool) {
        self.change(|now| {
            now.failed = Some(Failed {
                at_ms: now_ms(),
                reason,
                digest: target.map(|target| target.digest.to_string()),
                release: target.map(|target| describe::id(&target.id)),
                again,
            });
            now.doing = target
                .filter(|_| again)
                .map(|target| doing(target.digest, Some(target.id), Step::TryingAgain));
        });
    }

    /// What the app file holds now. If it has changed, also how long it took to
    /// read it.
    pub(crate) fn file(&self, app: &NamedComponent, read_in: Option<Duration>) {
        self.change(|now| {
            (now.file, now.file_read_in) = (Some(app.component.digest()), read_in);
            now.file_at = Some(app.path.clone());
        });
    }

    /// The node is not busy with the app file any more, because the file will not
    /// serve.
    pub(super) fn idle(&self) {
        self.change(|now| {
            let of_file = |doing: &mut Doing| doing.release.is_none();
            let _ = now.doing.take_if(of_file);
            if let Some(failed) = now.failed.as_mut().filter(|it| it.release.is_none()) {
                failed.again = false;
            }
        });
    }

    /// What serves already is the target, as this release.
    pub(super) fn serves(&self, id: ReleaseId, digest: Digest) {
        self.change(|now| {
            now.over();
            let digest = digest.to_string();
            if let Some(serving) = now.serving.as_mut().filter(|it| it.digest == digest) {
                serving.release = Some(describe::id(&id));
            }
        });
    }

    /// The first component serves, before anything was agreed on.
    pub(crate) fn started(&self, generation: &Generation, swapped: &Swapped) {
        self.change(|now| now.activate(None, generation, swapped, None));
    }

    /// `fetched`: how long it took to fetch the component, if it came from
    /// members.
    pub(super) fn activated(
        &self,
        target: &Target,
        generation: &Generation,
        swapped: &Swapped,
        fetched: Option<Duration>,
    ) {
        self.change(|now| now.activate(Some(target.id), generation, swapped, fetched));
    }

    /// What serves bakes until this time; none once that is over.
    pub(super) fn bakes(&self, digest: Digest, until: Option<SystemTime>) {
        self.change(|now| {
            let digest = digest.to_string();
            if let Some(serving) = now.serving.as_mut().filter(|it| it.digest == digest) {
                serving.bakes_until_ms = until.map(describe::since_1970);
            }
        });
    }

    /// The generation before is freed.
    pub(super) fn drained(&self, took: Duration) {
        self.change(|now| {
            if let Some(serving) = &mut now.serving {
                serving.steps.drained_us = Some(us(took));
            }
        });
    }
}

impl Deployment {
    fn activate(
        &mut self,
        release: Option<ReleaseId>,
        generation: &Generation,
        it: &Swapped,
        fetched: Option<Duration>,
    ) {
        self.generations += 1;
        self.over();
        let is_file = self.file == Some(generation.digest);
        let seen = self.file_read_in.take_if(|_| is_file);
        self.serving = Some(ServingStatus {
            digest: generation.digest.to_string(),
            release: release.as_ref().map(describe::id),
            size: generation.size as u64,
            since_ms: now_ms(),
            handler: generation.kind.name().to_owned(),
            generation: self.generations,
            live: 0,
            bakes_until_ms: None,
            steps: Steps {
                seen_us: seen.map(us),
                fetched_us: fetched.map(us),
                waited_us: us(it.waited),
                compiled_us: us(it.compiled),
                validated_us: us(it.validated),
                swapped_us: us(it.swapped),
                drained_us: None,
            },
        });
    }

    /// The node is not busy any more.
    fn over(&mut self) {
        self.doing = None;
        if let Some(failed) = &mut self.failed {
            failed.again = false;
        }
    }
}

fn doing(digest: Digest, release: Option<ReleaseId>, step: Step) -> Doing {
    Doing {
        step,
        digest: digest.to_string(),
        release: release.as_ref().map(describe::id),
        have: None,
        of: None,
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
