//! How the release before did on this node: what new code is compared with.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::generation::{Counts, EndCounts, HeadTimes, RequestEnd, Tally, Yardstick, totals};

use super::weigh::ENOUGH;

/// Fewer times than this say nothing of what 99 of 100 take.
const TIMES_ENOUGH: u64 = 100;
/// An answer is slow if it takes so many times as long as 99 of 100 did before, ...
const SLOWER: u32 = 4;
/// ... and at least so much longer. New code is a little slower at first, and below this
/// nobody notices.
const LONGER: Duration = Duration::from_millis(100);

/// What was counted of the release before.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Within the last window.
    pub recent: Counts,
    /// Since it was put in: for classes that had too few requests lately.
    pub all: Counts,
}

impl Past {
    /// A past of which all was counted lately.
    pub fn of(counts: Counts) -> Past {
        Past {
            all: counts.clone(),
            recent: counts,
        }
    }

    /// How the requests to a part of the segments ended.
    pub(super) fn tally(&self, counts: impl Fn(&str) -> bool) -> Tally {
        let recent = self.recent.tally(&counts);
        match recent.requests >= ENOUGH {
            true => recent,
            false => self.all.tally(&counts),
        }
    }

    /// How the requests to one segment ended; none if there were too few to say anything.
    pub(super) fn segment(&self, segment: &str) -> Option<Tally> {
        let of = |counts: &Counts| {
            let tally = totals(counts.segment(segment)?);
            (tally.requests >= ENOUGH).then_some(tally)
        };
        of(&self.recent).or_else(|| of(&self.all))
    }

    /// How long answers of a class took; none if there were too few to say anything.
    pub(super) fn times(&self, segment: &str, end: RequestEnd) -> Option<&HeadTimes> {
        let of = |counts| times(counts, segment, end);
        of(&self.recent).or_else(|| of(&self.all))
    }

    /// How long answers may take now.
    pub(super) fn yardstick(&self) -> Yardstick {
        let mut yardstick = Yardstick::default();
        let classes = |counts: &'_ Counts| -> Vec<(String, RequestEnd)> {
            let segments = counts.segments();
            let ends = |(segment, ends): (&str, &BTreeMap<RequestEnd, EndCounts>)| {
                let segment = segment.to_owned();
                let ends: Vec<RequestEnd> = ends.keys().copied().collect();
                ends.into_iter().map(move |end| (segment.clone(), end))
            };
            segments.flat_map(ends).collect()
        };
        for (segment, end) in classes(&self.all).into_iter().chain(classes(&self.recent)) {
            let p99 = self.times(&segment, end).and_then(HeadTimes::p99);
            if let Some(p99) = p99 {
                let limit = (p99 * SLOWER).max(p99 + LONGER);
                yardstick.set(&segment, end, limit);
            }
        }
        yardstick
    }
}

fn times<'a>(counts: &'a Counts, segment: &str, end: RequestEnd) -> Option<&'a HeadTimes> {
    let times = &counts.segment(segment)?.get(&end)?.times;
    (times.counted() >= TIMES_ENOUGH).then_some(times)
}
