//! What really happened on the nodes while two commands told of it, by the logs
//! of the nodes.

use super::draw::half_of;
use crate::process::Line;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Something that holds from a moment on.
type Since<T> = Vec<(Instant, T)>;

/// What happened, and when.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// From when to when the halves were apart.
    apart: (Instant, Instant),
    nodes: BTreeMap<u8, Log>,
}

/// What the log of one node says.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// The beginning of the digest of the app that it serves.
    served: Since<String>,
    /// The beginning of the id of the target.
    target: Since<String>,
    /// Members that came up or went down.
    members: Since<(u8, bool)>,
    /// Releases that lost: the beginning of the key, and the whole line.
    superseded: Vec<(String, String)>,
}

impl Log {
    /// What these lines say of a node that served this app before.
    pub(super) fn read(lines: &[Line], before: (Instant, &str)) -> Self {
        let mut log = Self {
            served: vec![(before.0, before.1.to_owned())],
            ..Self::default()
        };
        for line in lines {
            let (at, text) = (line.at, line.text.as_str());
            let is = |what: &str| text.contains(what);
            let field = |name| field(text, name).unwrap_or_default();
            if is(" the app changed") {
                log.served.push((at, field("digest")));
            } else if is(" new target") {
                log.target.push((at, field("release")));
            } else if is(" superseded: ") {
                log.superseded.push((field("release"), text.to_owned()));
            } else if is(" member up") || is(" member down") {
                let member = field("member");
                let number = member.rsplit('.').next().and_then(|it| it.parse().ok());
                let up = is(" member up");
                log.members.extend(number.map(|number| (at, (number, up))));
            }
        }
        log
    }
}

/// The value of a field of a line of the log.
fn field(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!(" {name}="))?;
    let rest = rest.trim_start_matches('"');
    rest.split([' ', '"']).next().map(str::to_owned)
}

/// What held last before this moment.
fn last<T>(of: &[(Instant, T)], at: Instant) -> Option<&(Instant, T)> {
    of.iter().rev().find(|(since, _)| *since <= at)
}

impl Facts {
    /// Of these logs.
    pub(super) fn new(apart: (Instant, Instant), nodes: BTreeMap<u8, Log>) -> Self {
        Self { apart, nodes }
    }

    fn log(&self, node: u8) -> &Log {
        const NONE: &Log = &Log {
            served: Vec::new(),
            target: Vec::new(),
            members: Vec::new(),
            superseded: Vec::new(),
        };
        self.nodes.get(&node).unwrap_or(NONE)
    }

    /// Whether a node served this app at any moment of these.
    pub(super) fn served(&self, node: u8, digest: &str, from: Instant, to: Instant) -> bool {
        let served = &self.log(node).served;
        let is = |held: &(Instant, String)| begins(digest, &held.1);
        let during = served.iter().filter(|(at, _)| (from..=to).contains(at));
        last(served, from).into_iter().chain(during).any(is)
    }

    /// Whether it served it all the time.
    pub(super) fn served_throughout(
        &self,
        node: u8,
        digest: &str,
        from: Instant,
        to: Instant,
    ) -> bool {
        let served = &self.log(node).served;
        let is = |held: &(Instant, String)| begins(digest, &held.1);
        let mut during = served.iter().filter(|(at, _)| *at > from && *at <= to);
        last(served, from).is_some_and(is) && during.all(is)
    }

    /// The target on a node at a moment, and since when; none if it is
    /// still that of before.
    pub(super) fn target(&self, node: u8, at: Instant) -> Option<(Instant, &str)> {
        let (since, id) = last(&self.log(node).target, at)?;
        Some((*since, id))
    }

    /// Whether a node had the other one as a member all the time. Before the
    /// schedule all were members of all.
    pub(super) fn listed_throughout(
        &self,
        node: u8,
        other: u8,
        from: Instant,
        to: Instant,
    ) -> bool {
        let of_other = |it: &&(Instant, (u8, bool))| it.1.0 == other;
        let members: Vec<_> = self.log(node).members.iter().filter(of_other).collect();
        let before = members.iter().rev().find(|(at, _)| *at <= from);
        let went = |it: &&(Instant, (u8, bool))| it.0 > from && it.0 <= to && !it.1.1;
        before.is_none_or(|(_, (_, up))| *up) && !members.iter().any(went)
    }

