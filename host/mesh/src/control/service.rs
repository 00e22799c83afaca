//! Answers requests of members and tools: the interface between the control channel, which
//! knows the caller, and the rest of the host, which knows the answers.

use std::net::Ipv4Addr;
use std::pin::Pin;

use cluster::NodeName;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::protocol::{self, Body};

/// The caller. It knows the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A node that calls from the IP of this name. It need not be in the view.
    Member(NodeName),
    /// A person's tool: `host push`, `host status`.
    Tool(Ipv4Addr),
}

/// An answer in progress.
pub type FutureAnswer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Answers the requests on the control channel. The channel has already checked which caller
/// may use which path: `/component/…`, `/app/…` and `/publish` are for members, `/v1/…` is for
/// tools.
pub trait Service: Send + Sync {
    /// Answers one request. The future runs in the runtime that started membership, and is
    /// dropped when the caller goes. An answer to a member must begin within 10 s, one to a
    /// tool within ten minutes. A caller that does not read its answer is closed.
    fn call(&self, from: Peer, request: Request<Incoming>) -> FutureAnswer;
}

/// Answers nothing: for nodes that only take part in membership.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refuse;

impl Service for Refuse {
    fn call(&self, _from: Peer, _request: Request<Incoming>) -> FutureAnswer {
        Box::pin(async { protocol::refusal(StatusCode::NOT_FOUND, "this node has no answer") })
    }
}
