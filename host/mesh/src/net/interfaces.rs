//! The IPv4 addresses of this machine, and which of them a node can use.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cluster::Cidr;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// How often [`wait_for`] looks again. Getting the list takes some 30 µs.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// An IPv4 address of an interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface, for example `eth0`.
    pub interface: String,
    /// The address.
    pub ip: Ipv4Addr,
    /// The length of its subnet's prefix, 0 to 32.
    pub prefix: u8,
    /// The broadcast address of its subnet; none on a point-to-point link.
    pub broadcast: Option<Ipv4Addr>,
    /// Whether it is the loopback interface.
    pub loopback: bool,
}

/// An address of this machine that a node was told to use, and its subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub ip: Ipv4Addr,
    /// The subnet.
    pub subnet: Cidr,
    /// The broadcast address of the subnet; none where there is no broadcast.
    pub broadcast: Option<Ipv4Addr>,
    /// The interface that has the address.
    pub interface: String,
}

/// The private (RFC 1918) addresses of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateAddress {
    /// There is no such address.
    None,
    /// There is exactly one such address.
    One(Ipv4Addr),
    /// There are several, so a person has to choose.
    Many(Vec<Ipv4Addr>),
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The system does not list the addresses.
    #[error("cannot list the addresses of this machine: {0}")]
    List(io::Error),
    /// The address belongs to no interface.
    #[error(
        "{ip} is not an address of this machine, which has {}; \
         use one of these in --name, or wait for it with --wait-address 60s",
        ListedAddresses(have)
    )]
    NotHere {
        /// The address.
        ip: Ipv4Addr,
        /// The addresses of this machine.
        have: Vec<InterfaceAddress>,
    },
}

/// Addresses as people read them.
pub struct ListedAddresses<'a>(pub &'a [InterfaceAddress]);

impl fmt::Display for ListedAddresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none at all");
        }
        for (n, address) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({})", address.ip, address.interface)?;
        }
        Ok(())
    }
}

/// The IPv4 addresses of this machine, in the system's order. Interfaces that
/// are down are included: their addresses are there, and may work later.
///
/// # Errors
/// [`AddressError::List`].
pub fn interface_addresses() -> Result<Vec<InterfaceAddress>, AddressError> {
    let ipv4 = |address: Option<SockaddrStorage>| Some(address?.as_sockaddr_in()?.ip());
    let all = getifaddrs().map_err(|errno| AddressError::List(errno.into()))?;
    let found = all.filter_map(|entry| {
        let ip = ipv4(entry.address)?;
        let mask = ipv4(entry.netmask).unwrap_or(Ipv4Addr::BROADCAST);
        let prefix = u8::try_from(mask.to_bits().leading_ones()).unwrap_or(32);
        let loopback = entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        // `ip address add 10.10.10.2/24` sets no broadcast address, and the loopback interface
        // never has one. Then the C library returns the address itself. The broadcast address
        // of the subnet works all the same.
        let broadcasts = loopback || entry.flags.contains(InterfaceFlags::IFF_BROADCAST);
        let named = ipv4(entry.broadcast).filter(|to| !to.is_unspecified() && *to != ip);
        let derived = || last_address(ip, prefix).filter(|_| broadcasts);
        Some(InterfaceAddress {
            ip,
            prefix,
            broadcast: named.or_else(derived),
            loopback,
            interface: entry.interface_name,
        })
    });
    Ok(found.collect())
}

/// Looks for the private addresses of this machine.
///
/// # Errors
/// [`AddressError::List`].
pub fn only_private_ipv4() -> Result<PrivateAddress, AddressError> {
    let mut private: Vec<Ipv4Addr> = interface_addresses()?
        .into_iter()
        .filter(|address| !address.loopback && address.ip.is_private())
        .map(|address| address.ip)
        .collect();
    private.sort_unstable();
    private.dedup();
    Ok(match private[..] {
        [] => PrivateAddress::None,
        [ip] => PrivateAddress::One(ip),
        _ => PrivateAddress::Many(private),
    })
}

/// Finds the interface that has this address.
///
/// # Errors
/// [`AddressError::NotHere`] or [`AddressError::List`].
pub fn find(ip: Ipv4Addr) -> Result<LocalAddress, AddressError> {
    let have = interface_addresses()?;
    match among(ip, &have) {
        Some(found) => Ok(found),
        None => Err(AddressError::NotHere { ip, have }),
    }
}

/// Whether this machine has the address.
pub fn is_here(ip: Ipv4Addr) -> bool {
    find(ip).is_ok()
}

