//! What the mark of an attempt says, run after run.

use super::*;

const BOOT: &str = "a boot";

fn tried(name: &str) -> Tried {
    Tried::of(Digest::of(name.as_bytes()), None)
}

/// What the next run finds.
fn next(mark: &Mark, boot: &str) -> Mark {
    let stored = serde_json::to_vec(mark).unwrap();
    Mark::of_last_run(Some(&stored), boot)
}

#[test]
fn two_deaths_give_a_component_up_and_one_decides_nothing() {
    let mut mark = Mark::of_last_run(None, BOOT);
    mark.begin(tried("bad"));
    let mut mark = next(&mark, BOOT);
    assert!(!mark.has_given_up(&tried("bad")));
    mark.begin(tried("bad"));
    let mut mark = next(&mark, BOOT);
    assert!(mark.has_given_up(&tried("bad")));
    assert!(!mark.has_given_up(&tried("good")));
    // And it stays given up whatever serves then.
    mark.begin(tried("good"));
    assert!(next(&mark, BOOT).has_given_up(&tried("bad")));
}

#[test]
fn a_power_cut_is_no_death_and_another_boot_begins_anew() {
    let mut mark = Mark::of_last_run(None, BOOT);
    for boot in ["second boot", "third boot", "fourth boot"] {
        mark.begin(tried("good"));
        mark = next(&mark, boot);
        assert_eq!(mark.attempt, None);
    }
    mark.given_up.push(tried("bad"));
    assert!(!next(&mark, BOOT).has_given_up(&tried("bad")));
    assert_eq!(
        Mark::of_last_run(Some(b"half a f"), BOOT).attempt,
        None,
        "nothing synced it"
    );
}

#[test]
fn each_component_has_its_own_deaths_whatever_is_started_between_them() {
    let mut mark = Mark::of_last_run(None, BOOT);
    for name in ["one", "two"] {
        mark.begin(tried(name));
        mark = next(&mark, BOOT);
    }
    assert_eq!(mark.given_up, []);
    // Each run starts with its file, and then gets the component that kills it.
    mark.begin(tried("file"));
    mark.begin(tried("two"));
    mark = next(&mark, BOOT);
    assert_eq!(mark.given_up, [tried("two")]);
    mark.begin(tried("one"));
    mark = next(&mark, BOOT);
    assert_eq!(mark.given_up, [tried("two"), tried("one")]);
}

#[test]
fn what_is_remembered_of_earlier_deaths_is_bounded() {
    let mut mark = Mark::of_last_run(None, BOOT);
    for number in 0..EARLIER_MAX + 8 {
        mark.begin(tried(&number.to_string()));
        mark = next(&mark, BOOT);
    }
    assert!(mark.earlier.len() <= EARLIER_MAX, "{}", mark.earlier.len());
}

#[test]
fn what_was_given_up_is_bounded() {
    let mut mark = Mark::of_last_run(None, BOOT);
    for number in 0..GIVEN_UP_MAX + 3 {
        for _ in 0..DEATHS {
            mark.begin(tried(&number.to_string()));
            mark = next(&mark, BOOT);
        }
    }
    assert_eq!(mark.given_up.len(), GIVEN_UP_MAX);
    assert_eq!(mark.given_up[0], tried("3"));
}

#[test]
fn only_a_run_that_dies_within_a_minute_leaves_a_death() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(b"an app");
    let data = Arc::new(DataDir::open(folder.path()).unwrap());
    let deaths = |guard: &CrashGuard| guard.state.lock().mark.attempt.as_ref().map(|it| it.deaths);
    // It lives for a minute.
    let guard = CrashGuard::read(data.clone());
    guard.begin(digest, None);
    guard.settle(1);
    assert_eq!(deaths(&guard), None);
    // It is ended in time.
    guard.begin(digest, None);
    drop(OrderlyEnd(guard));
    let guard = CrashGuard::read(data.clone());
    assert_eq!(deaths(&guard), Some(0));
    // It dies.
    guard.begin(digest, None);
    let guard = CrashGuard::read(data.clone());
    assert_eq!(deaths(&guard), Some(1));
    // The minute of another one is not its own.
    guard.begin(Digest::of(b"another app"), None);
    guard.begin(digest, None);
    guard.settle(1);
    assert_eq!(deaths(&guard), Some(1));
    // It is refused.
    guard.over(digest);
    assert_eq!(deaths(&CrashGuard::read(data)), None);
}
