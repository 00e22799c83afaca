//! Whether failures suffice for a vote, however they are spread over the clients.
//!
//! The failures of one source count at most half of what a vote needs. Those that do not
//! count are not counted as requests either: what the vote needs is worked out anew from
//! the rest, until nothing changes. So one client alone can neither bring a release down
//! nor hide that it fails for all others.

use runtime::generation::{BySource, Source};

/// Fewer requests than this decide nothing.
pub const ENOUGH: u64 = 20;

/// Keeps a share that is just allowed from being taken for a greater one, since shares
/// such as 0.29 have no exact form.
const ROUNDING: f64 = 1e-9;

/// Whether more than this share of the requests failed, and at least so many.
pub(super) fn suffices(requests: u64, failures: &BySource, share: f64, least: u64) -> bool {
    let failed: u64 = failures.iter().map(|(_, count)| count).sum();
    let succeeded = number(requests.saturating_sub(failed));
    let mut considered = number(requests);
    while considered >= number(ENOUGH) {
        let needed = ((share * considered + ROUNDING).floor() + 1.0).max(number(least));
        let counts = |(source, count)| match source {
            Source::Exempt => number(count),
            Source::Address(_) | Source::Others => number(count).min(needed / 2.0),
        };
        let counted: f64 = failures.iter().map(counts).sum();
        if counted >= needed {
            return true;
        }
        let rest = succeeded + counted;
        if rest >= considered {
            return false;
        }
        considered = rest;
    }
    false
}

/// Counts stay far below 2^52, so this is exact.
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn address(number: u32) -> Source {
        Source::of(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)))
    }

    /// Failures of sources one after the other, by how many each has.
    fn failures(of: &[u64]) -> BySource {
        let mut failures = BySource::default();
        for (number, count) in (0..).zip(of) {
            failures.count(address(number), *count);
        }
        failures
    }

    fn exempt(count: u64) -> BySource {
        let mut failures = BySource::default();
        failures.count(Source::Exempt, count);
        failures
    }

    const SHARE: f64 = 0.2;

    #[test]
    fn one_source_never_suffices_however_much_it_sends() {
        for sent in [20, 25, 1000, 1_000_000] {
            for good in [0, 1, 10, 1000] {
                assert!(
                    !suffices(good + sent, &failures(&[sent]), SHARE, 1),
                    "{sent} {good}"
                );
                // Others fail now and then.
                let now_and_then = failures(&[sent, 1]);
                assert!(!suffices(good * 100 + sent + 1, &now_and_then, SHARE, 1));
            }
        }
    }

    #[test]
    fn two_sources_for_which_everything_fails_suffice() {
        assert!(suffices(20, &failures(&[10, 10]), SHARE, 1));
        assert!(suffices(200, &failures(&[100, 100]), SHARE, 1));
        assert!(suffices(1000, &failures(&[990, 10]), SHARE, 1));
    }

    #[test]
    fn one_source_cannot_hide_that_it_fails_for_all_others() {
        let mut of = vec![1; 50];
        of.push(950);
        assert!(suffices(1000, &failures(&of), SHARE, 1));
    }

    #[test]
    fn what_comes_from_this_machine_or_through_a_proxy_counts_in_full() {
        assert!(suffices(20, &exempt(5), SHARE, 1));
        assert!(!suffices(20, &exempt(4), SHARE, 1));
        assert!(!suffices(19, &exempt(19), SHARE, 1));
        assert!(!suffices(100, &exempt(29), 0.29, 1));
        assert!(suffices(100, &exempt(30), 0.29, 1));
        assert!(!suffices(100, &exempt(9), 0.01, 10));
    }

    #[test]
    fn very_many_sources_are_none_that_is_hidden() {
        let all_fail = failures(&[1; 1000]);
        assert!(suffices(1000, &all_fail, SHARE, 1));
    }
}
