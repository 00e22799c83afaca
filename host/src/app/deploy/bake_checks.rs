//! Checks what serves for its first while: chooses what it is compared with, and
//! for how long.

use std::sync::Arc;
use std::time::Duration;

use cluster::release::Target;

use crate::app::bake::{BakeTask, Past, Rule};
use runtime::generation::GenerationStats;

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
        let past = match self.now.take() {
            Some((same, bake)) if Arc::ptr_eq(&same, &stats) => {
                return &self.now.insert((same, bake)).1;
            }
            Some((_, bake)) => bake.past(),
            None => Past::default(),
        };
        let bake = BakeTask::begin(stats.clone(), past, self.rule, bake(target));
        &self.now.insert((stats, bake)).1
    }
}

/// How long the plan lets the release bake; none if it does not say, so that the rule does.
fn bake(target: &Target) -> Option<Duration> {
    let plan = target.release.as_ref()?.plan();
    (plan.is_staged() || plan.bake_ms > 0).then(|| Duration::from_millis(plan.bake_ms.into()))
}
