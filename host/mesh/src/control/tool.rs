//! The control channel for tools: `host push`, `host status` and others, from any machine that
//! the node allows. A tool knows the cookie and has no name; it is never a member.

use std::net::SocketAddrV4;

use cluster::{Keys, NodeName};
use http::uri::{Parts, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;

use super::dial::Connection;
use super::protocol::{Body, TOOL};
use super::{DialError, Identity, IdentityError};

/// How much of an answer may be under way, in bytes.
const WINDOW: u32 = 1024 * 1024;

/// Why a tool could not reach a node.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The node was not reached.
    #[error("{at}: {cause}")]
    Dial {
        /// The address of the node.
        at: SocketAddrV4,
        /// The cause.
        cause: DialError,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// An open connection to a node. It ends when this is dropped.
pub struct ToolClient {
    node: NodeName,
    connection: Connection,
}

impl std::fmt::Debug for ToolClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolClient")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Connects to the node whose control channel has this address, with the keys of its cluster.
/// Takes a few seconds at most.
///
/// # Errors
/// [`ToolError`].
pub async fn connect(keys: &Keys, at: SocketAddrV4) -> Result<ToolClient, ToolError> {
    let identity = Identity::new(keys)?;
    let dialled = async {
        let mut connection = Connection::open(&identity, None, at, WINDOW).await?;
        let node = connection.hello(TOOL.into()).await?;
        Ok(ToolClient { node, connection })
    };
    dialled.await.map_err(|cause| ToolError::Dial { at, cause })
}

impl ToolClient {
    /// The name of the node that answers.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Sends a request, which needs only a path. Any number may be under way; the node handles
    /// four at a time. Bodies stream both ways; see [`super::stream_body`]. The caller decides
    /// how long to wait.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn request(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = self.connection.host().parse().ok();
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        let mut requests = self.connection.requests().clone();
        requests.send_request(request).await
    }

    /// Waits until the connection ends, perhaps because the node did.
    pub async fn ended(&mut self) {
        self.connection.ended().await;
    }

    /// Closes the connection, and gives the node a second to notice.
    pub async fn close(self) {
        self.connection.close().await;
    }
}
