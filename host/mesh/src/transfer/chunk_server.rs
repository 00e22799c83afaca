//! Gives members chunks of the components that this node has.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cluster::Digest;
use cluster::fetch::{Chunks, UPLOADS, head};
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rand::rngs::{StdRng, SysRng};
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, TryRng as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{CHUNK, MANIFEST};
use crate::control;
use crate::control::routes::CHUNKS;
use crate::control::{Body, EXCHANGE};
use crate::store::{Store, StoreError};

/// How many bytes are handed to a connection at a time, so that a slot stays taken for as long
/// as the member reads.
const PIECE: usize = 64 * 1024;

/// Gives chunks to members, as many at a time as there are slots. Cheap to clone; all clones
/// share the slots.
#[derive(Clone, Debug)]
pub struct ChunkServer {
    store: Store,
    slots: Arc<Semaphore>,
}

/// What a member can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Manifest,
    Chunk,
}

impl ChunkServer {
    /// Gives what is in the store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            slots: Arc::new(Semaphore::new(UPLOADS)),
        }
    }

    /// Answers a member's request for a path below [`CHUNKS`].
    pub async fn answer(&self, path: &str, body: Incoming) -> Response<Body> {
        let Some((digest, asked)) = parse(path) else {
            return control::refusal(StatusCode::NOT_FOUND, "no component is asked for like this");
        };
        let wanted = match control::read(body, CHUNKS.message_max, EXCHANGE).await {
            Ok(wanted) => wanted,
            Err(error) => return error.refusal(),
        };
        self.give(digest, asked, wanted).await
    }

    async fn give(&self, digest: Digest, asked: Asked, wanted: Bytes) -> Response<Body> {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return control::refusal(StatusCode::SERVICE_UNAVAILABLE, "busy");
        };
        let store = self.store.clone();
        let look = move || match asked {
            Asked::Manifest => Ok(store.manifest(&digest)?.map(|manifest| (None, manifest))),
            Asked::Chunk => choose(&store, &digest, &wanted),
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(Some((head, bytes)))) => Response::new(Upload::new(head, bytes, slot).boxed()),
            Ok(Ok(None)) => {
                let mut nothing = control::answer(Bytes::new());
                *nothing.status_mut() = StatusCode::NO_CONTENT;
                nothing
            }
            Ok(Err(Unable::Wanted)) => control::refusal(
                StatusCode::BAD_REQUEST,
                "this is no bitmap of the component",
            ),
            Ok(Err(Unable::Store(error))) => {
                tracing::warn!(component = %digest, %error, "a member cannot be given a component");
                control::refusal(StatusCode::INTERNAL_SERVER_ERROR, "it cannot be read")
            }
            // The node stops.
            Err(_) => control::refusal(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        }
    }
}

fn parse(path: &str) -> Option<(Digest, Asked)> {
    let (digest, asked) = path.strip_prefix(CHUNKS.path)?.split_once('/')?;
    let asked = match asked {
        MANIFEST => Asked::Manifest,
        CHUNK => Asked::Chunk,
        _ => return None,
    };
    Some((digest.parse().ok()?, asked))
}

enum Unable {
    /// The bytes are no valid bitmap.
    Wanted,
    Store(StoreError),
}

