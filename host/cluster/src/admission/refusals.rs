//! Counts refusals by reason, and reports each source at most once a minute. The table is
//! bounded, whatever comes in.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::{Effect, Time, Version};

crate::reasons! {
    /// Why a datagram was refused.
    pub enum Refusal;
    /// Refused datagrams, by reason. States that members send over the control channel count
    /// too.
    pub struct RefusedDatagrams;
    /// The tag is wrong: another cookie, or a forgery.
    Cookie, cookie: "of another cookie", "wrong cookie";
    /// The datagram comes from outside of the own subnet and of every allowed range.
    Source, source: "from outside", "outside of the own subnet; --member-net lets it in";
    /// The tag is right, but the sender claims another IP than the datagram comes from.
    Address, address: "from another IP than that of the name",
        "its name has another IP than it sends from";
    /// The datagram does not begin like a datagram of a cluster, or is of another version.
    Version, version: "of another version",
        "of another protocol than version {}: from a host of another version, update the \
         older one; or from another program", Version::OURS.major();
    /// The datagram is shorter or longer than any datagram of a cluster.
    Size, size: "of a wrong size", "no datagram of a cluster has this size";
    /// The tag is right, but the content cannot be read.
    Content, content: "unreadable", "right cookie but unreadable; is it another version?";
    /// The datagram was meant for another node.
    Receiver, receiver: "for another node", "meant for another node";
    /// The datagram was seen before, or is too old for the window to tell.
    Replay, replay: "seen before", "seen before";
    /// A later run of the same node has taken the sender's place.
    Stale, stale: "of an earlier run", "from an earlier run of its node";
    /// The datagram has a release without a signature, where a deploy key is set.
    Unsigned, unsigned: "with an unsigned release",
        "a release that is not signed with the deploy key";
    /// The datagram has a release whose signature was not made with the deploy key.
    Forged, forged: "with a forged release",
        "a release that another key has signed, or that was changed after it was signed";
    /// The datagram presents as new a release that another has followed long ago.
    Old, old: "with an old release",
        "a release from before the target, told as if it were new";
}

crate::counts! {
    /// Refused records of releases since the start, by reason. A datagram brings one record,
    /// the state of a member may bring many.
    pub struct RefusedRecords {
        /// The records are not signed, where a deploy key is set.
        unsigned: "unsigned",
        /// The signature was not made with the deploy key.
        forged: "forged",
        /// The records were presented as new, long after another release has followed.
        old: "old",
        /// The records cannot be read, or break a rule.
        unreadable: "unreadable",
    }
}

/// How many datagrams were accepted since the start, and how many were refused for which
/// reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Accepted datagrams.
    pub accepted: u64,
    /// Datagrams of nodes that have not yet proven that they are live; such a node is asked to.
    pub probation: u64,
    /// Hellos that were not sent, because too many unknown nodes came at once.
    pub unanswered: u64,
    /// Datagrams of a kind that a later minor version has added.
    pub unknown: u64,
    /// Records of releases that were refused.
    pub records: RefusedRecords,
    /// Refused datagrams.
    pub refused: RefusedDatagrams,
}

/// How many sources are told apart. More sources at once are reported together.
const SOURCES_MAX: usize = 256;

/// The time between two reports about one source.
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

    /// Counts a refused datagram. Returns what to report, if a report is due.
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
