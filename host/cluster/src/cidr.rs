//! A range of IP addresses, written `10.10.10.0/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// A range of IP addresses. The bits after the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

/// Why a range cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The text is not written as `ADDRESS/PREFIX`.
    #[error("`{0}` is not a range of IPv4 addresses; write it like 10.20.0.0/16")]
    Form(String),
    /// The prefix is longer than an address.
    #[error("the prefix of a range of IPv4 addresses is 0 to 32, not {0}")]
    Prefix(u8),
}

impl Cidr {
    /// The range of the first `prefix` bits of `address`.
    ///
    /// # Errors
    /// [`CidrError::Prefix`] if `prefix` is longer than the address.
    pub fn new(address: impl Into<IpAddr>, prefix: u8) -> Result<Self, CidrError> {
        let net = IpNet::new(address.into(), prefix).map_err(|_| CidrError::Prefix(prefix))?;
        Ok(Self(net.trunc()))
    }

    /// A range that the program itself names. It panics while the program is compiled, if
    /// `prefix` is longer than the address.
    pub(crate) const fn constant(address: IpAddr, prefix: u8) -> Self {
        Self(IpNet::new_assert(address, prefix))
    }

    /// The range of one address.
    pub fn single(address: impl Into<IpAddr>) -> Self {
        Self(IpNet::from(address.into()))
    }

    /// Whether the range contains the address.
    pub fn contains(&self, address: impl Into<IpAddr>) -> bool {
        self.0.contains(&address.into())
    }

    /// Whether all addresses of this range are in the other one.
    pub(crate) fn is_within(&self, other: &Cidr) -> bool {
        other.0.contains(&self.0)
    }

    /// Whether it is the range of one address.
    pub(crate) fn is_single(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// Its first address.
    pub(crate) fn address(&self) -> IpAddr {
        self.0.addr()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `10.20.0.0/16`; an address alone is the range of that address. People can give
    /// IPv6 ranges only once the sockets have IPv6.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let form = || CidrError::Form(text.to_owned());
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| form())?;
        Cidr::new(address, prefix.parse().map_err(|_| form())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let range: Cidr = "10.10.10.7/24".parse().expect("a range");
        assert_eq!(range.to_string(), "10.10.10.0/24");
        assert!(range.contains(Ipv4Addr::new(10, 10, 10, 255)));
        assert!(!range.contains(Ipv4Addr::new(10, 10, 11, 0)));
    }

    #[test]
    fn the_widest_and_the_narrowest_range_work() {
        assert!(
            "0.0.0.0/0"
                .parse::<Cidr>()
                .expect("all")
                .contains(Ipv4Addr::BROADCAST)
        );
        let one: Cidr = "10.0.0.1".parse().expect("one");
        assert!(one.contains(Ipv4Addr::new(10, 0, 0, 1)));
        assert!(!one.contains(Ipv4Addr::new(10, 0, 0, 2)));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        assert_eq!("10.0.0.0/33".parse::<Cidr>(), Err(CidrError::Prefix(33)));
        for text in ["", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "::/0"] {
            assert!(
                matches!(text.parse::<Cidr>(), Err(CidrError::Form(_))),
                "{text}"
            );
        }
    }
}
