//! How this node gets an app from the members: a loop around [`Fetch`], which
//! says whom to ask for what. Each chunk is checked before it is kept and the
//! whole before it is given, and what was kept is there after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use cluster::fetch::{Answer, Chunks, Fetch, FetchError, HEAD_LEN, Holding, Step, Want, split};
use cluster::release::{App, CHUNK as CHUNK_LEN};
use cluster::{NodeName, Time, View};
use http::StatusCode;
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep_until;

use super::{CHUNK, MANIFEST};
use crate::control::routes::CHUNKS;
use crate::control::{CallError, Client, ReadError};
use crate::store::{Held, Partial, Store, StoreError};

/// Why an app did not come.
#[derive(Debug, thiserror::Error)]
pub enum SpreadError {
    /// It cannot be kept here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No member has given it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The node stops.
    #[error("the node stops")]
    Stopping,
}

/// Gets apps from members. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher {
    members: watch::Receiver<Arc<View>>,
    client: Client,
    store: Store,
    wrong: Arc<AtomicU64>,
}

impl Fetcher {
    /// Asks these members, and keeps what they give in this store.
    pub fn new(members: watch::Receiver<Arc<View>>, client: Client, store: Store) -> Self {
        Self {
            members,
            client,
            store,
            wrong: Arc::default(),
        }
    }

    /// How often a member gave bytes that were not what was asked for.
    pub fn wrong(&self) -> u64 {
        self.wrong.load(Relaxed)
    }

    /// Gets an app, or goes on getting it, and says on `progress` how many of
    /// how many bytes there are. If this is dropped, what came is kept, and the
    /// next call goes on from there.
    ///
    /// # Errors
    /// [`SpreadError`].
    pub async fn fetch(
        &self,
        app: &App,
        progress: &watch::Sender<(u64, u64)>,
    ) -> Result<Bytes, SpreadError> {
        progress.send_replace((0, app.size));
        let most = self.store.limits().app;
        if app.size > most {
            let size = app.size;
            return Err(StoreError::TooLarge { size, most }.into());
        }
        let (store, wanted) = (self.store.clone(), *app);
        let begun = match blocking(move || store.held(&wanted)).await? {
            Held::Whole(content) => {
                progress.send_replace((app.size, app.size));
                return Ok(content);
            }
            Held::Begun(partial) => Some(partial),
            Held::Nothing => None,
        };
        let partial = self.gather(app, begun, progress).await?;
        let whole = partial.clone();
        let content = blocking(move || partial.content()).await?;
        // It can serve already. A disk may take its time, and if the node dies
        // meanwhile, the chunks are there or can be had again.
        drop(spawn_blocking(move || {
            if let Err(error) = whole.finish() {
                tracing::warn!("{error}; after a restart this node gets the app from members");
            }
        }));
        Ok(content)
    }

    /// Gets all the chunks that are missing.
    async fn gather(
        &self,
        app: &App,
        mut partial: Option<Partial>,
        progress: &watch::Sender<(u64, u64)>,
    ) -> Result<Partial, SpreadError> {
        let began = Instant::now();
        let now = || Time::from_start(began.elapsed());
        // Without randomness members are asked in an order that others may
        // have too, and that is all.
        let seed = SysRng.try_next_u64().unwrap_or(0);
        let have = partial.as_ref().map_or(Chunks::none_of(app), chunks_of);
        let mut fetch = Fetch::new(now(), seed, have, partial.is_some());
        let mut members = self.members.clone();
        let mut known = Vec::new();
        let mut asking = JoinSet::new();
        members.mark_changed();
        loop {
            if members.has_changed().unwrap_or(false) {
                let view = members.borrow_and_update().clone();
                known = self.tell(&mut fetch, &view, &known, app);
            }
            let until = match fetch.next(now()) {
                Step::Ask {
                    question,
                    member,
                    want,
                } => {
                    let ask = Ask {
                        question,
                        app: *app,
                        member,
                        want,
                        partial: partial.clone(),
                    };
                    asking.spawn(ask.run(self.client.clone(), self.store.clone()));
                    continue;
                }
                Step::Wait(until) => began + until.since_start(),
                Step::Done => break,
                Step::Failed(error) => return Err(error.into()),
            };
            tokio::select! {
                Some(asked) = asking.join_next() => {
                    // One that panicked is waited for by nobody once its time
                    // is over.
                    let Ok((member, question, given)) = asked else { continue };
                    let (answer, begun) = given?;
                    partial = partial.or(begun);
                    let before = fetch.liars();
                    fetch.answered(now(), &member, question, answer);
                    if fetch.liars() > before {
                        self.wrong.fetch_add(1, Relaxed);
                        tracing::warn!(
                            %member, app = %app.digest,
                            "a member gave wrong bytes of an app: they were dropped, and it is not asked again",
                        );
                    }
                    let have = partial.as_ref().map_or(0, Partial::have_bytes);
                    progress.send_replace((have, app.size));
                }
                Ok(()) = members.changed() => members.mark_changed(),
                () = sleep_until(until.into()) => {}
            }
        }
        match partial {
            Some(partial) => Ok(partial),
            // Of an app without a byte there is nothing to ask for.
            None => {
                let (store, app) = (self.store.clone(), *app);
                blocking(move || store.partial(&app, &Bytes::new())).await
            }
        }
    }