    /// When the one could last hear of the other, before this moment.
    pub(super) fn last_contact(&self, one: u8, other: u8, at: Instant) -> Instant {
        let (cut, healed) = self.apart;
        let apart = half_of(one) != half_of(other) && (cut..healed).contains(&at);
        if apart { cut } else { at }
    }

    /// Whether the two could talk for so long before this moment.
    pub(super) fn in_contact(&self, one: u8, other: u8, at: Instant, time: Duration) -> bool {
        let (cut, healed) = self.apart;
        let from = at.checked_sub(time).unwrap_or(at);
        half_of(one) == half_of(other) || at < cut || from > healed
    }

    /// The line with which a node says that the one release lost against the
    /// other.
    pub(super) fn superseded(&self, node: u8, loser: &str, winner: &str) -> Option<&str> {
        let mut lines = self.log(node).superseded.iter();
        let of = |id: &str, line: &str| {
            begins(loser, id) && winner.get(..10).is_some_and(|by| line.contains(by))
        };
        lines
            .find(|(id, line)| of(id, line))
            .map(|(_, line)| line.as_str())
    }
}

/// Whether the shown beginning is one of this.
pub(super) fn begins(whole: &str, shown: &str) -> bool {
    !shown.is_empty() && whole.starts_with(shown)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::process::Source;

    /// A log of these lines, each so many milliseconds after the beginning.
    pub(in crate::schedules) fn log(began: Instant, lines: &[(u64, &str)]) -> Log {
        let lines: Vec<Line> = lines
            .iter()
            .map(|(ms, text)| Line {
                at: began + Duration::from_millis(*ms),
                source: Source::Stderr,
                text: format!("2026-11-24T22:43:08.123456Z  INFO {text}"),
            })
            .collect();
        Log::read(&lines, (began, "old0"))
    }

    #[test]
    fn what_a_node_served_and_listed_is_read_from_its_log() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let lines = [
            (
                100,
                "new target: push by ann on example@10.10.10.2 release=b2c0 digest=\"new0\"",
            ),
            (
                200,
                "the app changed release=b2c0 digest=\"new0\" waited_ms=0",
            ),
            (300, "member down member=example@10.10.10.4 reason=silent"),
            (
                500,
                "member up member=example@10.10.10.4 url=http://x reason=back",
            ),
        ];
        let nodes = BTreeMap::from([(2, log(began, &lines))]);
        let facts = Facts::new((at(0), at(400)), nodes);
        assert!(facts.served(2, "new0ff", at(150), at(250)));
        assert!(!facts.served(2, "new0ff", at(0), at(199)));
        assert!(facts.served(2, "old0ff", at(199), at(250)));
        assert!(!facts.served(2, "old0ff", at(200), at(250)));
        assert!(facts.served_throughout(2, "new0ff", at(200), at(900)));
        assert!(!facts.served_throughout(2, "new0ff", at(199), at(900)));
        assert_eq!(facts.target(2, at(99)), None);
        assert_eq!(facts.target(2, at(100)), Some((at(100), "b2c0")));
        assert!(facts.listed_throughout(2, 4, at(250), at(299)));
        assert!(!facts.listed_throughout(2, 4, at(250), at(300)));
        assert!(!facts.listed_throughout(2, 4, at(499), at(900)));
        assert!(facts.listed_throughout(2, 4, at(500), at(900)));
        assert!(facts.listed_throughout(2, 5, at(0), at(900)));
        assert_eq!(facts.last_contact(2, 4, at(300)), at(0));
        assert_eq!(facts.last_contact(2, 3, at(300)), at(300));
        assert!(!facts.in_contact(2, 4, at(900), Duration::from_millis(600)));
        assert!(facts.in_contact(2, 4, at(900), Duration::from_millis(400)));
    }
}
