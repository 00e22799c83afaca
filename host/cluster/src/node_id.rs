//! The id of a node, which names it everywhere except in sockets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Keeps these hashes apart from others over the same bytes.
const LABEL: &[u8] = b"ace raxx node id v1";

/// Identifies a node: a hash of its IP. The source of a datagram proves the IP before anything
/// in the datagram is parsed, so data about a node can be kept under its id. Shown as 16
/// lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId([u8; 8]);

impl NodeId {
    /// The id of the node with this IP. An IPv4 address in IPv6 form gives the same id.
    pub fn of(ip: impl Into<IpAddr>) -> Self {
        let hash = Sha256::new_with_prefix(LABEL);
        let hash = match ip.into().to_canonical() {
            IpAddr::V4(ip) => hash.chain_update([4]).chain_update(ip.octets()),
            IpAddr::V6(ip) => hash.chain_update([6]).chain_update(ip.octets()),
        };
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        Self(id)
    }

    /// Its 8 bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The id as a number, for hashes.
    pub(crate) const fn as_number(&self) -> u64 {
        u64::from_le_bytes(self.0)
    }

    /// An id that was read, not computed from an IP.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// Why a text is not the id of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a node; an id is 16 hex digits")]
pub struct NodeIdError(String);

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let id = bytes.and_then(|bytes| bytes.try_into().ok());
        id.map(Self).ok_or_else(|| NodeIdError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const IP: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 2);

    #[test]
    fn an_id_reads_back_what_it_shows() {
        let id = NodeId::of(IP);
        assert_eq!(id.to_string().len(), 16);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for text in ["", "00", &"0".repeat(15), &"0".repeat(18), &"g".repeat(16)] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_ip_has_an_id_of_its_own_however_it_is_written() {
        assert_eq!(NodeId::of(IP), NodeId::of(IP.to_ipv6_mapped()));
        assert_ne!(NodeId::of(IP), NodeId::of(Ipv4Addr::new(10, 10, 10, 3)));
        assert_ne!(NodeId::of(IP), NodeId::of(Ipv6Addr::LOCALHOST));
    }
}