    /// Says who there is to ask.
    fn tell(
        &self,
        fetch: &mut Fetch,
        view: &View,
        before: &[NodeName],
        app: &App,
    ) -> Vec<NodeName> {
        let others = || {
            view.members
                .iter()
                .filter(|it| it.name != *self.client.me())
        };
        for gone in before {
            if !others().any(|member| member.name == *gone) {
                fetch.forget(gone);
            }
        }
        for member in others() {
            let holding = match member.serving {
                Some(digest) if digest == app.digest => Holding::Whole,
                _ => Holding::Perhaps,
            };
            fetch.know(&member.name, holding);
        }
        others().map(|member| member.name.clone()).collect()
    }
}

fn chunks_of(partial: &Partial) -> Chunks {
    let mut chunks = Chunks::none_of(partial.app());
    for index in (0..partial.chunks()).filter(|&index| partial.has(index)) {
        chunks.insert(index);
    }
    chunks
}

/// What became of a question: what [`Fetch`] is told, and the download if this
/// was the answer that began it.
type Given = Result<(Answer, Option<Partial>), SpreadError>;

/// One question to one member.
struct Ask {
    question: u64,
    app: App,
    member: NodeName,
    want: Want,
    partial: Option<Partial>,
}

impl Ask {
    async fn run(self, client: Client, store: Store) -> (NodeName, u64, Given) {
        let (what, message, max) = match &self.want {
            Want::Manifest => (MANIFEST, Bytes::new(), self.app.chunks() * 32),
            Want::OneOf(chunks) => {
                let wanted = Bytes::copy_from_slice(chunks.as_bytes());
                (CHUNK, wanted, HEAD_LEN + CHUNK_LEN)
            }
        };
        let path = format!("{}{}/{what}", CHUNKS.path, self.app.digest);
        let at = client.at(&self.member);
        let asked = client
            .request(&self.member, at, &path, message, max, CHUNKS.within)
            .await;
        let given = match asked {
            Ok((StatusCode::OK, bytes)) => self.keep(store, bytes).await,
            Ok((status @ StatusCode::NO_CONTENT, _)) => {
                tracing::debug!(member = %self.member, %status, "no part of an app was given");
                Ok((Answer::Nothing, None))
            }
            Ok((status @ StatusCode::SERVICE_UNAVAILABLE, _)) => {
                tracing::debug!(member = %self.member, %status, "no part of an app was given");
                Ok((Answer::Busy, None))
            }
            Err(CallError::Answer(ReadError::TooLong)) => Ok((Answer::Wrong, None)),
            Ok((status, _)) => {
                tracing::debug!(member = %self.member, %status, "no part of an app was given");
                Ok((Answer::Failed, None))
            }
            Err(error) => {
                tracing::debug!(member = %self.member, %error, "no part of an app was given");
                Ok((Answer::Failed, None))
            }
        };
        (self.member, self.question, given)
    }

    /// Checks and keeps what came.
    async fn keep(&self, store: Store, bytes: Bytes) -> Given {
        let app = self.app;
        let kept = match (&self.want, &self.partial) {
            (Want::Manifest, _) => blocking(move || store.partial(&app, &bytes))
                .await
                .map(|partial| (Answer::Manifest, Some(partial))),
            (Want::OneOf(_), Some(partial)) => {
                let Some((index, chunk)) = split(bytes) else {
                    return Ok((Answer::Wrong, None));
                };
                let partial = partial.clone();
                blocking(move || partial.put_chunk(index, &chunk))
                    .await
                    .map(|_| (Answer::Chunk(index), None))
            }
            // Chunks are asked for once there is a manifest, and so a download.
            (Want::OneOf(_), None) => return Ok((Answer::Failed, None)),
        };
        match kept {
            // It is what the member gave that is wrong, and not this node.
            Err(SpreadError::Store(StoreError::Manifest(_) | StoreError::Chunk { .. })) => {
                Ok((Answer::Wrong, None))
            }
            kept => kept,
        }
    }
}

/// Runs what waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, SpreadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        // It was never begun.
        Err(_) => Err(SpreadError::Stopping),
    }
}
