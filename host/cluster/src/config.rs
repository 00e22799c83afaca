//! What a node is told at its start, and the check that it makes sense.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;

use crate::release::DeployKey;
use crate::{Boot, Cidr, HttpUrl, NodeName};

/// The UDP and TCP port of membership where nothing else is said.
pub const CLUSTER_PORT: u16 = 8383;

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this node is.
    pub name: NodeName,
    /// Where it serves the app: what other members link to.
    pub url: HttpUrl,
    /// The UDP and TCP port of membership, on the IP of the name.
    pub cluster_port: u16,
    /// Where [`Effect::Broadcast`](crate::Effect::Broadcast) goes; none where
    /// the network has no broadcast.
    pub broadcast: Option<SocketAddrV4>,
    /// The own subnet. Datagrams from elsewhere need an `allow`.
    pub subnet: Cidr,
    /// Where datagrams may come from besides.
    pub allow: Vec<Cidr>,
    /// Nodes to ask to be let in, for where broadcast does not reach. They
    /// are asked again for ever while they are not members.
    pub join: Vec<SocketAddrV4>,
    /// The boot number that [`Effect::StoreBoot`](crate::Effect::StoreBoot)
    /// gave last, if it was kept.
    pub boot_stored: Option<Boot>,
    /// What [`Effect::StoreReleases`](crate::Effect::StoreReleases) gave last,
    /// if it was kept. [`release::check_stored`](crate::release::check_stored) says beforehand
    /// whether it can be used; if not, the node starts without.
    pub releases_stored: Option<Bytes>,
    /// If set, only releases that are signed by this key are taken.
    pub deploy_key: Option<DeployKey>,
    /// When this program was built, in milliseconds since 1970-01-01 UTC: no clock that
    /// shows less is right.
    pub built_ms: u64,
    /// The wall clock, in milliseconds since 1970-01-01 UTC. It need not be
    /// right.
    pub wall_ms: u64,
}

/// Why a node cannot work as it is told to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A node to join answers from an address that is refused.
    #[error(
        "answers of {address} would be refused: it is outside of {subnet}; \
         add --member-net {ip}/32 here, and --member-net with this node's IP there"
    )]
    JoinNotAllowed {
        /// What was to be joined.
        address: SocketAddrV4,
        /// Its IP.
        ip: Ipv4Addr,
        /// The own subnet.
        subnet: Cidr,
    },
}

impl Config {
    /// Whether datagrams may come from this address.
    pub fn allows(&self, ip: Ipv4Addr) -> bool {
        self.subnet.contains(ip) || self.allow.iter().any(|range| range.contains(ip))
    }

    /// Finds what cannot work, so that a person hears of it at the start.
    ///
    /// # Errors
    /// The first problem found.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self.join.iter().find(|address| !self.allows(*address.ip())) {
            Some(&address) => Err(ConfigError::JoinNotAllowed {
                address,
                ip: *address.ip(),
                subnet: self.subnet,
            }),
            None => Ok(()),
        }
    }
}
