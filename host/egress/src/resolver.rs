//! Names to addresses. The system is asked, so that what the machine's administrator set counts.

use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::LOOKUPS_MAX;

/// A lookup that runs.
pub type NameLookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up.
pub trait Resolver: Send + Sync {
    /// The addresses of a name, the best first.
    fn lookup(&self, name: &str) -> NameLookup;
}

/// Asks the system: `/etc/hosts`, DNS, and what else is set up there.
#[derive(Debug)]
pub struct SystemResolver {
    running: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolver for SystemResolver {
    fn lookup(&self, name: &str) -> NameLookup {
        let (running, name) = (self.running.clone(), name.to_owned());
        Box::pin(async move {
            let place = running.acquire_owned().await.map_err(io::Error::other)?;
            let looked_up = tokio::task::spawn_blocking(move || {
                // Nothing ends the call before the system does. So the thread keeps its place
                // even if nobody waits for it any more.
                let _place = place;
                let addresses = (name.as_str(), 0).to_socket_addrs()?;
                Ok(addresses.map(|it| it.ip().to_canonical()).collect())
            });
            looked_up.await.map_err(io::Error::other)?
        })
    }
}
