//! What the bake check decides, and when it does not decide.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn tally(requests: u64, failed: u64) -> Tally {
    Tally {
        requests,
        trapped: failed,
        overrun: 0,
    }
}

fn sample(requests: u64, failed: u64) -> Sample {
    Sample {
        requests: tally(requests, failed),
        ..Sample::default()
    }
}

/// The outcome of counts that come all at once after a second.
fn found(before: Tally, requests: u64, failed: u64) -> Option<BakeOutcome> {
    BakeCheck::new(Some(Rule::default()), before, None).see(SECOND, sample(requests, failed))
}

#[test]
fn the_reason_says_how_much_failed_and_what_it_was_before() {
    let Some(BakeOutcome::Failed(reason)) = found(tally(1200, 0), 60, 27) else {
        panic!("nearly half of it traps");
    };
    assert_eq!(
        reason.to_string(),
        "27 of 60 requests trapped in 1.0 s; the release before: 0 of 1200"
    );
    let mut check = BakeCheck::new(Some(Rule::default()), Tally::default(), None);
    let both = Sample {
        requests: Tally {
            requests: 20,
            trapped: 3,
            overrun: 7,
        },
        ..Sample::default()
    };
    let Some(BakeOutcome::Failed(reason)) = check.see(4 * SECOND, both) else {
        panic!("half of it fails");
    };
    assert_eq!(
        reason.to_string(),
        "10 of 20 requests failed (3 trapped, 7 passed their deadline) in 4.0 s; \
         the release before served none here"
    );
}

#[test]
fn the_threshold_is_the_rate_above_that_of_the_release_before() {
    // 20 %, and not more.
    assert_eq!(found(tally(100, 0), 100, 20), None);
    assert!(found(tally(100, 0), 100, 21).is_some());
    // 30 % where 10 % failed before.
    assert_eq!(found(tally(100, 10), 100, 30), None);
    assert!(found(tally(100, 10), 100, 31).is_some());
    // The release before had too few requests to compare with.
    assert!(found(tally(19, 19), 100, 21).is_some());
}

#[test]
fn streams_that_trap_when_they_are_migrated_count_and_refused_ones_do_not() {
    let changes = |trapped| Sample {
        changes: tally(50, trapped),
        requests: tally(1000, 0),
    };
    let mut check = BakeCheck::new(Some(Rule::default()), Tally::default(), None);
    assert_eq!(check.see(SECOND, changes(0)), None);
    let Some(BakeOutcome::Failed(reason)) = check.see(SECOND, changes(50)) else {
        panic!("all of them trap");
    };
    let text = reason.to_string();
    assert_eq!(
        text,
        "50 of 50 open streams that came over to it trapped in 1.0 s"
    );
}

#[test]
fn a_long_bake_is_checked_by_its_last_window_and_not_by_all_that_came_before() {
    let mut check = BakeCheck::new(Some(Rule::default()), Tally::default(), Some(600 * SECOND));
    let (mut requests, mut failed) = (0, 0);
    for second in 0..500 {
        requests += 100;
        // The code breaks after five minutes; ten thousands of requests were fine by
        // then.
        failed += if second >= 300 { 100 } else { 0 };
        match check.see(second * SECOND, sample(requests, failed)) {
            None => assert!(second < 320, "not found after {} s", second - 300),
            Some(BakeOutcome::Failed(_)) => {
                assert!(second >= 300);
                return;
            }
            Some(BakeOutcome::Sound) => panic!("it is broken"),
        }
    }
    panic!("not found");
}

/// The course of a bake: steps of time, and which requests ended in each.
fn course() -> impl Strategy<Value = Vec<(u32, u64, u64)>> {
    let step = (1..5000u32, 0..30u64, 0..=100u64)
        .prop_map(|(millis, requests, percent)| (millis, requests, requests * percent / 100));
    proptest::collection::vec(step, 1..60)
}

/// Runs a check. Returns the outcome, and how many requests and failures it is based
/// on.
fn run(
    mut check: BakeCheck,
    course: &[(u32, u64, u64)],
) -> Option<(BakeOutcome, Duration, u64, u64)> {
    let (mut now, mut requests, mut failed) = (Duration::ZERO, 0, 0);
    let mut found = None;
    for (millis, more, fail) in course {
        now += Duration::from_millis(u64::from(*millis));
        requests += more;
        failed += fail;
        if let Some(outcome) = check.see(now, sample(requests, failed)) {
            assert!(found.is_none(), "it says so once");
            found = Some((outcome, now, requests, failed));
        }
    }
    found
}

proptest! {
    #[test]
    fn it_never_fails_by_fewer_requests_than_are_enough_nor_by_a_share_that_is_allowed(
        course in course(), share in 10u16..=9900, before in (0u64..2000, 0u64..=100),
    ) {
        let rule = Rule { share, ..Rule::default() };
        let before = tally(before.0, before.0 * before.1 / 100);
        let check = BakeCheck::new(Some(rule), before, None);
        if let Some((BakeOutcome::Failed(_), at, requests, failed)) = run(check, &course) {
            prop_assert!(requests >= ENOUGH);
            prop_assert!(failed as f64 / requests as f64 > f64::from(share) / 10_000.0);
            // One step may cross the end of the window.
            prop_assert!(at <= rule.window + Duration::from_secs(5));
        }
    }

    #[test]
    fn it_never_fails_where_the_release_before_failed_as_often(
        course in course(), share in 10u16..=9900,
    ) {
        let rule = Rule { share, ..Rule::default() };
        // As bad as the worst that the course can become.
        let before = tally(1000, 1000);
        if let Some((outcome, ..)) = run(BakeCheck::new(Some(rule), before, None), &course) {
            prop_assert_eq!(outcome, BakeOutcome::Sound);
        }
    }

    #[test]
    fn without_a_rule_it_is_sound_at_the_end_of_the_bake_and_never_before(
        course in course(), bake in 0u64..100,
    ) {
        let bake = Duration::from_secs(bake);
        let lasted: u64 = course.iter().map(|(millis, ..)| u64::from(*millis)).sum();
        match run(BakeCheck::new(None, Tally::default(), Some(bake)), &course) {
            Some((outcome, at, ..)) => {
                prop_assert_eq!(outcome, BakeOutcome::Sound);
                prop_assert!(at >= bake);
            }
            None => prop_assert!(Duration::from_millis(lasted) < bake),
        }
    }

    #[test]
    fn what_fails_at_every_request_is_always_found(course in course()) {
        let all_fail: Vec<_> = course.iter().map(|(millis, more, _)| (*millis, *more, *more)).collect();
        let check = BakeCheck::new(Some(Rule::default()), tally(1000, 10), Some(Duration::MAX));
        let found = run(check, &all_fail);
        // One window needs enough requests; there may be fewer in 3 minutes.
        let most: u64 = all_fail.iter().map(|(_, more, _)| *more).sum();
        let lasted: u32 = all_fail.iter().map(|(millis, ..)| *millis).sum();
        if most >= ENOUGH && lasted < 60_000 {
            prop_assert!(matches!(found, Some((BakeOutcome::Failed(_), ..))));
        }
    }
}
