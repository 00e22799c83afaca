//! Which addresses are special: those that are not on the public internet, and those that no
//! server has. Source: IANA's registries of special-purpose addresses (RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Cidr;

/// A block of addresses that a rule must name itself.
pub(super) struct SpecialBlock {
    pub(super) block: Cidr,
    /// What people call an address of the block.
    pub(super) kind: &'static str,
}

/// Addresses that no server has. Linux takes `0.0.0.0` for this machine, so they are not harmless.
pub(super) const NO_SERVER: [SpecialBlock; 5] = [
    v4([0, 0, 0, 0], 8, "an address of this network (0.0.0.0/8)"),
    v4([224, 0, 0, 0], 4, "a multicast address"),
    v4([255, 255, 255, 255], 32, "the broadcast address"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "the unspecified address"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "a multicast address"),
];

/// Addresses that are not public. A block that lies inside of another one stands before it.
const SPECIAL: [SpecialBlock; 24] = [
    v4([10, 0, 0, 0], 8, "a private address"),
    v4(
        [100, 64, 0, 0],
        10,
        "a shared address of a provider's network",
    ),
    v4([127, 0, 0, 0], 8, "a loopback address"),
    v4([169, 254, 0, 0], 16, "a link-local address"),
    v4([172, 16, 0, 0], 12, "a private address"),
    v4([192, 0, 0, 0], 24, "a reserved address"),
    v4([192, 0, 2, 0], 24, "an address for documentation"),
    v4([192, 88, 99, 0], 24, "a reserved address"),
    v4([192, 168, 0, 0], 16, "a private address"),
    v4([198, 18, 0, 0], 15, "an address for benchmarks"),
    v4([198, 51, 100, 0], 24, "an address for documentation"),
    v4([203, 0, 113, 0], 24, "an address for documentation"),
    v4([240, 0, 0, 0], 4, "a reserved address"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "a loopback address"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a private address"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "a link-local address"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "a private address"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "a reserved address"),
    v6(
        [0x2001, 0x0db8, 0, 0, 0, 0, 0, 0],
        32,
        "an address for documentation",
    ),
    // An address of 6to4 holds an IPv4 address, which a relay would send to.
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "an address of 6to4"),
    v6(
        [0x3fff, 0, 0, 0, 0, 0, 0, 0],
        20,
        "an address for documentation",
    ),
    // Public addresses are in 2000::/3; these three are all the others.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 3, "a reserved address"),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, "a reserved address"),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, "a reserved address"),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8, kind: &'static str) -> SpecialBlock {
    let block = Cidr::constant(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix);
    SpecialBlock { block, kind }
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8, kind: &'static str) -> SpecialBlock {
    let block = Cidr::constant(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix);
    SpecialBlock { block, kind }
}

/// The special block that has the address, if it is not public.
pub(super) fn special(ip: IpAddr) -> Option<&'static SpecialBlock> {
    let ip = canonical(ip);
    let mut all = NO_SERVER.iter().chain(&SPECIAL);
    all.find(|it| it.block.contains(ip))
}

/// The address that is reached in the end: the IPv4 address in `::ffff:127.0.0.1`, and in
/// `64:ff9b::7f00:1`, which a translator (RFC 6052) sends on to.
pub fn canonical(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    if let IpAddr::V6(v6) = ip
        && let [0x0064, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments()
    {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return Ipv4Addr::new(a, b, c, d).into();
    }
    ip
}

/// What people call an address: `a public address`, `a private address`, …
pub fn address_kind(ip: IpAddr) -> &'static str {
    special(ip).map_or("a public address", |it| it.kind)
}
