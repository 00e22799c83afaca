//! What the tests of the request path share: a server in this process, clients
//! that see how a response ends, and the log.
//!
//! - [`components`]: the components that `cargo xtask test` builds, compiled once
//! - [`outside`]: servers that apps may reach
//! - [`node`]: the host's request path on a port of its own
//! - [`client`]: HTTP/1.1 and HTTP/2 through hyper; [`raw`]: bytes as they are
//! - [`lan`]: membership of several nodes on the loopback interface
//! - [`log`]: what the host logs while a test runs

// Each test program uses a part of it.
#![allow(dead_code)]

pub(crate) mod client;
pub(crate) mod components;
pub(crate) mod lan;
pub(crate) mod log;
pub(crate) mod node;
pub(crate) mod outside;
pub(crate) mod raw;

use std::future::Future;
use std::time::Duration;

/// How long a test waits for what must come. Reached only when it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must come.
#[track_caller]
pub(crate) fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let (what, place) = (what.to_owned(), std::panic::Location::caller());
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("{place}: waited {PATIENCE:?} for {what}"),
        }
    }
}

/// Waits until something holds that nothing tells of: it is looked at again
/// and again.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(1));
    soon(what, async {
        while !holds() {
            look.tick().await;
        }
    })
    .await;
}
