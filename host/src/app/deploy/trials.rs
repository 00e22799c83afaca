//! What serves is on trial for its first while: by what it is compared with,
//! and for how long.

use std::sync::Arc;
use std::time::Duration;

use cluster::release::Target;

use crate::app::health::{Health, Rule};
use runtime::generation::{Life, Tally};

/// The trial of what serves, one after the other.
#[derive(Debug)]
pub(crate) struct Trials {
    /// When a release is left; none for never.
    rule: Option<Rule>,
    /// What is on trial, or was.
    now: Option<(Arc<Life>, Health)>,
}

impl Trials {
    pub(crate) fn new(rule: Option<Rule>) -> Trials {
        Trials { rule, now: None }
    }

    /// The trial of this generation, which serves a release. One generation
    /// has one trial, whatever it is called meanwhile.
    pub(super) fn of(&mut self, target: &Target, life: Arc<Life>) -> &Health {
        let before = match self.now.take() {
            Some((same, health)) if Arc::ptr_eq(&same, &life) => {
                return &self.now.insert((same, health)).1;
            }
            Some((_, health)) => health.recent(),
            None => Tally::default(),
        };
        let health = Health::begin(life.clone(), before, self.rule, bake(target));
        &self.now.insert((life, health)).1
    }
}

/// How long a staged release is tried out; the rule says it for others.
fn bake(target: &Target) -> Option<Duration> {
    let plan = target.release.as_ref()?.plan();
    plan.is_staged()
        .then(|| Duration::from_millis(plan.bake_ms.into()))
}