/// Whether this machine has the address; true too if that cannot be told.
pub fn may_be_here(ip: IpAddr) -> bool {
    let Ok(mut all) = getifaddrs() else {
        return true;
    };
    all.any(|entry| {
        let address = entry.address.as_ref();
        let v4 = address.and_then(|it| Some(IpAddr::V4(it.as_sockaddr_in()?.ip())));
        let v6 = address.and_then(|it| Some(IpAddr::V6(it.as_sockaddr_in6()?.ip())));
        v4.or(v6) == Some(ip)
    })
}

/// Finds the interface that has this address. If there is none, waits for it, but no longer
/// than `up_to`.
///
/// # Errors
/// Those of [`find`], when the time is over.
pub async fn wait_for(ip: Ipv4Addr, up_to: Duration) -> Result<LocalAddress, AddressError> {
    let deadline = tokio::time::Instant::now() + up_to;
    loop {
        match find(ip) {
            Err(AddressError::NotHere { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            found_or_not => return found_or_not,
        }
    }
}

fn among(ip: Ipv4Addr, addresses: &[InterfaceAddress]) -> Option<LocalAddress> {
    let own = addresses.iter().find(|address| address.ip == ip);
    // Linux accepts every address of the loopback interface's subnet as its own, although it
    // lists only 127.0.0.1.
    let loopback = || {
        let carries = |address: &&InterfaceAddress| {
            address.loopback && subnet_of(address.ip, address.prefix).contains(ip)
        };
        addresses.iter().find(carries)
    };
    let address = own.or_else(loopback)?;
    Some(LocalAddress {
        ip,
        subnet: subnet_of(address.ip, address.prefix),
        broadcast: address.broadcast,
        interface: address.interface.clone(),
    })
}

fn subnet_of(ip: Ipv4Addr, prefix: u8) -> Cidr {
    Cidr::new(ip, prefix).unwrap_or(Cidr::single(ip))
}

/// The broadcast address of a subnet: all bits after the prefix are set. None for subnets of
/// one or two addresses, which have none (RFC 3021).
fn last_address(ip: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    (prefix < 31).then(|| Ipv4Addr::from_bits(ip.to_bits() | host_bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interface: &str, ip: [u8; 4], prefix: u8) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.to_owned(),
            ip: ip.into(),
            prefix,
            broadcast: last_address(ip.into(), prefix),
            loopback: ip[0] == 127,
        }
    }

    #[test]
    fn the_broadcast_address_is_the_one_of_the_interface_that_carries_the_ip() {
        let machine = [
            address("lo", [127, 0, 0, 1], 8),
            address("eth0", [10, 0, 2, 15], 24),
            address("eth1", [10, 10, 10, 2], 24),
        ];
        let found = among([10, 10, 10, 2].into(), &machine).expect("carried");
        assert_eq!(found.broadcast, Some([10, 10, 10, 255].into()));
        assert_eq!(found.subnet.to_string(), "10.10.10.0/24");
        assert_eq!(found.interface, "eth1");
        assert_eq!(among([10, 10, 10, 3].into(), &machine), None);
    }

    #[test]
    fn several_nodes_fit_on_the_loopback_interface() {
        let found = find([127, 0, 0, 2].into()).expect("loopback is there");
        assert_eq!(found.broadcast, Some([127, 255, 255, 255].into()));
        assert_eq!(found.subnet.to_string(), "127.0.0.0/8");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_those_of_this_one() {
        // TEST-NET-3 (RFC 5737): no machine has it.
        let error = find([203, 0, 113, 7].into()).expect_err("not here");
        let text = error.to_string();
        assert!(
            text.starts_with("203.0.113.7 is not an address of this machine"),
            "{text}"
        );
        assert!(text.contains("127.0.0.1 (lo)"), "{text}");
    }

    #[test]
    fn a_link_between_two_has_no_broadcast() {
        assert_eq!(last_address([10, 0, 0, 1].into(), 31), None);
        assert_eq!(last_address([10, 0, 0, 1].into(), 32), None);
        let wide = last_address([10, 0, 0, 1].into(), 0);
        assert_eq!(wide, Some(Ipv4Addr::BROADCAST));
    }

    #[tokio::test]
    async fn waiting_for_an_address_ends_with_the_time_given() {
        let waited = wait_for([203, 0, 113, 7].into(), Duration::from_millis(10)).await;
        assert!(matches!(waited, Err(AddressError::NotHere { .. })));
    }
}
