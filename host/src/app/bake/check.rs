//! The bake check of new code. It reads no clock and does no IO: it gets time
//! and counts, and returns an outcome at most once.

use std::time::Duration;

use super::fault::{Fault, Reason};
use super::past::Past;
use super::{RecentCounts, Rule};
use runtime::generation::{Fresh, Yardstick};

/// Looks that come later than this say nothing of how long answers take: the machine has
/// more to do than it can.
const LATE: Duration = Duration::from_millis(50);

/// What was counted of a generation since the last look.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// What was counted.
    pub fresh: Fresh,
    /// How much later than planned the look was made.
    pub late: Duration,
}

/// The outcome of a bake check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BakeOutcome {
    /// It has served for the whole bake without failing too often.
    Sound,
    /// It failed too often.
    Failed(Reason),
}

/// New code while it bakes.
#[derive(Debug)]
pub struct BakeCheck {
    rule: Option<Rule>,
    past: Past,
    until: Duration,
    recent: RecentCounts,
    is_over: bool,
}

impl BakeCheck {
    /// A check by this rule, compared with how the release before did. It lasts
    /// for `bake`, else for the window of the rule. Without a rule nothing
    /// fails.
    pub fn new(rule: Option<Rule>, past: Past, bake: Option<Duration>) -> BakeCheck {
        let window = rule.unwrap_or_default().window;
        BakeCheck {
            rule,
            past,
            until: bake.unwrap_or(window),
            recent: RecentCounts::new(window),
            is_over: false,
        }
    }

    /// How long answers may take before they count as slow.
    pub fn yardstick(&self) -> Yardstick {
        self.past.yardstick()
    }

    /// How long the check lasts.
    pub fn until(&self) -> Duration {
        self.until
    }

    /// Takes what was counted between the last look and this time after it was put in.
    /// Returns the outcome once.
    pub fn see(&mut self, since: Duration, sample: &Sample) -> Option<BakeOutcome> {
        if self.is_over {
            return None;
        }
        self.recent.see(since, &calm(sample));
        let fault = self.rule.and_then(|rule| {
            let fault = Fault::find(rule, &self.recent.over(), &self.past)?;
            let within = since.min(rule.window);
            Some(Reason { fault, within })
        });
        let found = match fault {
            Some(reason) => BakeOutcome::Failed(reason),
            None if since >= self.until => BakeOutcome::Sound,
            None => return None,
        };
        self.is_over = true;
        Some(found)
    }
}

/// What was counted, without times that say nothing.
pub(super) fn calm(sample: &Sample) -> Fresh {
    let mut fresh = sample.fresh.clone();
    if sample.late > LATE {
        fresh.requests.forget_times();
    }
    fresh
}

#[cfg(test)]
mod tests;
