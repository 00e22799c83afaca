//! What a node reports of its own app: what serves, what the node is busy with,
//! what failed last. `host status` shows it, and tools that follow a push.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster::Digest;
use cluster::release::{ReleaseId, Target};
use tokio::sync::watch;

use runtime::component::NamedComponent;
use runtime::generation::Generation;
use runtime::loader::Swapped;

/// The state of the app of a node.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Counts the changes, so that a caller can wait for news.
    pub revision: u64,
    /// What serves; none if nothing does.
    pub serving: Option<Serving>,
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

/// What serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The digest of the component.
    pub digest: Digest,
    /// The release; none if the component served before a release was known.
    pub release: Option<ReleaseId>,
    /// Since when.
    pub since: SystemTime,
    /// What the app exports for requests.
    pub handler: &'static str,
    /// The size of the component, in bytes.
    pub size: usize,
    /// How long the steps of the change took.
    pub steps: Steps,
    /// How long the generation before took to drain, once it has.
    pub drained: Option<Duration>,
}

/// How long the steps of a change took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// From when the change of the app file was seen until the file was read.
    pub seen: Option<Duration>,
    /// Fetching the component from members, in the attempt that succeeded; none if
    /// it was on this node.
    pub fetched: Option<Duration>,
    /// Waiting for room for another generation.
    pub waited: Duration,
    /// The compiler, or the cache of compiled code.
    pub compiled: Duration,
    /// Linking, instantiating, checking.
    pub validated: Duration,
    /// Putting the generation in.
    pub swapped: Duration,
}

/// What a node is busy with.
#[derive(Clone, Debug)]
pub struct Doing {
    /// The digest of the component.
    pub digest: Digest,
    /// The release; none if it is an app file that may become one.
    pub release: Option<ReleaseId>,
    /// How far the node is.
    pub step: Step,
}

/// How far a node is with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It fetches the component from other nodes.
    Fetching {
        /// How many bytes it has.
        have: u64,
        /// How many bytes there are.
        of: u64,
    },
    /// It waits until an earlier generation has drained.
    WaitingForRoom,
    /// It compiles the component and tries whether it works.
    Compiling,
    /// It tries again later.
    Waiting,
}

/// Something that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The release and its component; none if it was an app file.
    pub release: Option<(ReleaseId, Digest)>,
    /// Why, in a sentence.
    pub reason: String,
    /// When it failed.
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

    /// The target has changed.
    pub(super) fn wanted(&self, target: &Target) {
        self.change(|now| {
            // A failure is shown until something newer is the target. What serves
            // in place of a release that failed is not newer.
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

    /// `target`: what failed; none for the app file. `again`: whether the node
    /// tries again.
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
        });
    }

    /// What serves already is the target, as this release.
    pub(super) fn serves(&self, id: ReleaseId, digest: Digest) {
        self.change(|now| {
            now.doing = None;
            if let Some(serving) = now.serving.as_mut().filter(|it| it.digest == digest) {
                serving.release = Some(id);
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
