//! Counts of requests by class: the first segment of their path, and how they ended.
//! Failures, and answers that take too long, are also counted by where they came from.
//! Everything is bounded, whatever clients send.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::source::{BySource, Source};
use super::tally::{RequestEnd, Tally};
use super::times::HeadTimes;

/// How many first segments of paths are told apart.
const SEGMENTS: usize = 32;
/// How many ends of one segment are told apart.
const ENDS: usize = 16;
/// How many bytes of a segment count.
const SEGMENT_BYTES: usize = 64;
/// Stands for all segments that are not told apart.
pub const OTHER_SEGMENTS: &str = "*";

/// How requests of one segment ended in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndCounts {
    /// How many requests are counted here. A stream that began well and was cut later
    /// is a request with its status, and a failure with the cause of the cut.
    pub requests: u64,
    /// How many failed so.
    pub failed: u64,
    /// Where these came from.
    pub failed_by: BySource,
    /// How long their answers took; those of failures are not counted.
    pub times: HeadTimes,
    /// Those that took longer than the yardstick, and where they came from.
    pub slow_by: BySource,
}

impl EndCounts {
    fn add(&mut self, other: &EndCounts) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failed = self.failed.saturating_add(other.failed);
        self.failed_by.add(&other.failed_by);
        self.times.add(&other.times);
        self.slow_by.add(&other.slow_by);
    }
}

/// How many requests ended in which way, by the first segment of their path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Box<str>, BTreeMap<RequestEnd, EndCounts>>);

impl Counts {
    /// The segments and what was counted of each.
    pub fn segments(&self) -> impl Iterator<Item = (&str, &BTreeMap<RequestEnd, EndCounts>)> {
        self.0.iter().map(|(segment, ends)| (&**segment, ends))
    }

    /// What was counted of one segment.
    pub fn segment(&self, segment: &str) -> Option<&BTreeMap<RequestEnd, EndCounts>> {
        self.0.get(segment)
    }

    /// The totals of a part of the segments.
    pub fn tally(&self, counts: impl Fn(&str) -> bool) -> Tally {
        let mut tally = Tally::default();
        for (_, ends) in self.segments().filter(|(segment, _)| counts(segment)) {
            tally.add(&totals(ends));
        }
        tally
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Counts) {
        for (segment, ends) in &other.0 {
            for (end, ended) in ends {
                self.at(segment, *end, |_, mine| mine.add(ended));
            }
        }
    }

    /// From now on, those from an exempt address count as such.
    pub fn exempt(&mut self, mut is_exempt: impl FnMut(IpAddr) -> bool) {
        for ended in self.0.values_mut().flat_map(BTreeMap::values_mut) {
            ended.failed_by.exempt(&mut is_exempt);
            ended.slow_by.exempt(&mut is_exempt);
        }
    }

    /// Forgets how long answers took.
    pub fn forget_times(&mut self) {
        for ended in self.0.values_mut().flat_map(BTreeMap::values_mut) {
            ended.times = HeadTimes::default();
            ended.slow_by = BySource::default();
        }
    }

    /// Counts a request.
    pub fn count(&mut self, request: &CountedRequest<'_>, yardstick: &Yardstick) {
        let CountedRequest {
            path,
            source,
            end,
            time,
            is_new,
            is_failure,
        } = *request;
        self.at(segment(path), end, |segment, ended| {
            ended.requests = ended.requests.saturating_add(u64::from(is_new));
            if is_failure {
                ended.failed = ended.failed.saturating_add(1);
                ended.failed_by.count(source, 1);
            } else if let Some(time) = time {
                ended.times.count(time);
                if yardstick.limit(segment, end).is_some_and(|it| time > it) {
                    ended.slow_by.count(source, 1);
                }
            }
        });
    }

    /// Changes what is counted of a segment and an end. A segment that is only refused is
    /// not told apart, or any client could use all of them up.
    fn at(&mut self, segment: &str, end: RequestEnd, change: impl FnOnce(&str, &mut EndCounts)) {
        let is_told_apart = self.0.contains_key(segment)
            || self.0.len() < SEGMENTS && !end.is_refusal() && segment != OTHER_SEGMENTS;
        let segment = match is_told_apart {
            true => segment,
            false => OTHER_SEGMENTS,
        };
        if !self.0.contains_key(segment) {
            self.0.insert(segment.into(), BTreeMap::new());
        }
        let Some(ends) = self.0.get_mut(segment) else {
            return;
        };
        let end = match (end, ends.len() < ENDS || ends.contains_key(&end)) {
            (RequestEnd::Answered(status), false) => RequestEnd::Answered(status / 100 * 100),
            (end, _) => end,
        };
        change(segment, ends.entry(end).or_default());
    }
}

