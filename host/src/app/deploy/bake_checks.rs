//! Checks what serves for its first while: chooses what it is compared with, and
//! for how long.

use std::sync::Arc;
use std::time::Duration;

use cluster::release::Target;

use crate::app::bake::{BakeTask, Rule};
use runtime::generation::{GenerationStats, Tally};

/// The bake checks of what serves, one after the other.
#[derive(Debug)]
pub(crate) struct BakeChecks {
    /// When the node leaves a release; none for never.
    rule: Option<Rule>,
    /// The generation that bakes, or has baked.
    now: Option<(Arc<GenerationStats>, BakeTask)>,
}

impl BakeChecks {
    pub(crate) fn new(rule: Option<Rule>) -> BakeChecks {
        BakeChecks { rule, now: None }
    }

    /// The bake check of this generation, which serves a release. One generation
    /// has one check, even if another release has the same component.
    pub(super) fn of(&mut self, target: &Target, stats: Arc<GenerationStats>) -> &BakeTask {
        let before = match self.now.take() {
            Some((same, bake)) if Arc::ptr_eq(&same, &stats) => {
                return &self.now.insert((same, bake)).1;
            }
            Some((_, bake)) => bake.recent(),
            None => Tally::default(),
        };
        let bake = BakeTask::begin(stats.clone(), before, self.rule, bake(target));
        &self.now.insert((stats, bake)).1
    }
}

/// How long a staged release bakes; none for others, for which the rule says it.
fn bake(target: &Target) -> Option<Duration> {
    let plan = target.release.as_ref()?.plan();
    plan.is_staged()
        .then(|| Duration::from_millis(plan.bake_ms.into()))
}
