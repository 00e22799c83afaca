//! What the bake check decides, and when it does not decide.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use runtime::generation::{CountedRequest, Counts, RequestEnd, Source, Tally, Yardstick};

use super::super::ENOUGH;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const OK: RequestEnd = RequestEnd::Answered(200);
const ERROR: RequestEnd = RequestEnd::Answered(500);

/// An address of a client.
fn client(number: u32) -> Source {
    Source::of(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)))
}

/// Counts requests to a path that end in this way, from one source.
fn count(counts: &mut Counts, path: &str, requests: u64, end: RequestEnd, source: Source) {
    for _ in 0..requests {
        let request = CountedRequest {
            path,
            source,
            end,
            time: None,
            is_new: true,
            is_failure: end.is_failure(),
        };
        counts.count(&request, &Yardstick::default());
    }
}

/// Requests of which so many trap, which come through a proxy.
fn counts(requests: u64, failed: u64) -> Counts {
    let mut counts = Counts::default();
    count(&mut counts, "/", requests - failed, OK, Source::Exempt);
    count(
        &mut counts,
        "/",
        failed,
        RequestEnd::Trapped,
        Source::Exempt,
    );
    counts
}

fn past(requests: u64, failed: u64) -> Past {
    Past::of(counts(requests, failed))
}

fn sample(requests: Counts) -> Sample {
    Sample {
        fresh: Fresh {
            requests,
            ..Fresh::default()
        },
        late: Duration::ZERO,
    }
}

/// The outcome of counts that come all at once after a second.
fn found(past: Past, counts: Counts) -> Option<String> {
    let mut check = BakeCheck::new(Some(Rule::default()), past, None);
    match check.see(SECOND, &sample(counts))? {
        BakeOutcome::Failed(reason) => Some(reason.to_string()),
        BakeOutcome::Sound => panic!("it bakes for a minute"),
    }
}

#[test]
fn the_reason_says_how_much_failed_and_what_it_was_before() {
    assert_eq!(
        found(past(1200, 0), counts(60, 27)).unwrap(),
        "27 of 60 requests trapped in 1.0 s; the release before: 0 of 1200"
    );
    let mut all = counts(10, 3);
    count(&mut all, "/", 7, RequestEnd::Overran, Source::Exempt);
    count(&mut all, "/", 3, ERROR, Source::Exempt);
    assert_eq!(
        found(Past::default(), all).unwrap(),
        "13 of 20 requests failed (3 trapped, 7 passed their deadline, 3 were answered with an \
         error (5xx)) in 1.0 s; the release before served none here"
    );
}

#[test]
fn a_release_that_answers_every_request_with_an_error_is_found() {
    let mut all = Counts::default();
    (0..25).for_each(|number| count(&mut all, "/", 1, ERROR, client(number)));
    assert_eq!(
        found(past(300, 0), all).unwrap(),
        "25 of 25 requests were answered with an error (5xx) in 1.0 s; the release before: 0 of 300"
    );
}

#[test]
fn no_client_alone_brings_a_release_down_with_requests_for_which_it_fails() {
    let mut all = counts(100, 0);
    count(&mut all, "/odd", 100_000, ERROR, client(1));
    assert_eq!(found(past(300, 0), all.clone()), None);
    // Two can, since two for which it fails are enough to believe it.
    count(&mut all, "/odd", 100_000, ERROR, client(2));
    assert!(found(past(300, 0), all).is_some());
}

#[test]
fn the_threshold_is_the_rate_above_that_of_the_release_before() {
    // 20 %, and not more.
    assert_eq!(found(past(100, 0), counts(100, 20)), None);
    assert!(found(past(100, 0), counts(100, 21)).is_some());
    // 30 % where 10 % failed before.
    assert_eq!(found(past(100, 10), counts(100, 30)), None);
    assert!(found(past(100, 10), counts(100, 31)).is_some());
    // The release before had too few requests to compare with.
    assert!(found(past(19, 19), counts(100, 21)).is_some());
}

#[test]
fn a_fault_in_a_small_part_of_the_app_is_found_where_that_part_was_well_before() {
    let mut before = counts(1000, 0);
    count(&mut before, "/pay/a", 30, OK, Source::Exempt);
    let mut now = counts(1000, 0);
    count(&mut now, "/pay/b", 30, ERROR, Source::Exempt);
    assert_eq!(
        found(Past::of(before), now.clone()).unwrap(),
        "30 of 30 requests to /pay were answered with an error (5xx) in 1.0 s; \
         the release before: 0 of 30"
    );
    // Nobody knows how it was before.
    assert_eq!(found(past(1000, 0), now), None);
}

