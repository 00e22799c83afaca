//! Asks the members of a cluster whether they accept a cookie, by connecting to
//! each with it, as a tool does.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cookie, Keys, NodeName};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::CookieError;
use super::node::HEARD;
use crate::api::types as api;
use crate::commands::client::Client;
use mesh::control::DialError;
use mesh::control::tool;
use mesh::control::tool::ToolError;

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
    let listed = listed(node).await?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for member in listed.into_iter().filter(|member| !member.me) {
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

/// Those that the node lists, once it has run for long enough to have heard of
/// them.
async fn listed(node: &Client) -> Result<Vec<api::Member>, CookieError> {
    let look = async || -> Result<api::Nodes, CookieError> {
        Ok(node.get("/v1/nodes").await.map_err(Box::new)?)
    };
    let listed = look().await?;
    let me = listed.nodes.iter().find(|member| member.me);
    let runs = me.map_or(0, |me| listed.now_ms.saturating_sub(me.since_ms));
    let Some(wait) = HEARD.checked_sub(Duration::from_millis(runs)) else {
        return Ok(listed.nodes);
    };
    sleep(wait).await;
    let mut members = look().await?.nodes;
    // Who was there is asked too: that it is gone says nothing of its cookie.
    for before in listed.nodes {
        if members.iter().all(|member| member.node != before.node) {
            members.push(before);
        }
    }
    Ok(members)
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

/// Whether that is how a connection fails to a node that runs and has another
/// cookie: it shows another key. One that closes it before may have other reasons.
fn is_of_cookie(error: &DialError) -> bool {
    matches!(error, DialError::Tls(cause) if cause.kind() == io::ErrorKind::InvalidData)
}
