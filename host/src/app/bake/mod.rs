//! The bake check of new code: whether it fails or is slow where the release before did
//! well, within its first minute or while it bakes.
//!
//! ```text
//! GenerationStats -> Sample -> BakeCheck -> BakeOutcome -> this node's vote
//! ```
//!
//! - [`Rule`]: the value of `--revert-on-errors`
//! - [`RecentCounts`]: what was counted in the last while; [`Past`]: what it is compared with
//! - [`BakeCheck`]: the check itself, without clock or IO; [`Fault`] is what it finds
//! - `weigh`: how much the failures of one client count; `exempt`: whose count in full
//! - [`BakeTask`]: the task that samples a generation and checks it

mod check;
mod exempt;
mod fault;
mod past;
mod recent;
mod rule;
mod weigh;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use check::{BakeCheck, BakeOutcome, Sample};
use exempt::ExemptAddresses;
pub use fault::{Fault, Reason};
pub use past::Past;
pub use recent::RecentCounts;
pub use rule::{RevertOnErrors, Rule, RuleError};
pub use weigh::ENOUGH;

use runtime::generation::{Counts, GenerationStats};

/// How often a generation is sampled while it bakes. A bad one is left within
/// this time after the request that made it so.
const LOOK: Duration = Duration::from_millis(200);

/// A generation that serves. It is sampled until this is dropped.
#[derive(Debug)]
pub struct BakeTask {
    task: JoinHandle<()>,
    outcome: watch::Receiver<Option<BakeOutcome>>,
    seen: Arc<Mutex<Seen>>,
    stats: Arc<GenerationStats>,
    until: Instant,
}

/// What was seen of a generation since it was put in.
#[derive(Debug)]
struct Seen {
    recent: RecentCounts,
    all: Counts,
}

impl BakeTask {
    /// Begins to sample a generation that was just put in. `past` is how the
    /// requests of the release before ended (its [`BakeTask::past`]), or
    /// nothing if none served here. `bake` is how long the generation bakes; none
    /// for the window of the rule.
    ///
    /// Must be called within a tokio runtime.
    pub fn begin(
        stats: Arc<GenerationStats>,
        past: Past,
        rule: Option<Rule>,
        bake: Option<Duration>,
    ) -> BakeTask {
        let (told, outcome) = watch::channel(None);
        let window = rule.map_or(Rule::default().window, |rule| rule.window);
        let seen = Arc::new(Mutex::new(Seen {
            recent: RecentCounts::new(window),
            all: Counts::default(),
        }));
        let check = BakeCheck::new(rule, past, bake);
        stats.measure_by(check.yardstick());
        let until = Instant::now() + check.until();
        let task = tokio::spawn(look(stats.clone(), check, seen.clone(), told));
        BakeTask {
            task,
            outcome,
            seen,
            stats,
            until,
        }
    }

    /// When the check ends, unless the generation fails before that.
    pub fn until(&self) -> Instant {
        self.until
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

    /// How its requests ended lately, and since it was put in. Its successor is compared
    /// with this.
    pub fn past(self) -> Past {
        self.task.abort();
        let sample = take(&self.stats, Duration::ZERO);
        let mut seen = self.seen.lock();
        seen.all.add(&sample.fresh.requests);
        let mut recent = seen.recent.over().requests;
        recent.add(&sample.fresh.requests);
        Past {
            recent,
            all: seen.all.clone(),
        }
    }
}

impl Drop for BakeTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was counted since the last look, which is so late.
fn take(stats: &GenerationStats, late: Duration) -> Sample {
    let mut fresh = stats.take();
    let mut exempt = ExemptAddresses::default();
    fresh.requests.exempt(|ip| exempt.has(ip));
    Sample { fresh, late }
}

async fn look(
    stats: Arc<GenerationStats>,
    mut check: BakeCheck,
    seen: Arc<Mutex<Seen>>,
    told: watch::Sender<Option<BakeOutcome>>,
) {
    let began = Instant::now();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let late = looks.tick().await.elapsed();
        let since = began.elapsed();
        let sample = take(&stats, late);
        let spacing = {
            let fresh = check::calm(&sample);
            let mut seen = seen.lock();
            seen.recent.see(since, &fresh);
            seen.all.add(&fresh.requests);
            seen.recent.spacing()
        };
        if told.borrow().is_some() {
            continue;
        }
        if let Some(outcome) = check.see(since, &sample) {
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
        let task = BakeTask::begin(stats.clone(), Past::default(), Some(rule()), None);
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
        let task = BakeTask::begin(stats, Past::default(), Some(rule()), None);
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
        let task = BakeTask::begin(stats, Past::default(), Some(rule()), None);
        assert_eq!(task.outcome().await, BakeOutcome::Sound);
    }

    #[tokio::test]
    async fn code_without_fault_is_found_sound_at_the_end_of_its_bake_and_not_before() {
        let began = Instant::now();
        let stats = Arc::new(GenerationStats::default());
        let bake = Duration::from_millis(300);
        let task = BakeTask::begin(stats.clone(), Past::default(), Some(rule()), Some(bake));
        for _ in 0..100 {
            stats.count_change(CallEnd::Returned);
        }
        assert_eq!(task.outcome().await, BakeOutcome::Sound);
        assert!(began.elapsed() >= bake, "{:?}", began.elapsed());
    }
}