#[test]
fn what_was_bad_before_says_nothing_however_much_of_it_there_is() {
    let mut before = counts(1000, 0);
    count(&mut before, "/broken", 100, ERROR, Source::Exempt);
    let mut now = counts(100, 0);
    count(
        &mut now,
        "/broken",
        10_000,
        RequestEnd::Trapped,
        Source::Exempt,
    );
    assert_eq!(found(Past::of(before.clone()), now.clone()), None);
    // It does not hide what is worse now, either.
    count(&mut now, "/", 50, ERROR, Source::Exempt);
    let why = found(Past::of(before), now).unwrap();
    assert!(why.starts_with("50 of 150 requests"), "{why}");
}

#[test]
fn a_burst_is_judged_like_the_same_requests_over_time_and_a_few_say_nothing() {
    assert_eq!(found(past(1000, 0), counts(19, 19)), None);
    let mut check = BakeCheck::new(Some(Rule::default()), past(1000, 30), None);
    // Bursts of which a tenth fails, with quiet in between.
    for second in 0..59 {
        let burst = match second % 10 {
            0 => counts(500, 50),
            _ => Counts::default(),
        };
        assert_eq!(check.see(second * SECOND, &sample(burst)), None);
    }
    assert_eq!(
        check.see(60 * SECOND, &Sample::default()),
        Some(BakeOutcome::Sound)
    );
}

#[test]
fn streams_that_trap_when_they_are_migrated_count_and_refused_ones_do_not() {
    let changes = |trapped| {
        let mut it = sample(counts(1000, 0));
        it.fresh.changes = Tally {
            requests: 50,
            trapped,
            ..Tally::default()
        };
        it
    };
    let mut check = BakeCheck::new(Some(Rule::default()), Past::default(), None);
    assert_eq!(check.see(SECOND, &changes(0)), None);
    let Some(BakeOutcome::Failed(reason)) = check.see(SECOND, &changes(50)) else {
        panic!("half of them trap");
    };
    let text = reason.to_string();
    assert_eq!(
        text,
        "50 of 100 open streams that came over to it trapped in 1.0 s"
    );
}

/// Answers that take so long, as they are counted where the release before was this.
fn timed(past: &Past, answers: &[(u64, u64, Source)]) -> Counts {
    let mut counts = Counts::default();
    for (requests, millis, source) in answers {
        for _ in 0..*requests {
            let request = CountedRequest {
                path: "/api",
                source: *source,
                end: OK,
                time: Some(Duration::from_millis(*millis)),
                is_new: true,
                is_failure: false,
            };
            counts.count(&request, &past.yardstick());
        }
    }
    counts
}

#[test]
fn answers_that_take_several_times_as_long_as_before_are_found() {
    let before = Past::of(timed(&Past::default(), &[(300, 10, Source::Exempt)]));
    let now = |millis, source| timed(&before, &[(100, 10, client(1)), (30, millis, source)]);
    let why = found(before.clone(), now(400, Source::Exempt)).unwrap();
    assert!(
        why.starts_with("of 130 answers 200 to /api in 1.0 s, 1 in 100 took 0."),
        "{why}"
    );
    assert!(why.ends_with("with the release before: 0.01 s"), "{why}");
    // A little slower is no fault, nor is what one client asks for.
    assert_eq!(found(before.clone(), now(90, Source::Exempt)), None);
    assert_eq!(found(before.clone(), now(400, client(2))), None);
    // Where nothing is known of the release before, nothing is said.
    assert_eq!(
        found(
            past(300, 0),
            timed(&past(300, 0), &[(30, 400, Source::Exempt)])
        ),
        None
    );
}

#[test]
fn times_say_nothing_while_the_machine_is_too_busy() {
    let before = Past::of(timed(&Past::default(), &[(300, 10, Source::Exempt)]));
    let mut check = BakeCheck::new(Some(Rule::default()), before.clone(), None);
    let slow = timed(&before, &[(100, 400, Source::Exempt)]);
    let busy = Sample {
        late: Duration::from_millis(100),
        ..sample(slow.clone())
    };
    assert_eq!(check.see(SECOND, &busy), None);
    assert!(check.see(2 * SECOND, &sample(slow)).is_some());
}

