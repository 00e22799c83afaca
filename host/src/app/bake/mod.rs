//! The bake check of new code: whether it traps or passes its deadlines where the
//! release before did not, within its first minute or while it bakes.
//!
//! ```text
//! GenerationStats -> RecentTally -> BakeCheck -> BakeOutcome -> this node's vote
//! ```
//!
//! - [`Rule`]: the value of `--revert-on-errors`
//! - [`RecentTally`]: counts of the last while
//! - [`BakeCheck`]: the check itself, without clock or IO
//! - [`BakeTask`]: the task that samples a generation and checks it

mod check;
mod recent;
mod rule;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use check::{BakeCheck, BakeOutcome, ENOUGH, Reason, Sample};
pub use recent::RecentTally;
pub use rule::{RevertOnErrors, Rule, RuleError};

use runtime::generation::{GenerationStats, Tally};

/// How often a generation is sampled while it bakes. A bad one is left within
/// this time after the request that made it so.
const LOOK: Duration = Duration::from_millis(200);

/// A generation that serves. It is sampled until this is dropped.
#[derive(Debug)]
pub struct BakeTask {
    task: JoinHandle<()>,
    outcome: watch::Receiver<Option<BakeOutcome>>,
    requests: Arc<Mutex<RecentTally>>,
    stats: Arc<GenerationStats>,
    /// What was counted before it was put in. It may have been in before.
    from: Sample,
}

impl BakeTask {
    /// Begins to sample a generation that was just put in. `before` is how the
    /// requests of the release before ended (its [`BakeTask::recent`]), or
    /// nothing if none served here. `bake` is how long the generation bakes; none
    /// for the window of the rule.
    ///
    /// Must be called within a tokio runtime.
    pub fn begin(
        stats: Arc<GenerationStats>,
        before: Tally,
        rule: Option<Rule>,
        bake: Option<Duration>,
    ) -> BakeTask {
        let (told, outcome) = watch::channel(None);
        let window = rule.map_or(Rule::default().window, |rule| rule.window);
        let requests = Arc::new(Mutex::new(RecentTally::new(window)));
        let from = Sample::before(&stats);
        let task = tokio::spawn(look(
            stats.clone(),
            from,
            BakeCheck::new(rule, before, bake),
            requests.clone(),
            told,
        ));
        BakeTask {
            task,
            outcome,
            requests,
            stats,
            from,
        }
    }

    /// The outcome, once it is known. A second call gives the same. May be
    /// dropped at any time.
    pub fn outcome(&self) -> impl Future<Output = BakeOutcome> + use<> {
        let mut outcome = self.outcome.clone();
        async move {
            let found = outcome.wait_for(Option::is_some).await;
            let found = found.ok().and_then(|found| found.clone());
            match found {
                Some(found) => found,
                // The task is gone only if the runtime stops.
                None => std::future::pending().await,
            }
        }
    }

    /// How its requests ended lately: in the last window, or since it was put in
    /// if those are too few to say anything. Its successor is compared with this.
    pub fn recent(&self) -> Tally {
        let all = Sample::of(&self.stats).since(&self.from).requests;
        let recent = lock(&self.requests).over(&all);
        match recent.requests >= ENOUGH {
            true => recent,
            false => all,
        }
    }
}

impl Sample {
    /// What was counted up to now.
    fn of(stats: &GenerationStats) -> Sample {
        Sample {
            requests: stats.requests(),
            changes: stats.changes(),
        }
    }

    /// What was counted before it was put in. Its first moments do not count
    /// here, however late this is called.
    fn before(stats: &GenerationStats) -> Sample {
        let [requests, changes] = stats.before();
        Sample { requests, changes }
    }

    /// What was counted since an earlier look.
    fn since(&self, earlier: &Sample) -> Sample {
        Sample {
            requests: self.requests.since(&earlier.requests),
            changes: self.changes.since(&earlier.changes),
        }
    }
}

impl Drop for BakeTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(recent: &Mutex<RecentTally>) -> parking_lot::MutexGuard<'_, RecentTally> {
    recent.lock()
}

async fn look(
    stats: Arc<GenerationStats>,
    from: Sample,
    mut check: BakeCheck,
    requests: Arc<Mutex<RecentTally>>,
    told: watch::Sender<Option<BakeOutcome>>,
) {
    let began = Instant::now();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let since = began.elapsed();
        let sample = Sample::of(&stats).since(&from);
        let spacing = {
            let mut requests = lock(&requests);
            requests.see(since, sample.requests);
            requests.spacing()
        };
        if told.borrow().is_some() {
            continue;
        }
        if let Some(outcome) = check.see(since, sample) {
            told.send_replace(Some(outcome));
            // From now on only the counts matter that its successor is compared
            // with.
            looks = interval(spacing.max(LOOK));
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::generation::CallEnd;

    fn rule() -> Rule {
        Rule {
            window: Duration::from_secs(1),
            ..Rule::default()
        }
    }

    #[tokio::test]
    async fn code_that_traps_is_found_at_once_and_says_why() {
        let stats = Arc::new(GenerationStats::default());
        let task = BakeTask::begin(stats.clone(), Tally::default(), Some(rule()), None);
        for _ in 0..25 {
            stats.count_change(CallEnd::Trapped);
        }
        let BakeOutcome::Failed(reason) = task.outcome().await else {
            panic!("it traps always");
        };
        let text = reason.to_string();
        assert!(text.starts_with("25 of 25 open streams"), "{text}");
        assert_eq!(task.outcome().await, BakeOutcome::Failed(reason));
    }

    #[tokio::test]
    async fn what_code_does_before_it_is_looked_at_is_held_against_it() {
        let stats = Arc::new(GenerationStats::default());
        stats.begin();
        for _ in 0..25 {
            stats.count_change(CallEnd::Trapped);
        }
        let task = BakeTask::begin(stats, Tally::default(), Some(rule()), None);
        let outcome = task.outcome().await;
        assert!(matches!(outcome, BakeOutcome::Failed(_)), "{outcome:?}");
    }

    #[tokio::test]
    async fn what_code_did_before_it_was_put_in_again_is_not_held_against_it() {
        let stats = Arc::new(GenerationStats::default());
        for _ in 0..25 {
            stats.count_change(CallEnd::Trapped);
        }
        stats.begin();
        let task = BakeTask::begin(stats, Tally::default(), Some(rule()), None);
        assert_eq!(task.outcome().await, BakeOutcome::Sound);
    }

    #[tokio::test]
    async fn code_without_fault_is_found_sound_at_the_end_of_its_bake_and_not_before() {
        let began = Instant::now();
        let stats = Arc::new(GenerationStats::default());
        let bake = Duration::from_millis(300);
        let task = BakeTask::begin(stats.clone(), Tally::default(), Some(rule()), Some(bake));
        for _ in 0..100 {
            stats.count_change(CallEnd::Returned);
        }
        assert_eq!(task.outcome().await, BakeOutcome::Sound);
        assert!(began.elapsed() >= bake, "{:?}", began.elapsed());
    }
}
