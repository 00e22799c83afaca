//! The configuration of a node at its start, and the check that it makes sense.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;

use crate::data::DataStore;
use crate::release::DeployKey;
use crate::{Boot, Cidr, ConfigLines, HttpUrl, NodeName};

/// The default UDP and TCP port of membership.
pub const CLUSTER_PORT: u16 = 8383;

/// The configuration of a node at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node.
    pub name: NodeName,
    /// The URL where it serves the app; other members link to it.
    pub url: HttpUrl,
    /// The UDP and TCP port of membership, on the IP of the name.
    pub cluster_port: u16,
    /// The address for [`Effect::Broadcast`](crate::Effect::Broadcast); none where the network
    /// has no broadcast.
    pub broadcast: Option<SocketAddrV4>,
    /// This node's subnet. Datagrams from elsewhere need an `allow`.
    pub subnet: Cidr,
    /// Other ranges from which datagrams may come.
    pub allow: Vec<Cidr>,
    /// Nodes to join where broadcast does not reach. While they are not members, they are asked
    /// for ever.
    pub join: Vec<SocketAddrV4>,
    /// The boot number of the last [`Effect::StoreBoot`](crate::Effect::StoreBoot), if it was
    /// kept.
    pub boot_stored: Option<Boot>,
    /// The bytes of the last [`Effect::StoreReleases`](crate::Effect::StoreReleases), if they
    /// were kept. [`release::check_stored`](crate::release::check_stored) says beforehand
    /// whether they can be used; if not, the node starts without them.
    pub releases_stored: Option<Bytes>,
    /// The key-value data, with what was stored of it.
    pub data: DataStore,
    /// The bytes of the last [`Effect::StoreSettings`](crate::Effect::StoreSettings), if they were
    /// kept; [`check_settings`](crate::check_settings) says whether they can be used.
    pub settings_stored: Option<Bytes>,
    /// Config of the app that is set on this node alone. It counts before that of the cluster.
    pub app_config: ConfigLines,
    /// If set, only releases and settings that this key has signed are accepted.
    pub deploy_key: Option<DeployKey>,
    /// When this program was built, in milliseconds since 1970-01-01 UTC. A clock with an
    /// earlier time is wrong.
    pub built_ms: u64,
    /// The wall clock, in milliseconds since 1970-01-01 UTC. It need not be
    /// right.
    pub wall_ms: u64,
}

/// Why a node cannot work with its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address of a node to join lies outside the allowed ranges.
    #[error(
        "answers of {address} would be refused: it is outside of {subnet}; \
         add --member-net {ip}/32 here, and --member-net with this node's IP there"
    )]
    JoinNotAllowed {
        /// The address to join.
        address: SocketAddrV4,
        /// Its IP.
        ip: Ipv4Addr,
        /// This node's subnet.
        subnet: Cidr,
    },
}

impl Config {
    /// Whether datagrams may come from this address.
    pub fn allows(&self, ip: Ipv4Addr) -> bool {
        self.subnet.contains(ip) || self.allow.iter().any(|range| range.contains(ip))
    }

    /// Finds a configuration that cannot work, so that a person learns of it at the start.
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
