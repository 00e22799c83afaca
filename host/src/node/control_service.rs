//! Answers requests of members and tools on the control channel: it gives each
//! to the part of the host that knows the answer.

use std::sync::{Arc, OnceLock};

use http::{Request, StatusCode};
use hyper::body::Incoming;

use super::running::RunningNode;
use crate::api::{ApiService, Asker};
use crate::app::publish::Inbox;
use mesh::control;
use mesh::control::routes::{CHUNKS, DATA, PUBLISH, STATE};
use mesh::control::{FutureAnswer, Peer};
use mesh::data::DataInbox;
use mesh::transfer::ChunkServer;

/// Answers requests once it has its parts. Before that, it says that the node
/// is only just starting. All clones are the same service.
#[derive(Clone, Default)]
pub(super) struct ControlService(Arc<OnceLock<Answering>>);

/// The parts that answer.
pub(super) struct Answering {
    pub(super) node: Arc<RunningNode>,
    pub(super) tools: ApiService,
    pub(super) chunk_server: ChunkServer,
    pub(super) inbox: Inbox,
    pub(super) data: DataInbox,
}

impl ControlService {
    /// Answers from now on.
    pub(super) fn open(&self, parts: Answering) {
        // It is opened only once.
        let _ = self.0.set(parts);
    }
}

impl control::Service for ControlService {
    fn call(&self, from: Peer, request: Request<Incoming>) -> FutureAnswer {
        let parts = self.0.clone();
        Box::pin(async move {
            let Some(parts) = parts.get() else {
                let why = "this node is starting; try again in a moment";
                return control::refusal(StatusCode::SERVICE_UNAVAILABLE, why);
            };
            let path = request.uri().path();
            match from {
                Peer::Tool(ip) => parts.tools.answer(Asker::Remote(ip), request).await,
                Peer::Member(_) if path == STATE.path => control::answer(parts.node.state()),
                Peer::Member(_) if path.starts_with(CHUNKS.path) => {
                    let path = path.to_owned();
                    parts.chunk_server.answer(&path, request.into_body()).await
                }
                Peer::Member(name) if path == PUBLISH.path => {
                    parts.inbox.answer(&name, request.into_body()).await
                }
                Peer::Member(name) if path == DATA.path => {
                    parts.data.answer(&name, request.into_body()).await
                }
                Peer::Member(_) => {
                    control::refusal(StatusCode::NOT_FOUND, "this node has no answer to that")
                }
            }
        })
    }
}
