//! Asks the members of a cluster whether they accept a cookie, by connecting to
//! each with it, as a tool does.

use std::net::SocketAddrV4;
use std::sync::Arc;

use cluster::{Cookie, Keys, NodeName};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::CookieError;
use crate::commands::client::Client;
use crate::control::DialError;
use crate::control::tool::{self, ToolError};
use crate::tools::api;

/// How many are asked at a time.
const AT_ONCE: usize = 16;

/// The members, but for the node itself, that do not accept this cookie; with the
/// reason where that is another one than the cookie. They are in the order of
/// their addresses.
pub(super) async fn that_refuse(
    node: &Client,
    port: u16,
    cookie: &Cookie,
) -> Result<Vec<String>, CookieError> {
    let keys = Keys::derive(cookie).map_err(|_| CookieError::Keys)?;
    let listed: api::Nodes = node.get("/v1/nodes").await.map_err(Box::new)?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for member in listed.nodes.into_iter().filter(|member| !member.me) {
        let (keys, places) = (keys.clone(), places.clone());
        asked.spawn(async move {
            // Nobody closes it.
            let _place = places.acquire_owned().await;
            refuses(&keys, port, &member.node).await
        });
    }
    // A task that was not finished was one of a runtime that ends.
    let mut refusing: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    refusing.sort();
    Ok(refusing.into_iter().map(|(_, said)| said).collect())
}

/// Why a member does not accept the cookie, by its address.
async fn refuses(keys: &Keys, port: u16, member: &str) -> Option<(Option<SocketAddrV4>, String)> {
    let Ok(name) = member.parse::<NodeName>() else {
        return Some((None, format!("{member} (a name without an address)")));
    };
    let at = SocketAddrV4::new(name.ip(), port);
    match tool::connect(keys, at).await {
        Ok(tool) => {
            tool.close().await;
            None
        }
        Err(ToolError::Dial { cause, .. }) if is_of_cookie(&cause) => {
            Some((Some(at), member.to_owned()))
        }
        Err(error) => Some((Some(at), format!("{member} ({error})"))),
    }
}

/// Whether a node that runs and has another cookie ends a connection so.
fn is_of_cookie(error: &DialError) -> bool {
    matches!(error, DialError::Tls(_))
}
