//! Where requests came from, and counts by that. The number of sources is bounded.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// How many sources are told apart.
const SOURCES: usize = 64;

/// Where a request came from, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// From this machine, so that the address does not name the client.
    Exempt,
    /// From this address. Of IPv6 it is the first of the network (/64).
    Address(IpAddr),
    /// From one of those that are too many to be told apart.
    Others,
}

impl Source {
    /// The source with this address.
    pub fn of(ip: IpAddr) -> Source {
        Source::Address(match ip.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 => v4,
        })
    }
}

/// Counts by source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BySource(BTreeMap<Source, u64>);

impl BySource {
    /// Counts so many more from this source.
    pub fn count(&mut self, source: Source, more: u64) {
        let source = match self.0.len() < SOURCES || self.0.contains_key(&source) {
            true => source,
            false => Source::Others,
        };
        let count = self.0.entry(source).or_default();
        *count = count.saturating_add(more);
    }

    /// The counts.
    pub fn iter(&self) -> impl Iterator<Item = (Source, u64)> {
        self.0.iter().map(|(source, count)| (*source, *count))
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &BySource) {
        other.iter().for_each(|(it, count)| self.count(it, count));
    }

    pub(super) fn exempt(&mut self, is_exempt: &mut dyn FnMut(IpAddr) -> bool) {
        for (source, count) in std::mem::take(&mut self.0) {
            let source = match source {
                Source::Address(ip) if is_exempt(ip) => Source::Exempt,
                other => other,
            };
            self.count(source, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_bounded_and_an_ipv6_network_is_one() {
        let mut by = BySource::default();
        for host in 0..1000_u32 {
            by.count(Source::of(IpAddr::from(host.to_be_bytes())), 1);
        }
        assert!(by.0.len() <= SOURCES + 1);
        assert_eq!(by.iter().map(|(_, count)| count).sum::<u64>(), 1000);
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
