//! What is wrong with new code, from what was counted of it and of the release before.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use runtime::generation::{
    BySource, EndCounts, Fresh, HeadTimes, OTHER_SEGMENTS, RequestEnd, Source, Tally, totals,
};

use super::Rule;
use super::past::Past;
use super::weigh::{ENOUGH, suffices};

/// Answers are too slow if more than one in a hundred is, ...
const SLOW_SHARE: f64 = 0.01;
/// ... and at least so many.
const SLOW_LEAST: u64 = 10;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests fail.
    Requests {
        /// The segment of which this holds; none if it holds of all.
        segment: Option<String>,
        /// How they ended.
        counted: Tally,
        /// How those of the release before ended.
        before: Tally,
    },
    /// Too many states of open streams cannot be taken over.
    Changes(Tally),
    /// Answers take too long.
    Slow {
        /// The segment of which this holds.
        segment: String,
        /// The status of these answers.
        status: u16,
        /// How many were counted.
        counted: u64,
        /// What 99 of 100 did not pass; none if that is not known.
        p99: Option<Duration>,
        /// What 99 of 100 did not pass with the release before.
        before: Option<Duration>,
    },
}

/// Why a release failed, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What is wrong.
    pub fault: Fault,
    /// In which time it was counted.
    pub within: Duration,
}

impl Fault {
    /// The first thing that is wrong.
    pub(super) fn find(rule: Rule, now: &Fresh, past: &Past) -> Option<Fault> {
        in_all(rule, now, past)
            .or_else(|| in_a_segment(rule, now, past))
            .or_else(|| in_changes(rule, &now.changes))
            .or_else(|| in_times(now, past))
    }
}

/// Whether a segment failed as often with the release before. Going back would not help,
/// so its requests say nothing.
fn was_bad(rule: Rule, past: &Past, segment: &str) -> bool {
    past.segment(segment)
        .is_some_and(|before| rate(&before) > rule.part())
}

fn in_all(rule: Rule, now: &Fresh, past: &Past) -> Option<Fault> {
    let counts = |segment: &str| !was_bad(rule, past, segment);
    let before = past.tally(counts);
    // If few requests came before, nothing is known of that release, and it counts as good.
    let usual = match before.requests >= ENOUGH {
        true => rate(&before),
        false => 0.0,
    };
    let mut failed_by = BySource::default();
    for (segment, ends) in now.requests.segments() {
        if counts(segment) {
            ends.values().for_each(|it| failed_by.add(&it.failed_by));
        }
    }
    let counted = now.requests.tally(counts);
    let is_worse =
        usual <= rule.part() && suffices(counted.requests, &failed_by, rule.part() + usual, 1);
    is_worse.then_some(Fault::Requests {
        segment: None,
        counted,
        before,
    })
}

/// A fault in a part of the app that is too small to show in all requests. It is one only
/// if the release before is known to have served that part well.
fn in_a_segment(rule: Rule, now: &Fresh, past: &Past) -> Option<Fault> {
    now.requests.segments().find_map(|(segment, ends)| {
        if segment == OTHER_SEGMENTS || was_bad(rule, past, segment) {
            return None;
        }
        let before = past.segment(segment)?;
        let counted = totals(ends);
        let share = rule.part() + rate(&before);
        suffices(counted.requests, &failed_by(ends), share, 1).then(|| Fault::Requests {
            segment: Some(segment.to_owned()),
            counted,
            before,
        })
    })
}

/// No earlier code has turned states into this version, so there is no comparison. Which
/// clients have streams open is not known, and a state is what the app has made of it.
fn in_changes(rule: Rule, changes: &Tally) -> Option<Fault> {
    let mut failed = BySource::default();
    failed.count(Source::Exempt, changes.failed());
    suffices(changes.requests, &failed, rule.part(), 1).then_some(Fault::Changes(*changes))
}

fn in_times(now: &Fresh, past: &Past) -> Option<Fault> {
    now.requests.segments().find_map(|(segment, ends)| {
        ends.iter().find_map(|(end, ended)| {
            let RequestEnd::Answered(status) = *end else {
                return None;
            };
            let counted = ended.times.counted();
            suffices(counted, &ended.slow_by, SLOW_SHARE, SLOW_LEAST).then(|| Fault::Slow {
                segment: segment.to_owned(),
                status,
                counted,
                p99: ended.times.p99(),
                before: past.times(segment, *end).and_then(HeadTimes::p99),
            })
        })
    })
}

fn failed_by(ends: &BTreeMap<RequestEnd, EndCounts>) -> BySource {
    let mut failed_by = BySource::default();
    ends.values().for_each(|it| failed_by.add(&it.failed_by));
    failed_by
}

fn rate(tally: &Tally) -> f64 {
    match tally.requests {
        0 => 0.0,
        requests => tally.failed() as f64 / requests as f64,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The time is known only to a tenth of a second.
        let within = self.within.as_secs_f64();
        match &self.fault {
            Fault::Requests {
                segment,
                counted,
                before,
            } => {
                let of = match segment {
                    None => "requests".to_owned(),
                    // A client has chosen it.
                    Some(segment) => format!("requests to {}", segment.escape_debug()),
                };
                write!(f, "{} in {within:.1} s", Failed(counted, &of))?;
                match before.requests {
                    0 => f.write_str("; the release before served none here"),
                    all => write!(f, "; the release before: {} of {all}", before.failed()),
                }
            }
            Fault::Changes(counted) => {
                let failed = Failed(counted, "open streams that came over to it");
                write!(f, "{failed} in {within:.1} s")
            }
            Fault::Slow {
                segment,
                status,
                counted,
                p99,
                before,
            } => {
                write!(
                    f,
                    "of {counted} answers {status} to {} in {within:.1} s, 1 in 100 took {} and longer; \
                     with the release before: {}",
                    segment.escape_debug(),
                    Seconds(*p99),
                    Seconds(*before),
                )
            }
        }
    }
}

struct Failed<'a>(&'a Tally, &'a str);

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed(tally, what) = *self;
        let failed = tally.failed();
        write!(f, "{failed} of {} {what} ", tally.requests)?;
        let kinds = [
            (tally.trapped, "trapped"),
            (tally.overrun, "passed their deadline"),
            (tally.errors, "were answered with an error (5xx)"),
        ];
        if let Some((_, only)) = kinds.iter().find(|(count, _)| *count == failed) {
            return f.write_str(only);
        }
        let some = kinds.iter().filter(|(count, _)| *count > 0);
        let some: Vec<String> = some
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        write!(f, "failed ({})", some.join(", "))
    }
}

struct Seconds(Option<Duration>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "{:.2} s", time.as_secs_f64()),
            None => f.write_str("not known"),
        }
    }
}
