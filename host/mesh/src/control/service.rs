//! What a node does with the requests of members and of tools: the seam
//! between the control channel, which knows who asks, and the rest of the
//! host, which knows the answers.

use std::net::Ipv4Addr;
use std::pin::Pin;

use cluster::NodeName;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::protocol::{self, Body};

/// Who asks. Either knows the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A node that calls from the IP of this name. Whether it is in the view
    /// is another question.
    Member(NodeName),
    /// A tool of a person: `host push`, `host status`.
    Tool(Ipv4Addr),
}

/// An answer that is being made.
pub type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Answers the requests that come on the control channel. Which paths come
/// from whom is certain already: `/component/…`, `/app/…` and `/publish` from members, `/v1/…`
/// from tools.
pub trait Service: Send + Sync {
    /// Answers one request. What is returned runs in the runtime in which
    /// membership was started, and is dropped when the caller goes. The answer
    /// of a member must begin within 10 s, that of a tool within ten minutes;
    /// who does not take its answer is closed.
    fn call(&self, from: Peer, request: Request<Incoming>) -> Answer;
}

/// Answers nothing: for nodes that only take part in membership.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refuse;

impl Service for Refuse {
    fn call(&self, _from: Peer, _request: Request<Incoming>) -> Answer {
        Box::pin(async { protocol::refusal(StatusCode::NOT_FOUND, "this node has no answer") })
    }
}