impl From<StoreError> for Unable {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The head of an answer, and its bytes.
type Found = (Option<Bytes>, Bytes);

/// One of the wanted chunks, by chance, so that members get different ones and can exchange
/// them with each other.
fn choose(store: &Store, digest: &Digest, wanted: &[u8]) -> Result<Option<Found>, Unable> {
    let Some(manifest) = store.manifest(digest)? else {
        return Ok(None);
    };
    let wanted = Chunks::read(manifest.len() / 32, wanted).map_err(|_| Unable::Wanted)?;
    let mut indices: Vec<usize> = wanted.iter().collect();
    let seed = SysRng.try_next_u64().unwrap_or(0);
    indices.shuffle(&mut StdRng::seed_from_u64(seed));
    // If a chunk is missing, the store knows that without reading the disk.
    for index in indices {
        if let Some(chunk) = store.chunk(digest, index)? {
            let head = Bytes::copy_from_slice(&head(index));
            return Ok(Some((Some(head), chunk)));
        }
    }
    Ok(None)
}

/// An answer that holds its slot until its last piece was read.
struct Upload {
    head: Option<Bytes>,
    rest: Bytes,
    _slot: OwnedSemaphorePermit,
}

impl Upload {
    fn new(head: Option<Bytes>, rest: Bytes, slot: OwnedSemaphorePermit) -> Self {
        Self {
            head,
            rest,
            _slot: slot,
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match self.head.take() {
            Some(head) => head,
            None if self.rest.is_empty() => return Poll::Ready(None),
            None => {
                let length = self.rest.len().min(PIECE);
                self.rest.split_to(length)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_none() && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let head = self.head.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact((head + self.rest.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use cluster::ComponentBytes;
    use http_body::Body as _;

    use super::*;
    use crate::data_dir::DataDir;
    use crate::store::StoreLimits;

    /// A server for a component of this size, and the component's bytes.
    fn server(size: usize) -> (ChunkServer, Bytes, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let store = Store::open(Arc::new(data), StoreLimits::default()).expect("a store");
        let app: Bytes = (0..size).map(|at| (at / 1000) as u8).collect();
        let component = ComponentBytes::of(app.clone());
        store.store(&component).expect("stored");
        (ChunkServer::new(store), app, folder)
    }

    #[tokio::test]
    async fn a_slot_is_taken_until_all_of_a_chunk_was_taken_and_without_one_the_answer_is_busy() {
        let (server, app, _folder) = server(300_000);
        let digest = Digest::of(&app);
        let first = Bytes::from_static(&[1]);
        let give = || server.give(digest, Asked::Chunk, first.clone());
        let mut given = Vec::new();
        for _ in 0..UPLOADS {
            let answer = give().await;
            assert_eq!(answer.status(), StatusCode::OK);
            given.push(answer.into_body());
        }
        assert_eq!(give().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        let mut body = given.pop().expect("a body");
        let mut taken = Vec::new();
        while !body.is_end_stream() {
            let piece = body.frame().await.expect("a piece").expect("no error");
            assert_eq!(server.slots.available_permits(), 0);
            taken.extend_from_slice(&piece.into_data().expect("data"));
        }
        drop(body);
        assert_eq!(taken[4..], app[..256 * 1024]);
        assert_eq!(give().await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_is_not_there_and_what_is_no_bitmap_of_the_component_get_their_status() {
        let (server, app, _folder) = server(300_000);
        let give = |digest, bitmap: &'static [u8]| {
            let server = server.clone();
            async move {
                let answer = server.give(digest, Asked::Chunk, Bytes::from_static(bitmap));
                answer.await.status()
            }
        };
        let digest = Digest::of(&app);
        assert_eq!(give(digest, &[3]).await, StatusCode::OK);
        assert_eq!(give(digest, &[0]).await, StatusCode::NO_CONTENT);
        assert_eq!(give(digest, &[4]).await, StatusCode::BAD_REQUEST);
        assert_eq!(give(digest, &[3, 0]).await, StatusCode::BAD_REQUEST);
        let other = Digest::of(b"other");
        assert_eq!(give(other, &[3]).await, StatusCode::NO_CONTENT);
    }

    #[test]
    fn only_the_two_paths_of_a_component_are_understood() {
        let digest = Digest::of(b"x");
        let of = |path: String| parse(&path);
        assert_eq!(
            of(format!("/component/{digest}/chunk")),
            Some((digest, Asked::Chunk))
        );
        assert_eq!(
            of(format!("/component/{digest}/manifest")),
            Some((digest, Asked::Manifest))
        );
        for wrong in ["/component/", "/component/x/chunk", "/other/x/chunk"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(of(format!("/component/{digest}")), None);
        assert_eq!(of(format!("/component/{digest}/chunk/")), None);
    }
}
