//! The bake check of new code. It reads no clock and does no IO: it gets time
//! and counts, and returns an outcome at most once.

use std::fmt;
use std::time::Duration;

use super::{RecentTally, Rule};
use runtime::generation::Tally;

/// Fewer requests than this decide nothing.
pub const ENOUGH: u64 = 20;

/// What was counted of a generation up to now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// How its requests ended.
    pub requests: Tally,
    /// How it turned states of open streams into states of its own version.
    pub changes: Tally,
}

/// The outcome of a bake check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BakeOutcome {
    /// It has served for the whole bake without failing too often.
    Sound,
    /// It failed too often.
    Failed(Reason),
}

/// Why it failed, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    what: &'static str,
    counted: Tally,
    within: Duration,
    /// How the release before did; none if it cannot be compared.
    before: Option<Tally>,
}

/// New code while it bakes.
#[derive(Debug)]
pub struct BakeCheck {
    rule: Option<Rule>,
    before: Tally,
    until: Duration,
    requests: RecentTally,
    changes: RecentTally,
    is_over: bool,
}

impl BakeCheck {
    /// A check by this rule, compared with how the release before did. It lasts
    /// for `bake`, else for the window of the rule. Without a rule nothing
    /// fails.
    pub fn new(rule: Option<Rule>, before: Tally, bake: Option<Duration>) -> BakeCheck {
        let window = rule.unwrap_or_default().window;
        BakeCheck {
            rule,
            before,
            until: bake.unwrap_or(window),
            requests: RecentTally::new(window),
            changes: RecentTally::new(window),
            is_over: false,
        }
    }

    /// Takes what was counted until this time after it was put in. Returns the
    /// outcome once.
    pub fn see(&mut self, since: Duration, sample: Sample) -> Option<BakeOutcome> {
        if self.is_over {
            return None;
        }
        self.requests.see(since, sample.requests);
        self.changes.see(since, sample.changes);
        let found = match self.fault(since, &sample) {
            Some(reason) => BakeOutcome::Failed(reason),
            None if since >= self.until => BakeOutcome::Sound,
            None => return None,
        };
        self.is_over = true;
        Some(found)
    }

    fn fault(&self, since: Duration, sample: &Sample) -> Option<Reason> {
        let rule = self.rule?;
        let within = since.min(rule.window);
        let requests = self.requests.over(&sample.requests);
        if is_worse(rule, &requests, &self.before) {
            return Some(Reason {
                what: "requests",
                counted: requests,
                within,
                before: Some(self.before),
            });
        }
        // No earlier code has turned states into this version, so there is no
        // comparison.
        let changes = self.changes.over(&sample.changes);
        is_worse(rule, &changes, &Tally::default()).then_some(Reason {
            what: "open streams that came over to it",
            counted: changes,
            within,
            before: None,
        })
    }
}

/// Whether these requests failed too often, compared with those before.
fn is_worse(rule: Rule, counted: &Tally, before: &Tally) -> bool {
    // If few requests came before, nothing is known of that release, and it
    // counts as good.
    let before = match before.requests >= ENOUGH {
        true => rate(before),
        false => 0.0,
    };
    // If the release before failed as often, going back would not help.
    let comparable = before <= rule.part();
    counted.requests >= ENOUGH && comparable && rate(counted) > rule.part() + before
}

fn rate(tally: &Tally) -> f64 {
    match tally.requests {
        0 => 0.0,
        requests => tally.failed() as f64 / requests as f64,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            requests,
            trapped,
            overrun,
        } = self.counted;
        let (failed, what) = (self.counted.failed(), self.what);
        write!(f, "{failed} of {requests} {what} ")?;
        match (trapped, overrun) {
            (_, 0) => f.write_str("trapped")?,
            (0, _) => f.write_str("passed their deadline")?,
            _ => write!(
                f,
                "failed ({trapped} trapped, {overrun} passed their deadline)"
            )?,
        }
        // The time is known only to a tenth of a second.
        write!(f, " in {:.1} s", self.within.as_secs_f64())?;
        match self.before {
            None => Ok(()),
            Some(before) if before.requests == 0 => {
                f.write_str("; the release before served none here")
            }
            Some(before) => {
                write!(
                    f,
                    "; the release before: {} of {}",
                    before.failed(),
                    before.requests
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
