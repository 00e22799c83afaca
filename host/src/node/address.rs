//! Watches that the IP of the node is on this machine while the node runs. If somebody takes it
//! away, nobody reaches the node there any more, although its sockets do not notice.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::sleep;

use mesh::net::{self, AddressError, ListedAddresses};

/// How often to look.
const LOOK: Duration = Duration::from_secs(2);

/// How long an address may be away without `--wait-address`: a moment passes while a lease is
/// renewed or a link is set up again.
const MOMENT: Duration = Duration::from_secs(10);

/// The IP of the node was taken from this machine while the node ran.
#[derive(Debug, thiserror::Error)]
#[error(
    "the IP {ip} of this node has been away from this machine for {} s, so nobody reaches the node; \
     give it back, or start the node under an address that is there: {}. With --wait-address a node \
     waits longer",
    away.as_secs(),
    ListedAddresses(have)
)]
pub struct AddressLost {
    /// The IP.
    ip: Ipv4Addr,
    /// How long the node has waited for it.
    away: Duration,
    /// The addresses of this machine.
    have: Vec<net::InterfaceAddress>,
}

/// Waits until the IP has been away for longer than `wait`, or for more than a moment.
pub(super) async fn lost(ip: Ipv4Addr, wait: Option<Duration>) -> AddressLost {
    let patience = wait.unwrap_or(MOMENT);
    loop {
        sleep(LOOK).await;
        let Err(AddressError::NotHere { .. }) = net::find(ip) else {
            continue;
        };
        tracing::error!(
            "the IP {ip} of this node is no longer on this machine, so nobody reaches the node; \
             waiting up to {} s for it",
            patience.as_secs()
        );
        match net::wait_for(ip, patience).await {
            Err(AddressError::NotHere { have, .. }) => {
                let away = patience;
                return AddressLost { ip, away, have };
            }
            // If the system does not list its addresses, nothing is known.
            Err(AddressError::List(_)) => {}
            Ok(_) => tracing::info!("the IP {ip} of this node is on this machine again"),
        }
    }
}
