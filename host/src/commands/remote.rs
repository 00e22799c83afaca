//! Connects to the node of another machine, with the cookie, over its cluster
//! port.

use std::net::{SocketAddr, SocketAddrV4};

use cluster::{CLUSTER_PORT, Keys};
use tokio::net::lookup_host;

use super::CommandError;
use super::cli::Ask;
use crate::files::cookie::COOKIE;
use crate::files::cookie::Origin;
use mesh::control::tool;
use mesh::control::tool::ToolClient;

/// Connects to the node at `ADDR[:PORT]`.
pub(super) async fn connect(node: &str, ask: &Ask) -> Result<ToolClient, CommandError> {
    let cookie = match (&ask.cookie, &ask.cookie_file) {
        (Some(cookie), _) => Origin::given(COOKIE, cookie.clone())?,
        (None, Some(file)) => Origin::file("--cookie-file", file.clone())?,
        (None, None) => return Err(CommandError::NoCookie),
    };
    let keys = Keys::derive(&cookie.read()?).map_err(|_| CommandError::Keys)?;
    let at = address(node).await?;
    Ok(tool::connect(&keys, at).await?)
}

/// The first IPv4 address of this name.
async fn address(node: &str) -> Result<SocketAddrV4, CommandError> {
    let bad = |why: String| CommandError::Address(node.to_owned(), why);
    let found = match node.contains(':') {
        true => lookup_host(node).await.map(Iterator::collect::<Vec<_>>),
        false => lookup_host((node, CLUSTER_PORT))
            .await
            .map(Iterator::collect),
    };
    let found = found.map_err(|error| bad(error.to_string()))?;
    let v4 = found.iter().find_map(|address| match address {
        SocketAddr::V4(address) => Some(*address),
        SocketAddr::V6(_) => None,
    });
    v4.ok_or_else(|| bad("it has no IPv4 address".to_owned()))
}
