//! The health of new code: whether it traps or passes its deadlines where the
//! release before did not, within its first minute or while it bakes.
//!
//! ```text
//! Life's counts -> Recent -> Trial -> Judgement -> this node's vote
//! ```
//!
//! - [`Rule`]: what `--revert-on-errors` says
//! - [`Recent`]: counts of the last while
//! - [`Trial`]: the judgement, without clock or IO
//! - [`Health`]: the task that samples a generation and judges it

mod recent;
mod rule;
mod trial;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use recent::Recent;
pub use rule::{RevertOnErrors, Rule, RuleError};
pub use trial::{ENOUGH, Judgement, Reason, Sample, Trial};

use runtime::generation::{Life, Tally};

/// How often a generation on trial is looked at: a bad one is left within
/// this of the request that made it so.
const LOOK: Duration = Duration::from_millis(200);

/// A generation that serves, looked at until this is dropped.
#[derive(Debug)]
pub struct Health {
    task: JoinHandle<()>,
    judgement: watch::Receiver<Option<Judgement>>,
    requests: Arc<Mutex<Recent>>,
    life: Arc<Life>,
    /// What was counted before it was put in: it may be for the second time.
    from: Sample,
}

impl Health {
    /// Begins to look at a generation that was just put in. `before` is how the
    /// requests of the release before ended ([`Health::recent`] of its own);
    /// nothing if it never served here. `bake` is how long it is on trial; if
    /// none, for the window of the rule.
    ///
    /// Must be called within a tokio runtime.
    pub fn begin(
        life: Arc<Life>,
        before: Tally,
        rule: Option<Rule>,
        bake: Option<Duration>,
    ) -> Health {
        let (told, judgement) = watch::channel(None);
        let window = rule.map_or(Rule::default().window, |rule| rule.window);
        let requests = Arc::new(Mutex::new(Recent::new(window)));
        let from = Sample::before(&life);
        let task = tokio::spawn(look(
            life.clone(),
            from,
            Trial::new(rule, before, bake),
            requests.clone(),
            told,
        ));
        Health {
            task,
            judgement,
            requests,
            life,
            from,
        }
    }

    /// What was found, as soon as it is; the same again if asked again. May be
    /// dropped at any time.
    pub fn judgement(&self) -> impl Future<Output = Judgement> + use<> {
        let mut judgement = self.judgement.clone();
        async move {
            let found = judgement.wait_for(Option::is_some).await;
            let found = found.ok().and_then(|found| found.clone());
            match found {
                Some(found) => found,
                // The task is gone only if the runtime is going.
                None => std::future::pending().await,
            }
        }
    }

    /// How its requests ended of late: in the last window, or all there ever
    /// were if those are too few to say anything. It is what its successor is
    /// compared with.
    pub fn recent(&self) -> Tally {
        let all = Sample::of(&self.life).since(&self.from).requests;
        let recent = lock(&self.requests).over(&all);
        match recent.requests >= ENOUGH {
            true => recent,
            false => all,
        }
    }
}

impl Sample {
    /// What was counted up to now.
    fn of(life: &Life) -> Sample {
        Sample {
            requests: life.requests(),
            changes: life.changes(),
        }
    }

    /// What was counted before it was put in. Of what it did in its first moments
    /// nothing is among it, however late this is asked.
    fn before(life: &Life) -> Sample {
        let [requests, changes] = life.before();
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

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(recent: &Mutex<Recent>) -> std::sync::MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn look(
    life: Arc<Life>,
    from: Sample,
    mut trial: Trial,
    requests: Arc<Mutex<Recent>>,
    told: watch::Sender<Option<Judgement>>,
) {
    let began = Instant::now();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let since = began.elapsed();
        let sample = Sample::of(&life).since(&from);
        let spacing = {
            let mut requests = lock(&requests);
            requests.see(since, sample.requests);
            requests.spacing()
        };
        if told.borrow().is_some() {
            continue;
        }
        if let Some(judgement) = trial.see(since, sample) {
            told.send_replace(Some(judgement));
            // From now on only what its successor is compared with matters.
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
    async fn code_that_traps_is_judged_at_once_and_says_why() {
        let life = Arc::new(Life::default());
        let health = Health::begin(life.clone(), Tally::default(), Some(rule()), None);
        for _ in 0..25 {
            life.count_change(CallEnd::Trapped);
        }
        let Judgement::Failed(reason) = health.judgement().await else {
            panic!("it traps always");
        };
        let text = reason.to_string();
        assert!(text.starts_with("25 of 25 open streams"), "{text}");
        assert_eq!(health.judgement().await, Judgement::Failed(reason));
    }

    #[tokio::test]
    async fn what_code_does_before_it_is_looked_at_is_held_against_it() {
        let life = Arc::new(Life::default());
        life.begin();
        for _ in 0..25 {
            life.count_change(CallEnd::Trapped);
        }
        let health = Health::begin(life, Tally::default(), Some(rule()), None);
        let judgement = health.judgement().await;
        assert!(matches!(judgement, Judgement::Failed(_)), "{judgement:?}");
    }

    #[tokio::test]
    async fn what_code_did_before_it_was_put_in_again_is_not_held_against_it() {
        let life = Arc::new(Life::default());
        for _ in 0..25 {
            life.count_change(CallEnd::Trapped);
        }
        life.begin();
        let health = Health::begin(life, Tally::default(), Some(rule()), None);
        assert_eq!(health.judgement().await, Judgement::Sound);
    }

    #[tokio::test]
    async fn code_without_fault_is_found_sound_at_the_end_of_its_trial_and_not_before() {
        let began = Instant::now();
        let life = Arc::new(Life::default());
        let bake = Duration::from_millis(300);
        let health = Health::begin(life.clone(), Tally::default(), Some(rule()), Some(bake));
        for _ in 0..100 {
            life.count_change(CallEnd::Returned);
        }
        assert_eq!(health.judgement().await, Judgement::Sound);
        assert!(began.elapsed() >= bake, "{:?}", began.elapsed());
    }
}
