//! How this node gets a component from the members: a loop around [`Fetch`], which decides what
//! to ask which member for. Each chunk is checked before it is stored, and the whole component
//! is checked before it is returned.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cluster::fetch::{
    Answer, Chunks, Fetch, FetchError, FetchStep, HEAD_LEN, Holding, Want, split,
};
use cluster::release::{CHUNK as CHUNK_LEN, Component};
use cluster::{ComponentBytes, Counted, NodeName, Time, View};
use http::StatusCode;
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep_until;

use super::{CHUNK, MANIFEST};
use crate::control::routes::CHUNKS;
use crate::control::{CallError, Client, ReadError};
use crate::counts::Fetches;
use crate::store::{Download, Found, Store, StoreError};

/// Why a component was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It cannot be stored here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No member gave it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The node stops.
    #[error("the node stops")]
    Stopping,
}

/// Gets components from members. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher {
    members: watch::Receiver<Arc<View>>,
    client: Client,
    store: Store,
    fetches: Arc<Counted<Fetches>>,
}

impl Fetcher {
    /// Asks these members, and stores what they give in this store.
    pub fn new(members: watch::Receiver<Arc<View>>, client: Client, store: Store) -> Self {
        Self {
            members,
            client,
            store,
            fetches: Arc::default(),
        }
    }

    /// The counts of what went wrong so far.
    pub fn fetches(&self) -> Fetches {
        self.fetches.now()
    }

    /// Gets a component, or continues to, and reports on `progress` how many of how many bytes
    /// are there. If the future is dropped, the store keeps what came, and the next call
    /// continues from there.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn fetch(
        &self,
        app: &Component,
        progress: &watch::Sender<(u64, u64)>,
    ) -> Result<ComponentBytes, TransferError> {
        progress.send_replace((0, app.size));
        let most = self.store.limits().component;
        if app.size > most {
            let size = app.size;
            return Err(StoreError::TooLarge { size, most }.into());
        }
        let (store, wanted) = (self.store.clone(), *app);
        let begun = match blocking(move || store.find_any(&wanted)).await? {
            Found::Whole(component) => {
                progress.send_replace((app.size, app.size));
                return Ok(component);
            }
            Found::Begun(download) => Some(download),
            Found::Nothing => None,
        };
        let download = self.gather(app, begun, progress).await?;
        let full = download.clone();
        let component = blocking(move || full.component()).await?;
        // The node can already serve the component. The disk may be slow, and if the node dies
        // meanwhile, it fetches the component again.
        let stored = component.clone();
        drop(spawn_blocking(move || {
            if let Err(error) = download.finish(&stored) {
                tracing::warn!(
                    "{error}; after a restart this node gets the component from members"
                );
            }
        }));
        Ok(component)
    }

    /// Gets all missing chunks.
    async fn gather(
        &self,
        app: &Component,
        mut download: Option<Download>,
        progress: &watch::Sender<(u64, u64)>,
    ) -> Result<Download, TransferError> {
        let began = Instant::now();
        let now = || Time::from_start(began.elapsed());
        // Without randomness, members may be asked in the same order as other nodes ask them;
        // there is no other harm.
        let seed = SysRng.try_next_u64().unwrap_or(0);
        let have = download.as_ref().map_or(Chunks::none_of(app), chunks_of);
        let mut fetch = Fetch::new(now(), seed, have, download.is_some());
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
                FetchStep::Ask {
                    question,
                    member,
                    want,
                } => {
                    let ask = Ask {
                        question,
                        app: *app,
                        member,
                        want,
                        download: download.clone(),
                    };
                    asking.spawn(ask.run(self.client.clone(), self.store.clone()));
                    continue;
                }
                FetchStep::Wait(until) => began + until.since_start(),
                FetchStep::Done => break,
                FetchStep::Failed(error) => return Err(error.into()),
            };
            tokio::select! {
                Some(asked) = asking.join_next() => {
                    // If the task panicked, its time runs out and nobody waits for it.
                    let Ok((member, question, given)) = asked else { continue };
                    let (answer, begun) = given?;
                    download = download.or(begun);
                    self.answered(&mut fetch, now(), &member, question, answer, app);
                    let have = download.as_ref().map_or(0, Download::have_bytes);
                    progress.send_replace((have, app.size));
                }
                Ok(()) = members.changed() => members.mark_changed(),
                () = sleep_until(until.into()) => {}
            }
        }
        match download {
            Some(download) => Ok(download),
            // For a component without bytes there is nothing to ask.
            None => {
                let (store, app) = (self.store.clone(), *app);
                blocking(move || store.begin(&app, &Bytes::new())).await
            }
        }
    }

    /// Passes an answer on. A member that gave wrong bytes is counted and logged.
    fn answered(
        &self,
        fetch: &mut Fetch,
        now: Time,
        member: &NodeName,
        question: u64,
        answer: Answer,
        app: &Component,
    ) {
        let before = fetch.liars();
        fetch.answered(now, member, question, answer);
        if fetch.liars() > before {
            self.fetches.count(|fetches| fetches.wrong += 1);
            tracing::warn!(
                %member, component = %app.digest,
                "a member gave wrong bytes of a component: they were dropped, and it is not asked again",
            );
        }
    }

    /// Tells `Fetch` which members can be asked.
    fn tell(
        &self,
        fetch: &mut Fetch,
        view: &View,
        before: &[NodeName],
        app: &Component,
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
            let holding = match member.component() {
                Some(digest) if digest == app.digest => Holding::Whole,
                _ => Holding::Perhaps,
            };
            fetch.know(&member.name, holding);
        }
        others().map(|member| member.name.clone()).collect()
    }
}

