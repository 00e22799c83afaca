//! What a rollout looks like, from what one node knows.

use super::*;

const ID: &str = "b2";

fn release(id: &str, status: ReleaseStatus) -> api::ReleaseInfo {
    api::ReleaseInfo {
        id: id.to_owned(),
        kind: api::ReleaseKind::Push,
        status,
        digest: format!("digest of {id}"),
        size: 1,
        at_ms: 1,
        node: "a@10.0.0.1".to_owned(),
        by: String::new(),
        note: String::new(),
        parent: None,
        canaries: Vec::new(),
        bake_ms: 0,
        drop_streams: false,
        signed: false,
        votes_for: Vec::new(),
        votes_against: Vec::new(),
    }
}

fn member(end: u8, serves: &str) -> api::MemberStatus {
    api::MemberStatus {
        node: format!("a@10.0.0.{end}"),
        me: end == 1,
        url: String::new(),
        boot: 1,
        since_ms: 1,
        digest: Some(format!("digest of {serves}")),
        release: None,
        on_target: false,
        bake: None,
        answered: true,
        doing: None,
        failed: None,
        cookie: None,
    }
}

fn look_at(releases: &[api::ReleaseInfo], members: &[api::MemberStatus]) -> Look {
    Look::at(ID, Until::Served, releases, members, None)
}

fn failed(mut member: api::MemberStatus, reason: &str, again: bool) -> api::MemberStatus {
    member.failed = Some(api::Failed {
        at_ms: 1,
        reason: reason.to_owned(),
        digest: None,
        release: Some(ID.to_owned()),
        again,
    });
    member
}

fn ip(end: u8) -> String {
    format!("10.0.0.{end}")
}

fn two(status: ReleaseStatus) -> Vec<api::ReleaseInfo> {
    let older = match status {
        ReleaseStatus::Target => ReleaseStatus::Earlier,
        _ => ReleaseStatus::Target,
    };
    vec![release(ID, status), release("a1", older)]
}

fn ended(releases: &[api::ReleaseInfo], members: &[api::MemberStatus]) -> Option<Outcome> {
    let look = look_at(releases, members);
    look.done.map(|done| done.outcome)
}

#[test]
fn it_is_served_once_every_member_serves_it() {
    let releases = two(ReleaseStatus::Target);
    let mut members = vec![member(1, ID), member(2, "a1")];
    assert_eq!(ended(&releases, &members), None);
    members[1] = member(2, ID);
    let done = look_at(&releases, &members).done.unwrap();
    assert_eq!((done.outcome, done.instead), (Outcome::Served, None));
}

#[test]
fn one_that_fails_is_named_with_its_reason_once_the_rest_serves() {
    let releases = two(ReleaseStatus::Target);
    let bad = failed(member(2, "a1"), "it traps at start", false);
    let waiting = [member(1, "a1"), bad.clone()];
    assert_eq!(ended(&releases, &waiting), None, "the first still may");
    let done = look_at(&releases, &[member(1, ID), bad]).done.unwrap();
    assert_eq!(done.outcome, Outcome::Failed);
    let why = Some("it traps at start".to_owned());
    assert_eq!(done.failed, [("a@10.0.0.2".to_owned(), why)]);
}

#[test]
fn one_that_tries_again_has_not_failed_yet() {
    let full = failed(member(2, "a1"), "the disk is full", true);
    let look = look_at(&two(ReleaseStatus::Target), &[member(1, ID), full]);
    let state = &look.members["a@10.0.0.2"];
    assert_eq!(state.state, NodeState::TryingAgain);
    assert_eq!(state.reason.as_deref(), Some("the disk is full"));
    assert_eq!(look.done, None);
}

