//! Records from too far ahead, records for another cluster, and known records.

use super::*;

const HOUR: u64 = 60 * 60 * 1000;

/// A record that this node does not know, pushed at this time.
fn pushed_elsewhere(after: &ReleaseSet, wall_ms: u64) -> Arc<Release> {
    let mut other = set(3);
    tell(after, &mut other);
    pushed(&mut other, "from afar", wall_ms)
}

#[test]
fn a_record_from_too_far_ahead_is_set_aside_until_its_time_has_come() {
    let mut set = set(2);
    pushed(&mut set, "base", WALL);
    news(&mut set);
    let (before, clock) = (set.hash(), set.clock());
    let ahead = pushed_elsewhere(&set, WALL + HOUR);
    set.set_latest(Hlc::from_ms(WALL + HOUR / 6));
    for _ in 0..2 {
        let learnt = set.learn(vec![ahead.clone()], vec![]);
        assert_eq!((learnt.releases.len(), learnt.aside), (0, 1));
    }
    assert_eq!(
        news(&mut set),
        [News::SetAside(ahead.clone())],
        "it is told once"
    );
    assert_eq!(
        (set.hash(), set.clock()),
        (before, clock),
        "nothing is kept of it"
    );
    assert_eq!(set.look_at_aside(), []);
    assert!(set.has_aside());
    // A decision made meanwhile does not get a later time than the record.
    set.set_latest(Hlc::from_ms(WALL + HOUR));
    assert_eq!(set.look_at_aside(), std::slice::from_ref(&ahead));
    assert!(!set.has_aside());
    assert_eq!(set.learn(vec![ahead.clone()], vec![]).releases, [ahead]);
    assert_eq!(serves(&set), Some(component("from afar").digest));
}

#[test]
fn no_more_than_a_few_are_set_aside() {
    let mut set = set(2);
    pushed(&mut set, "base", WALL);
    set.set_latest(Hlc::from_ms(WALL));
    for ahead in 1..100 {
        let record = pushed_elsewhere(&set, WALL + ahead * HOUR);
        let other = Release::read(record.bytes()).expect("a record");
        set.learn(vec![other], vec![]);
        let name = ahead.to_string();
        let mut elsewhere = super::set(3);
        let record = pushed(&mut elsewhere, &name, WALL + ahead * HOUR);
        set.learn(vec![record], vec![]);
    }
    set.set_latest(Hlc::from_number(u64::MAX));
    assert_eq!(set.look_at_aside().len(), 32);
}

#[test]
fn a_record_of_another_cluster_is_refused_and_says_so() {
    let (berlin, sign) = deploy_key(1);
    let paris = berlin.to_string().replace("berlin", "paris");
    let paris: DeployKey = paris.parse().expect("the same key, for another cluster");
    let made = ReleaseSet::new(node(2), Some(berlin.clone()));
    let draft = made.draft(push(component("new"), Plan::default()), WALL, None);
    let signed = sign(&draft.expect("a draft"));
    assert_eq!(berlin.check(&signed), Ok(()));
    let refused = paris
        .check(&signed)
        .expect_err("another cluster")
        .to_string();
    assert_eq!(
        refused,
        "it is for cluster berlin, and this is cluster paris"
    );
    let mut other = ReleaseSet::new(node(3), Some(paris));
    let learnt = other.learn(vec![signed], vec![]);
    assert_eq!((learnt.releases.len(), learnt.forged), (0, 1));
}

#[test]
fn the_app_is_part_of_what_a_release_does() {
    let digest = component("new").digest;
    let [one, other] = ["one", "other"].map(|app| app.parse().expect("a name"));
    assert_ne!(
        ReleaseId::new(&one, None, &digest),
        ReleaseId::new(&other, None, &digest)
    );
}
