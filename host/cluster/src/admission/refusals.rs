//! What is refused: counted by reason, and reported at most once per source
//! and minute. Bounded, whatever comes in.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::{Effect, Time, Version};

crate::reasons! {
    /// Why a datagram was refused.
    pub enum Refusal;
    /// Datagrams that were refused, by reason; what members say of their state
    /// over the control channel counts too.
    pub struct RefusedDatagrams;
    /// Its tag is wrong: another cookie, or a forgery.
    Cookie, cookie: "of another cookie", "wrong cookie";
    /// It comes from outside of the own subnet and every allowed range.
    Source, source: "from outside", "outside of the own subnet; --member-net lets it in";
    /// Its tag is right but its sender claims another IP than it comes from.
    Address, address: "from another IP than that of the name",
        "its name has another IP than it sends from";
    /// It does not begin like a datagram of a cluster, or of another version.
    Version, version: "of another version",
        "of another protocol than version {}: from a host of another version, update the \
         older one; or from another program", Version::OURS.major();
    /// It is shorter or longer than any datagram of a cluster.
    Size, size: "of a wrong size", "no datagram of a cluster has this size";
    /// Its tag is right but its content cannot be read.
    Content, content: "unreadable", "right cookie but unreadable; is it another version?";
    /// It was meant for another node.
    Receiver, receiver: "for another node", "meant for another node";
    /// It was seen before, or is older than what the window still tells apart.
    Replay, replay: "seen before", "seen before";
    /// Its sender has been followed by a later run of the same node.
    Stale, stale: "of an earlier run", "from an earlier run of its node";
    /// It has a release that is not signed, where a deploy key is set.
    Unsigned, unsigned: "with an unsigned release",
        "a release that is not signed with the deploy key";
    /// It has a release whose signature is not that of the deploy key over it.
    Forged, forged: "with a forged release",
        "a release that another key has signed, or that was changed after it was signed";
    /// It tells as new of a release that has long been followed by another.
    Old, old: "with an old release",
        "a release from before the target, told as if it were new";
}

crate::counts! {
    /// Records of releases that were refused, by reason, since the start. A datagram
    /// brings one, the state of a member may bring many.
    pub struct RefusedRecords {
        /// They are not signed, where a deploy key is set.
        unsigned: "unsigned",
        /// Their signature is not that of the deploy key over them.
        forged: "forged",
        /// They were told as new, long after another release has followed.
        old: "old",
        /// They cannot be read, or break a rule.
        unreadable: "unreadable",
    }
}

/// How many datagrams were accepted, and refused for which reason, since the
/// start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Accepted.
    pub accepted: u64,
    /// From a node that has not yet proven that it is live; it is asked to.
    pub probation: u64,
    /// Hellos that were not sent, because too many strangers came at once.
    pub unanswered: u64,
    /// Of a kind that a later minor version has added.
    pub unknown: u64,
    /// Records of releases that were refused.
    pub records: RefusedRecords,
    /// Refused.
    pub refused: RefusedDatagrams,
}

/// The sources that are told apart. What comes from more of them at once is
/// reported together.
const SOURCES_MAX: usize = 256;

/// How often one source is reported.
const QUIET: Duration = Duration::from_secs(60);

/// The bounded table of refused datagrams.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    pub(crate) counters: Counters,
    sources: BTreeMap<Ipv4Addr, Source>,
}

#[derive(Debug)]
struct Source {
    reported: Time,
    since: u64,
}

impl Refusals {
    /// How many sources are told apart now.
    #[cfg(feature = "sim")]
    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Counts a refused datagram. Says what to report, if it is time to.
    pub(crate) fn refuse(&mut self, now: Time, from: SocketAddrV4, why: Refusal) -> Option<Effect> {
        self.counters.refused.count(why);
        let mut shown = from;
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(from.ip()) {
            self.sources
                .retain(|_, source| now.since(source.reported) < QUIET);
            if self.sources.len() >= SOURCES_MAX {
                shown = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
            }
        }
        let count = match self.sources.get_mut(shown.ip()) {
            Some(source) if now.since(source.reported) < QUIET => {
                source.since += 1;
                return None;
            }
            Some(source) => source.since + 1,
            None => 1,
        };
        self.sources.insert(
            *shown.ip(),
            Source {
                reported: now,
                since: 0,
            },
        );
        Some(Effect::Refused {
            source: shown,
            why,
            count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from_bits(0x0a00_0000 + n), 8383)
    }

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_source_is_reported_once_a_minute_with_how_many_there_were() {
        let mut refusals = Refusals::default();
        let reports: Vec<u64> = (0..180)
            .filter_map(|s| refusals.refuse(at(s), source(1), Refusal::Cookie))
            .map(|effect| match effect {
                Effect::Refused { count, .. } => count,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(reports, [1, 60, 60]);
        assert_eq!(refusals.counters.refused.of(Refusal::Cookie), 180);
    }

    #[test]
    fn ten_thousand_sources_take_bounded_memory_and_few_reports() {
        let mut refusals = Refusals::default();
        let reports = (0..10_000)
            .filter_map(|n| refusals.refuse(at(1), source(n), Refusal::Size))
            .count();
        assert_eq!(reports, SOURCES_MAX + 1);
        assert_eq!(refusals.sources.len(), SOURCES_MAX + 1);
        assert!(
            refusals
                .refuse(at(100), source(20_000), Refusal::Size)
                .is_some()
        );
        assert!(
            refusals.sources.len() < 3,
            "sources are forgotten after a minute"
        );
        assert_eq!(refusals.counters.refused.total(), 10_001);
    }
}