fn chunks_of(download: &Download) -> Chunks {
    let mut chunks = Chunks::none_of(download.app());
    for index in (0..download.chunks()).filter(|&index| download.has(index)) {
        chunks.insert(index);
    }
    chunks
}

/// The result of a question: what [`Fetch`] is told, and the download if this answer began it.
type Given = Result<(Answer, Option<Download>), TransferError>;

/// One question to one member.
struct Ask {
    question: u64,
    app: Component,
    member: NodeName,
    want: Want,
    download: Option<Download>,
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
            Ok((StatusCode::OK, bytes)) => self.store(store, bytes).await,
            Ok((status @ StatusCode::NO_CONTENT, _)) => {
                tracing::debug!(member = %self.member, %status, "no part of a component was given");
                Ok((Answer::Nothing, None))
            }
            Ok((status @ StatusCode::SERVICE_UNAVAILABLE, _)) => {
                tracing::debug!(member = %self.member, %status, "no part of a component was given");
                Ok((Answer::Busy, None))
            }
            Err(CallError::Answer(ReadError::TooLong)) => Ok((Answer::Wrong, None)),
            Ok((status, _)) => {
                tracing::debug!(member = %self.member, %status, "no part of a component was given");
                Ok((Answer::Failed, None))
            }
            Err(error) => {
                tracing::debug!(member = %self.member, %error, "no part of a component was given");
                Ok((Answer::Failed, None))
            }
        };
        (self.member, self.question, given)
    }

    /// Checks and stores an answer.
    async fn store(&self, store: Store, bytes: Bytes) -> Given {
        let app = self.app;
        let stored = match (&self.want, &self.download) {
            (Want::Manifest, _) => blocking(move || store.begin(&app, &bytes))
                .await
                .map(|download| (Answer::Manifest, Some(download))),
            (Want::OneOf(_), Some(download)) => {
                let Some((index, chunk)) = split(bytes) else {
                    return Ok((Answer::Wrong, None));
                };
                let download = download.clone();
                blocking(move || download.store_chunk(index, &chunk))
                    .await
                    .map(|_| (Answer::Chunk(index), None))
            }
            // Chunks are asked for only after there is a manifest, and so a download.
            (Want::OneOf(_), None) => return Ok((Answer::Failed, None)),
        };
        match stored {
            // The member's bytes are wrong, not this node.
            Err(TransferError::Store(StoreError::Manifest(_) | StoreError::Chunk { .. })) => {
                Ok((Answer::Wrong, None))
            }
            stored => stored,
        }
    }
}

/// Runs a task that waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, TransferError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        // The task was never begun.
        Err(_) => Err(TransferError::Stopping),
    }
}
