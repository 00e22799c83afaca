//! Who answers what on the control channel: requests of members and of tools
//! to those parts of the host that know the answers.

use std::sync::{Arc, OnceLock};

use http::{Request, StatusCode};
use hyper::body::Incoming;

use super::face::Face;
use crate::api::{Asker, Service as Tools};
use crate::app::publish::Inbox;
use mesh::control;
use mesh::control::routes::{CHUNKS, PUBLISH, STATE};
use mesh::control::{Answer, Peer};
use mesh::transfer::ChunkServer;

/// Answers once it has been given what it takes. Until then a node is only
/// just starting, and says so.
#[derive(Default)]
pub(super) struct Desk(OnceLock<Parts>);

/// What it takes.
pub(super) struct Parts {
    pub(super) face: Arc<Face>,
    pub(super) tools: Tools,
    pub(super) chunk_server: ChunkServer,
    pub(super) inbox: Inbox,
}

impl Desk {
    /// Answers from now on.
    pub(super) fn open(&self, parts: Parts) {
        // It is opened once.
        let _ = self.0.set(parts);
    }
}

/// The desk as the control channel has it.
pub(super) struct Shared(pub(super) Arc<Desk>);

impl control::Service for Shared {
    fn call(&self, from: Peer, request: Request<Incoming>) -> Answer {
        let desk = self.0.clone();
        Box::pin(async move {
            let Some(parts) = desk.0.get() else {
                let why = "this node is starting; try again in a moment";
                return control::refusal(StatusCode::SERVICE_UNAVAILABLE, why);
            };
            let path = request.uri().path();
            match from {
                Peer::Tool(ip) => parts.tools.answer(Asker::Remote(ip), request).await,
                Peer::Member(_) if path == STATE.path => control::answer(parts.face.state()),
                Peer::Member(_) if path.starts_with(CHUNKS.path) => {
                    let path = path.to_owned();
                    parts.chunk_server.answer(&path, request.into_body()).await
                }
                Peer::Member(name) if path == PUBLISH.path => {
                    parts.inbox.answer(&name, request.into_body()).await
                }
                Peer::Member(_) => {
                    control::refusal(StatusCode::NOT_FOUND, "this node has no answer to that")
                }
            }
        })
    }
}