#[test]
fn one_that_gets_no_further_is_named_with_its_reason_once_the_rest_serves() {
    let releases = two(ReleaseStatus::Target);
    let full = failed(member(2, "a1"), "the disk is full", true);
    let stuck = |members: &[api::MemberStatus]| look_at(&releases, members).stuck;
    assert_eq!(stuck(&[member(1, "a1"), full.clone()]), None, "one waits");
    assert_eq!(stuck(&[member(1, ID), member(2, "a1")]), None, "one waits");
    let fetching = |have| api::MemberStatus {
        doing: Some(api::Doing {
            step: Step::Fetching,
            digest: String::new(),
            release: Some(ID.to_owned()),
            have: Some(have),
            of: Some(9),
        }),
        ..full.clone()
    };
    assert_eq!(stuck(&[member(1, ID), fetching(3)]), None, "it gets some");
    let why = Some("the disk is full".to_owned());
    for again in [full.clone(), fetching(0)] {
        let done = stuck(&[member(1, ID), again]).unwrap();
        assert_eq!(done.outcome, Outcome::Failed);
        assert_eq!(done.failed, [("a@10.0.0.2".to_owned(), why.clone())]);
    }
}

#[test]
fn what_failed_with_another_release_says_nothing_about_this_one() {
    let mut other = failed(member(2, "a1"), "old", false);
    other.failed.as_mut().unwrap().release = Some("a1".to_owned());
    let look = look_at(&two(ReleaseStatus::Target), &[other]);
    assert_eq!(look.members["a@10.0.0.2"].state, NodeState::Waiting);
    assert_eq!(look.members["a@10.0.0.2"].reason, None);
}

#[test]
fn a_staged_release_waits_for_the_votes_of_its_canaries_and_says_whose() {
    let mut releases = two(ReleaseStatus::Baking);
    releases[0].canaries = vec![ip(1), ip(2)];
    releases[0].votes_for = vec![ip(1)];
    let members = [member(1, ID), member(2, ID), member(3, "a1")];
    let look = look_at(&releases, &members);
    assert_eq!(look.waits_for, [ip(2)]);
    assert_eq!(look.members["a@10.0.0.3"].state, NodeState::NotYet);
    assert_eq!(look.done, None);
}

#[test]
fn a_release_that_was_voted_down_names_who_was_against_it_and_what_is_the_target() {
    let mut releases = two(ReleaseStatus::VotedDown);
    releases[0].votes_against = vec![ip(1), ip(9)];
    let done = look_at(&releases, &[member(1, ID), member(2, "a1")])
        .done
        .unwrap();
    assert_eq!(done.outcome, Outcome::Failed);
    let named: Vec<_> = done.failed.into_iter().map(|(node, _)| node).collect();
    assert_eq!(named, ["a@10.0.0.1", "10.0.0.9"]);
    assert_eq!(done.instead.unwrap().id, "a1");
}

#[test]
fn whatever_is_ahead_of_it_supersedes_it() {
    let members = [member(1, "a1")];
    for status in [ReleaseStatus::Superseded, ReleaseStatus::Earlier] {
        let done = look_at(&two(status), &members).done.unwrap();
        assert_eq!(done.outcome, Outcome::Superseded);
        assert_eq!(done.instead.unwrap().id, "a1", "{status:?}");
    }
}

#[test]
fn what_bakes_is_ahead_of_it_too() {
    // On a canary of the newer release; then on another node, with two releases
    // made at once.
    for (status, target) in [
        (ReleaseStatus::Earlier, None),
        (
            ReleaseStatus::Superseded,
            Some(release("a1", ReleaseStatus::Target)),
        ),
    ] {
        let mut releases = vec![release("c3", ReleaseStatus::Baking), release(ID, status)];
        releases.extend(target);
        let done = look_at(&releases, &[member(1, "c3")]).done.unwrap();
        assert_eq!(done.outcome, Outcome::Superseded);
        assert_eq!(done.instead.unwrap().id, "c3");
    }
}