#[test]
fn a_long_bake_is_checked_by_its_last_window_and_not_by_all_that_came_before() {
    let bake = Some(600 * SECOND);
    let mut check = BakeCheck::new(Some(Rule::default()), Past::default(), bake);
    for second in 0..500 {
        // The code breaks after five minutes; ten thousands of requests were fine by
        // then.
        let failed = if second >= 300 { 100 } else { 0 };
        match check.see(second * SECOND, &sample(counts(100, failed))) {
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

/// Runs a check. Returns the outcome, when it came, and all that was counted until then.
fn run(
    mut check: BakeCheck,
    course: &[(u32, u64, u64)],
    source: impl Fn(usize) -> Source,
) -> Option<(BakeOutcome, Duration, u64, u64)> {
    let (mut now, mut requests, mut failed) = (Duration::ZERO, 0, 0);
    let mut found = None;
    for (step, (millis, more, fail)) in course.iter().enumerate() {
        now += Duration::from_millis(u64::from(*millis));
        requests += more;
        failed += fail;
        let mut counts = counts(more - fail, 0);
        count(&mut counts, "/", *fail, RequestEnd::Trapped, source(step));
        if let Some(outcome) = check.see(now, &sample(counts)) {
            assert!(found.is_none(), "it says so once");
            found = Some((outcome, now, requests, failed));
        }
    }
    found
}

fn exempt(_: usize) -> Source {
    Source::Exempt
}

proptest! {
    #[test]
    fn it_never_fails_by_fewer_requests_than_are_enough_nor_by_a_share_that_is_allowed(
        course in course(), share in 10u16..=9900, before in (0u64..2000, 0u64..=100),
    ) {
        let rule = Rule { share, ..Rule::default() };
        let before = past(before.0, before.0 * before.1 / 100);
        let check = BakeCheck::new(Some(rule), before, None);
        if let Some((BakeOutcome::Failed(_), at, requests, failed)) = run(check, &course, exempt) {
            prop_assert!(requests >= ENOUGH);
            prop_assert!(failed as f64 / requests as f64 > f64::from(share) / 10_000.0);
            // One step may cross the end of the window.
            prop_assert!(at <= rule.window + Duration::from_secs(5));
        }
    }

    #[test]
    fn it_never_fails_by_what_one_client_alone_has_seen(
        course in course(), share in 10u16..=9900,
    ) {
        let rule = Rule { share, ..Rule::default() };
        let check = BakeCheck::new(Some(rule), past(1000, 0), None);
        if let Some((outcome, ..)) = run(check, &course, |_| client(1)) {
            prop_assert_eq!(outcome, BakeOutcome::Sound);
        }
    }

    #[test]
    fn it_never_fails_where_the_release_before_failed_as_often(
        course in course(), share in 10u16..=9900,
    ) {
        let rule = Rule { share, ..Rule::default() };
        // As bad as the worst that the course can become.
        let before = past(1000, 1000);
        let check = BakeCheck::new(Some(rule), before, None);
        if let Some((outcome, ..)) = run(check, &course, exempt) {
            prop_assert_eq!(outcome, BakeOutcome::Sound);
        }
    }

    #[test]
    fn without_a_rule_it_is_sound_at_the_end_of_the_bake_and_never_before(
        course in course(), bake in 0u64..100,
    ) {
        let bake = Duration::from_secs(bake);
        let lasted: u64 = course.iter().map(|(millis, ..)| u64::from(*millis)).sum();
        let check = BakeCheck::new(None, Past::default(), Some(bake));
        match run(check, &course, exempt) {
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
        let check = BakeCheck::new(Some(Rule::default()), past(1000, 10), Some(Duration::MAX));
        // Each step is another client.
        let found = run(check, &all_fail, |step| client(u32::try_from(step).unwrap_or(0)));
        // One window needs enough requests; there may be fewer in 3 minutes. Of three
        // clients that see as much as one another, each counts.
        let most: u64 = all_fail.iter().map(|(_, more, _)| *more).sum();
        let clients = all_fail.iter().filter(|(_, more, _)| *more >= 5).count();
        let lasted: u32 = all_fail.iter().map(|(millis, ..)| *millis).sum();
        if most >= ENOUGH && clients >= 3 && lasted < 60_000 {
            prop_assert!(matches!(found, Some((BakeOutcome::Failed(_), ..))));
        }
    }
}
