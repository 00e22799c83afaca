//! What a node tells of its own app: what serves, what it is busy with, what
//! failed last. For `host status`, and for whoever follows a push.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster::Digest;
use cluster::release::{ReleaseId, Target};
use tokio::sync::watch;

use runtime::component::NamedComponent;
use runtime::generation::Generation;
use runtime::loader::Swapped;

/// What goes on with the app of a node.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Counts the changes of this, so that one who asks again can wait for news.
    pub revision: u64,
    /// What serves; none while nothing does.
    pub serving: Option<Serving>,
    /// What the node is about to serve; none while it is not busy with that.
    pub doing: Option<Doing>,
    /// What failed last, unless something newer is the target since.
    pub failed: Option<Failed>,
    /// How many generations were activated since the start.
    pub generations: u64,
    /// What the app file holds; none if there is none that could be read.
    pub file: Option<Digest>,
    /// Where that file was found.
    pub file_at: Option<PathBuf>,
    /// From when the change to that was seen, until it was read; none once it
    /// serves, or if the file has not changed since the start.
    pub file_read_in: Option<Duration>,
}

/// What serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The app.
    pub digest: Digest,
    /// The release; none if it was served before one was known.
    pub release: Option<ReleaseId>,
    /// Since when.
    pub since: SystemTime,
    /// What the app exports for requests.
    pub handler: &'static str,
    /// The size of the component, in bytes.
    pub size: usize,
    /// What the change to it took.
    pub steps: Steps,
    /// How long the one before took to drain, once it has.
    pub drained: Option<Duration>,
}

/// How long the steps of a change took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// From when a change of the app file was seen, until it was read.
    pub seen: Option<Duration>,
    /// Getting the app from members, in the attempt that succeeded; none if it was
    /// on this node.
    pub fetched: Option<Duration>,
    /// Until there was room for another generation.
    pub waited: Duration,
    /// The compiler, or the cache of compiled code.
    pub compiled: Duration,
    /// Linking, instantiating, checking.
    pub validated: Duration,
    /// The change itself.
    pub swapped: Duration,
}

/// What a node is busy with.
#[derive(Clone, Debug)]
pub struct Doing {
    /// The app.
    pub digest: Digest,
    /// The release; none if it is an app file that may become one.
    pub release: Option<ReleaseId>,
    /// How far it is.
    pub step: Step,
}

/// How far a node is with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It gets the app from other nodes.
    Fetching {
        /// Bytes that it has.
        have: u64,
        /// Bytes that there are.
        of: u64,
    },
    /// It waits until an earlier app has drained.
    WaitingForRoom,
    /// It compiles it and tries whether it works.
    Compiling,
    /// It tries again later.
    Waiting,
}

/// Something that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The app and release; none if it was an app file.
    pub release: Option<(ReleaseId, Digest)>,
    /// Why, in a sentence.
    pub reason: String,
    /// When.
    pub at: SystemTime,
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

    /// The target changed.
    pub(super) fn wanted(&self, target: &Target) {
        self.change(|now| {
            // What failed is shown until something newer is the target. What
            // serves instead of a release that failed is not.
            if target.id == target.head.id() {
                let other = |failed: &mut Failed| failed.release.is_none_or(|it| it.0 != target.id);
                drop(now.failed.take_if(other));
            }
            now.doing = None;
        });
    }

    pub(super) fn doing(&self, target: &Target, step: Step) {
        self.change(|now| {
            now.doing = Some(Doing {
                digest: target.digest,
                release: Some(target.id),
                step,
            });
        });
    }

    pub(super) fn doing_file(&self, digest: Digest, step: Step) {
        self.change(|now| {
            now.doing = Some(Doing {
                digest,
                release: None,
                step,
            });
        });
    }

    /// `force`: what failed; none for the app file. `again`: whether it is tried
    /// again.
    pub(super) fn failed(&self, target: Option<&Target>, reason: String, again: bool) {
        self.change(|now| {
            now.failed = Some(Failed {
                release: target.map(|target| (target.id, target.digest)),
                reason,
                at: SystemTime::now(),
            });
            now.doing = target.filter(|_| again).map(|target| Doing {
                digest: target.digest,
                release: Some(target.id),
                step: Step::Waiting,
            });
        });
    }

    /// What the app file holds now, and how long it took to read it, if it has
    /// changed.
    pub(crate) fn file(&self, app: &NamedComponent, read_in: Option<Duration>) {
        self.change(|now| {
            (now.file, now.file_read_in) = (Some(app.component.digest()), read_in);
            now.file_at = Some(app.path.clone());
        });
    }

    /// The node is not busy with the app file any more: it is not to serve.
    pub(super) fn idle(&self) {
        self.change(|now| {
            let of_file = |doing: &mut Doing| doing.release.is_none();
            let _ = now.doing.take_if(of_file);
        });
    }

    /// What serves already is the target as this release.
    pub(super) fn serves(&self, id: ReleaseId, digest: Digest) {
        self.change(|now| {
            now.doing = None;
            if let Some(serving) = now.serving.as_mut().filter(|it| it.digest == digest) {
                serving.release = Some(id);
            }
        });
    }

    /// The first app, before anything was agreed on.
    pub(crate) fn started(&self, generation: &Generation, swapped: &Swapped) {
        self.change(|now| now.activate(None, generation, swapped, None));
    }

    /// `fetched`: how long it took to get the app, if it came from members.
    pub(super) fn activated(
        &self,
        target: &Target,
        generation: &Generation,
        swapped: &Swapped,
        fetched: Option<Duration>,
    ) {
        self.change(|now| now.activate(Some(target.id), generation, swapped, fetched));
    }

    /// The generation before is freed.
    pub(super) fn drained(&self, took: Duration) {
        self.change(|now| {
            if let Some(serving) = &mut now.serving {
                serving.drained = Some(took);
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
        self.doing = None;
        let is_file = self.file == Some(generation.digest);
        let seen = self.file_read_in.take_if(|_| is_file);
        self.serving = Some(Serving {
            digest: generation.digest,
            release,
            since: SystemTime::now(),
            handler: generation.kind.name(),
            size: generation.size,
            steps: Steps {
                seen,
                fetched,
                waited: it.waited,
                compiled: it.compiled,
                validated: it.validated,
                swapped: it.swapped,
            },
            drained: None,
        });
    }
}
