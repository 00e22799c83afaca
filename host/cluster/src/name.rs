//! The name of a node, `NAME@IP`: text flows in, a checked name flows out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::NodeId;

/// The name of a node: a name, `@` and an IP. Sorted by IP, then by name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NodeName {
    name: Arc<str>,
    ip: Ipv4Addr,
    /// The id of the IP; kept, since nodes are often looked up by it.
    id: NodeId,
}

/// The longest part before the `@`, in bytes.
pub const NAME_MAX: usize = 63;

/// Why a text is not the name of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no `@`.
    #[error("`{0}` has no IP; a node is named NAME@IP, for example example@10.10.10.2")]
    NoIp(String),
    /// The text after the `@` is no IPv4 address.
    #[error("`{ip}` in `{text}` is not an IPv4 address; a node is named like example@10.10.10.2")]
    BadIp {
        /// The text as given.
        text: String,
        /// The text after the `@`.
        ip: String,
    },
    /// The address is not that of a single machine.
    #[error("{0} is not the address of one machine; use the IP of this node")]
    NotAHost(Ipv4Addr),
    /// The part before the `@` is empty, too long, or has characters that are not allowed.
    #[error(
        "`{0}` cannot stand before the @ of a node's name; \
         1 to 63 letters, digits, `-`, `_` and `.` can, as in example@10.10.10.2"
    )]
    BadName(String),
}

impl NodeName {
    /// The node called `name` on the machine with this IP.
    ///
    /// # Errors
    /// [`NameError::BadName`] or [`NameError::NotAHost`].
    pub fn new(name: &str, ip: Ipv4Addr) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(legal) {
            return Err(NameError::BadName(name.to_owned()));
        }
        if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() {
            return Err(NameError::NotAHost(ip));
        }
        Ok(Self {
            name: name.into(),
            ip,
            id: NodeId::of(ip),
        })
    }

    /// The part before the `@`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The IP after the `@`.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The id of the node.
    pub fn id(&self) -> NodeId {
        self.id
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (name, ip) = text
            .rsplit_once('@')
            .ok_or_else(|| NameError::NoIp(text.to_owned()))?;
        let address = ip.parse().map_err(|_| NameError::BadIp {
            text: text.to_owned(),
            ip: ip.to_owned(),
        })?;
        Self::new(name, address)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.ip)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for NodeName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.ip, &self.name).cmp(&(other.ip, &other.name))
    }
}

impl PartialOrd for NodeName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&*self.name, IpAddr::V4(self.ip)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    /// A name from the network is checked like one that a person typed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <(&str, IpAddr)>::deserialize(deserializer)? {
            (name, IpAddr::V4(ip)) => Self::new(name, ip).map_err(serde::de::Error::custom),
            (_, IpAddr::V6(ip)) => Err(serde::de::Error::custom(ip)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_what_it_shows() {
        let name: NodeName = "example@10.10.10.2".parse().expect("a name");
        assert_eq!(
            (name.name(), name.ip()),
            ("example", Ipv4Addr::new(10, 10, 10, 2))
        );
        assert_eq!(name.to_string(), "example@10.10.10.2");
    }

    #[test]
    fn names_sort_by_address_as_numbers_then_by_name() {
        let mut names = ["b@10.0.0.10", "a@10.0.0.10", "z@10.0.0.9"]
            .map(|text| text.parse::<NodeName>().expect("a name"));
        names.sort();
        assert_eq!(
            names.map(|n| n.to_string()),
            ["z@10.0.0.9", "a@10.0.0.10", "b@10.0.0.10"]
        );
    }

    #[test]
    fn each_wrong_name_is_refused_for_its_own_reason() {
        let error = |text: &str| text.parse::<NodeName>().expect_err("no name");
        assert!(matches!(error("example"), NameError::NoIp(_)));
        assert!(matches!(error("example@host"), NameError::BadIp { .. }));
        assert!(matches!(error("example@::1"), NameError::BadIp { .. }));
        assert!(matches!(error("example@0.0.0.0"), NameError::NotAHost(_)));
        assert!(matches!(
            error("example@255.255.255.255"),
            NameError::NotAHost(_)
        ));
        assert!(matches!(error("@10.0.0.1"), NameError::BadName(_)));
        assert!(matches!(error("two@at@10.0.0.1"), NameError::BadName(_)));
        assert!(matches!(error("new\nline@10.0.0.1"), NameError::BadName(_)));
        assert!(matches!(
            error(&format!("{}@10.0.0.1", "x".repeat(64))),
            NameError::BadName(_)
        ));
    }
}
