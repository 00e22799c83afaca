//! Which source addresses do not name a client: what fails for them counts in full.
//!
//! A source address counts at most half of what a vote needs, so that no client can bring
//! a release down alone. Where all requests come from one address by nature, nothing would
//! ever be judged. That is so for requests from this machine itself. This is the only
//! place that decides it, but for connections from an address to itself, which the listener
//! marks ([`runtime::http::RequestHead::from_this_machine`]). Of IPv6 there are no others: its
//! sources are counted by network, and neighbours share that.

use std::net::{IpAddr, Ipv4Addr};

/// The addresses that are exempt at one moment.
#[derive(Debug, Default)]
pub(super) struct ExemptAddresses {
    /// The addresses of this machine, once they were needed.
    own: Option<Vec<Ipv4Addr>>,
}

impl ExemptAddresses {
    /// Whether requests from this address are not those of one client.
    pub(super) fn has(&mut self, ip: IpAddr) -> bool {
        match ip {
            ip if ip.is_loopback() => true,
            IpAddr::V4(v4) => self.own.get_or_insert_with(own).contains(&v4),
            IpAddr::V6(_) => false,
        }
    }
}

fn own() -> Vec<Ipv4Addr> {
    // If the system does not list them, all count as clients.
    let own = mesh::net::interface_addresses().unwrap_or_default();
    own.into_iter().map(|address| address.ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_exempt_and_others_are_not() {
        let mut exempt = ExemptAddresses::default();
        assert!(exempt.has([127, 0, 0, 9].into()));
        assert!(exempt.has("::1".parse().unwrap()));
        assert!(own().into_iter().all(|own| exempt.has(own.into())));
        // Of the range for examples, which no machine has.
        assert!(!exempt.has([203, 0, 113, 77].into()));
    }
}