/// The totals of one segment.
pub fn totals(ends: &BTreeMap<RequestEnd, EndCounts>) -> Tally {
    let mut tally = Tally::default();
    for (end, ended) in ends {
        tally.requests = tally.requests.saturating_add(ended.requests);
        tally.fail(*end, ended.failed);
    }
    tally
}

/// One request, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct CountedRequest<'a> {
    /// Its path.
    pub path: &'a str,
    /// Where it came from.
    pub source: Source,
    /// How it ended.
    pub end: RequestEnd,
    /// How long its answer took, if that is known.
    pub time: Option<Duration>,
    /// Whether it was not counted as a request before.
    pub is_new: bool,
    /// Whether it failed now.
    pub is_failure: bool,
}

/// How long the answers of each class may take. What takes longer is counted as slow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Yardstick(BTreeMap<Box<str>, BTreeMap<RequestEnd, Duration>>);

impl Yardstick {
    /// Sets the limit of a class.
    pub fn set(&mut self, segment: &str, end: RequestEnd, limit: Duration) {
        let ends = self.0.entry(segment.into()).or_default();
        ends.insert(end, limit);
    }

    /// The limit of a class, if it has one.
    pub fn limit(&self, segment: &str, end: RequestEnd) -> Option<Duration> {
        self.0.get(segment)?.get(&end).copied()
    }
}

/// The first segment of a path, with the slash before it.
fn segment(path: &str) -> &str {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let end = rest.find('/').unwrap_or(rest.len()) + (path.len() - rest.len());
    let end = path.floor_char_boundary(end.min(SEGMENT_BYTES));
    path.get(..end).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(path: &str, status: u16) -> CountedRequest<'_> {
        let end = RequestEnd::Answered(status);
        CountedRequest {
            path,
            source: Source::of(IpAddr::from([10, 0, 0, 1])),
            end,
            time: Some(Duration::from_millis(1)),
            is_new: true,
            is_failure: end.is_failure(),
        }
    }

    #[test]
    fn requests_are_told_apart_by_the_first_segment_and_the_status() {
        let mut counts = Counts::default();
        for (path, status) in [
            ("/", 200),
            ("/api/a", 200),
            ("/api/b", 500),
            ("/api", 404),
            ("*", 200),
        ] {
            counts.count(&answered(path, status), &Yardstick::default());
        }
        let segments: Vec<&str> = counts.segments().map(|(segment, _)| segment).collect();
        assert_eq!(segments, ["*", "/", "/api"]);
        let api = totals(&counts.0["/api"]);
        assert_eq!((api.requests, api.errors), (3, 1));
        assert_eq!(counts.tally(|_| true).requests, 5);
    }

    #[test]
    fn a_client_cannot_use_up_the_segments_with_paths_that_are_not_there() {
        let mut counts = Counts::default();
        let none = Yardstick::default();
        for made_up in 0..1000 {
            counts.count(&answered(&format!("/{made_up}"), 404), &none);
        }
        assert_eq!(counts.0.len(), 1);
        for served in 0..1000 {
            counts.count(&answered(&format!("/{served}"), 200), &none);
        }
        assert!(counts.0.len() <= SEGMENTS + 1);
        assert_eq!(counts.tally(|_| true).requests, 2000);
    }

    #[test]
    fn what_is_slower_than_its_yardstick_is_counted_with_its_source() {
        let mut yardstick = Yardstick::default();
        yardstick.set("/api", RequestEnd::Answered(200), Duration::from_millis(50));
        let mut counts = Counts::default();
        for (path, status, millis) in [("/api", 200, 60), ("/api", 200, 40), ("/", 200, 60)] {
            let request = CountedRequest {
                time: Some(Duration::from_millis(millis)),
                ..answered(path, status)
            };
            counts.count(&request, &yardstick);
        }
        let slow: Vec<u64> = counts
            .segments()
            .flat_map(|(_, ends)| ends.values())
            .map(|ended| ended.slow_by.iter().map(|(_, count)| count).sum())
            .collect();
        assert_eq!(slow, [0, 1]);
        counts.forget_times();
        assert_eq!(counts.tally(|_| true).requests, 3);
        assert_eq!(
            counts.0["/api"][&RequestEnd::Answered(200)].times.p99(),
            None
        );
    }
}