#[test]
fn only_what_has_changed_is_said() {
    let releases = two(ReleaseStatus::Target);
    let first = look_at(&releases, &[member(1, ID), member(2, "a1")]);
    assert_eq!(first.news(None).len(), 3);
    assert_eq!(first.news(Some(&first)), []);
    let mut fetching = member(2, "a1");
    fetching.doing = Some(api::Doing {
        step: Step::Fetching,
        digest: String::new(),
        release: Some(ID.to_owned()),
        have: Some(3),
        of: Some(9),
    });
    let next = look_at(&releases, &[fetching]);
    let news = next.news(Some(&first));
    let said = Progress::Node {
        node: "a@10.0.0.2".to_owned(),
        state: NodeState::Fetching,
        bakes: false,
        have: Some(3),
        of: Some(9),
        reason: None,
    };
    let gone = Progress::Gone {
        node: "a@10.0.0.1".to_owned(),
    };
    assert_eq!(news, [said, gone]);
}

#[test]
fn who_does_not_answer_in_time_does_what_it_did_before() {
    let releases = two(ReleaseStatus::Target);
    let mut fetching = member(2, "a1");
    fetching.doing = Some(api::Doing {
        step: Step::Fetching,
        digest: String::new(),
        release: Some(ID.to_owned()),
        have: Some(3),
        of: Some(9),
    });
    let before = look_at(&releases, &[member(1, ID), fetching]);
    let mut silent = member(2, "a1");
    silent.answered = false;
    let members = [member(1, ID), silent.clone()];
    let look = Look::at(ID, Until::Served, &releases, &members, Some(&before));
    assert_eq!(look.news(Some(&before)), []);
    // The node knows that the member serves it, although the member does not
    // answer.
    silent.digest = member(2, ID).digest;
    let members = [member(1, ID), silent];
    let look = Look::at(ID, Until::Served, &releases, &members, Some(&before));
    assert_eq!(look.done.unwrap().outcome, Outcome::Served);
    // A member that no longer reports the release waits.
    let members = [member(1, ID), member(2, "a1")];
    let look = Look::at(ID, Until::Served, &releases, &members, Some(&before));
    assert_eq!(look.members["a@10.0.0.2"].state, NodeState::Waiting);
}

#[test]
fn who_tries_again_in_vain_has_not_voted_a_release_down() {
    let full = failed(member(2, "a1"), "the disk is full", true);
    let done = look_at(&two(ReleaseStatus::VotedDown), &[member(1, "a1"), full]).done;
    assert_eq!(done.unwrap().failed, []);
}

#[test]
fn a_release_that_somebody_rolled_back_was_left() {
    let members = [member(1, "a1")];
    let done = look_at(&two(ReleaseStatus::RolledBack), &members)
        .done
        .unwrap();
    assert_eq!(done.outcome, Outcome::Failed);
    assert_eq!(done.instead.unwrap().id, "a1");
}

#[test]
fn until_the_verdict_all_who_serve_it_must_have_voted() {
    let mut releases = two(ReleaseStatus::Target);
    releases[0].parent = Some("a1".to_owned());
    let members = [member(1, ID), member(2, ID)];
    let ended = |releases: &[api::ReleaseInfo], until| {
        let look = Look::at(ID, until, releases, &members, None);
        look.done.map(|done| done.outcome)
    };
    assert_eq!(ended(&releases, Until::Served), Some(Outcome::Served));
    assert_eq!(ended(&releases, Until::Verdict), None);
    let look = look_at(&releases, &members);
    assert!(look.members.values().all(|member| member.bakes));
    releases[0].votes_for = vec![ip(1)];
    assert_eq!(ended(&releases, Until::Verdict), None, "one has not voted");
    releases[0].votes_against = vec![ip(2)];
    assert_eq!(ended(&releases, Until::Verdict), Some(Outcome::Failed));
    releases[0].votes_against.clear();
    releases[0].votes_for.push(ip(2));
    assert_eq!(ended(&releases, Until::Verdict), Some(Outcome::Served));
    // Nobody votes on a rollback, which a person decided.
    releases[0].votes_for.clear();
    releases[0].kind = api::ReleaseKind::Rollback;
    assert_eq!(ended(&releases, Until::Verdict), Some(Outcome::Served));
}
