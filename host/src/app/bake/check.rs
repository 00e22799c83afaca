//! The bake check of new code. It reads no clock and does no IO: it is given
//! time and counts, and says at most once what it found.

use std::fmt;
use std::time::Duration;

use super::{RecentTally, Rule};
use runtime::generation::Tally;

/// Nothing is decided by fewer requests than this.
pub const ENOUGH: u64 = 20;

/// What was counted of a generation up to now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// How its requests ended.
    pub requests: Tally,
    /// How it turned states of open streams into its own.
    pub changes: Tally,
}

/// What was found.
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
    /// What the release before did; none if there is no comparison.
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
    /// A check by this rule against what the release before did; it lasts for
    /// `bake`, else for the window of the rule. Without a rule nothing fails.
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

    /// Looks at what was counted, so long after it was put in. Says what was
    /// found once.
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
        // No earlier code has turned states into those of this one.
        let changes = self.changes.over(&sample.changes);
        is_worse(rule, &changes, &Tally::default()).then_some(Reason {
            what: "open streams that came over to it",
            counted: changes,
            within,
            before: None,
        })
    }
}

/// Whether these failed too often, where those before did not.
fn is_worse(rule: Rule, counted: &Tally, before: &Tally) -> bool {
    // Of a release that few have asked nothing is known, and that is no fault.
    let before = match before.requests >= ENOUGH {
        true => rate(before),
        false => 0.0,
    };
    // What failed as often before is not made better by going back to it.
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
        // A tenth of a second is all that is known.
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
