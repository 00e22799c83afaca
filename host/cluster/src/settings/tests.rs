//! Settings of one node, without the others.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::record::SettingParts;
use super::set::{NAMES_MAX, SettingSet};
use super::*;
use crate::release::{DeployKey, Hlc};
use crate::{AppName, NodeName};
use std::sync::Arc;

const NOW_MS: u64 = 1_700_000_000_000;

fn node(last: u8) -> NodeName {
    NodeName::new("example", Ipv4Addr::new(10, 10, 10, last)).expect("a name")
}

fn set_of(last: u8) -> SettingSet {
    SettingSet::new(node(last), None)
}

fn change(kind: SettingKind, key: &str, value: Option<&str>) -> SettingChange {
    SettingChange {
        kind,
        key: key.to_owned(),
        value: value.map(str::to_owned),
    }
}

fn config(key: &str, value: Option<&str>) -> SettingChange {
    change(SettingKind::Config, key, value)
}

/// Makes a change, and takes it in.
fn apply(
    set: &mut SettingSet,
    changes: Vec<SettingChange>,
) -> Result<Vec<Arc<Setting>>, SettingError> {
    let at = set.next_time(NOW_MS, None);
    let records = set.draft(changes, "somebody", (at, [7; 16]))?;
    set.check(&records, Hlc::from_number(u64::MAX))?;
    set.learn(records.clone());
    Ok(records)
}

fn record(key: &str, value: Option<&str>, at: u64, by: u8) -> Arc<Setting> {
    let parts = SettingParts {
        app: AppName::the_only(),
        cluster: None,
        kind: SettingKind::Config,
        key: key.to_owned(),
        salt: [u8::try_from(at % 251).expect("small"); 16],
        value: None,
        at: Hlc::from_number(at),
        node: node(by),
        by: String::new(),
    };
    Setting::new(parts, value).expect("a record")
}

fn known(set: &SettingSet) -> Vec<Arc<Setting>> {
    set.all().cloned().collect()
}

fn values(set: &SettingSet) -> Vec<(String, String)> {
    let settings = Settings::of(set, &ConfigLines::default());
    let config = settings.config();
    config
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_newest_change_of_a_name_counts_and_a_removed_name_is_gone() {
    let mut set = set_of(2);
    apply(
        &mut set,
        vec![config("A", Some("1")), config("B", Some("1"))],
    )
    .expect("set");
    apply(&mut set, vec![config("A", Some("2"))]).expect("set again");
    apply(&mut set, vec![config("B", None)]).expect("removed");
    assert_eq!(values(&set), [("A".to_owned(), "2".to_owned())]);
    let past = Settings::of(&set, &ConfigLines::default()).past().to_vec();
    let past: Vec<(&str, bool)> = past.iter().map(|it| (it.key(), it.is_removal())).collect();
    assert_eq!(past.len(), 3, "{past:?}");
    assert_eq!(past[0], ("B", true), "the newest first");
}

#[test]
fn what_another_change_has_followed_is_kept_without_its_value() {
    let mut set = set_of(2);
    let secret = |value| change(SettingKind::Secret, "TOKEN", Some(value));
    apply(&mut set, vec![secret("first-of-all")]).expect("set");
    apply(&mut set, vec![secret("second")]).expect("set again");
    let stored = set.store().expect("written");
    let has = |text: &str| stored.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(has("second") && !has("first-of-all"));
    assert!(!format!("{set:?}").contains("second"), "nor shown");
    let (again, unsigned) = SettingSet::begin(&node(2), None, Some(&stored));
    assert_eq!((known(&again), unsigned), (known(&set), 0));
    assert_eq!(again.hash(), set.hash());
}

#[test]
fn an_old_record_changes_nothing_however_often_it_comes() {
    let mut set = set_of(2);
    let first = apply(&mut set, vec![config("A", Some("1"))]).expect("set");
    apply(&mut set, vec![config("A", None)]).expect("removed");
    let (before, hash) = (known(&set), set.hash());
    for _ in 0..3 {
        assert!(set.learn(first.clone()).newest.is_empty());
    }
    assert_eq!((known(&set), set.hash()), (before, hash));
    assert!(values(&set).is_empty());
}

#[test]
fn a_record_of_the_history_does_not_stand_for_a_value() {
    // One that knows only the history of a name gets its value from a member that has it.
    let (full, mut other) = (record("A", Some("1"), 5, 2), set_of(3));
    other.learn(vec![full.without_value()]);
    assert!(values(&other).is_empty());
    let mut with_value = set_of(2);
    with_value.learn(vec![full.clone()]);
    assert_ne!(other.hash(), with_value.hash(), "they differ");
    other.learn(vec![full]);
    assert_eq!(values(&other).len(), 1);
    assert_eq!(other.hash(), with_value.hash());
}

#[test]
fn a_secret_does_not_become_visible() {
    let mut set = set_of(2);
    let secret = || change(SettingKind::Secret, "TOKEN", Some("s"));
    apply(&mut set, vec![secret()]).expect("set");
    let refused = apply(&mut set, vec![config("TOKEN", Some("x"))]);
    assert_eq!(refused, Err(SettingError::IsSecret("TOKEN".to_owned())));
    apply(&mut set, vec![config("TOKEN", None)]).expect("removed by its name");
    apply(&mut set, vec![config("TOKEN", Some("x"))]).expect("now it is config");
    apply(&mut set, vec![secret()]).expect("config may become secret");
}

#[test]
fn what_cannot_be_is_refused_and_says_why() {
    let mut set = set_of(2);
    let mut refused = |changes| apply(&mut set, changes).expect_err("refused").to_string();
    assert!(
        refused(vec![config("two words", Some(""))]).contains("`two words` cannot be the name")
    );
    assert!(refused(vec![config("A", None)]).contains("`host config ls` lists"));
    assert!(refused(vec![config("A", Some("1")), config("A", Some("2"))]).contains("given twice"));
    assert!(
        refused(vec![change(SettingKind::Egress, "example.com", Some(""))]).contains("https://")
    );
    assert!(refused(Vec::new()).contains("nothing"));
    let large = "x".repeat(LIVE_BYTES_MAX);
    let text = refused(vec![config("A", Some(&large))]);
    assert!(
        text.contains("65537 bytes") && text.contains("65536"),
        "{text}"
    );
    let many = (0..=LIVE_MAX).map(|number| config(&format!("K{number}"), Some("")));
    let text = refused(many.collect());
    assert!(text.contains("257") && text.contains("256"), "{text}");
    assert!(known(&set).is_empty());
}

#[test]
fn a_full_set_can_be_made_smaller() {
    let mut set = set_of(2);
    let half = "x".repeat(LIVE_BYTES_MAX / 2 - 1);
    apply(
        &mut set,
        vec![config("A", Some(&half)), config("B", Some(&half))],
    )
    .expect("it fits");
    let more = apply(&mut set, vec![config("C", Some(""))]);
    assert!(matches!(more, Err(SettingError::TooLarge(_))));
    apply(&mut set, vec![config("A", Some("less"))]).expect("less");
    apply(&mut set, vec![config("C", Some(""))]).expect("now there is room");
}

#[test]
fn beyond_all_names_the_oldest_goes_and_its_past_does_not_come_back() {
    let mut set = set_of(2);
    let old = record("OLD", Some("set"), 1, 2);
    set.learn(vec![old.clone(), record("OLD", None, 2, 2)]);
    let newer = (0..NAMES_MAX).map(|n| record(&format!("K{n}"), None, 10 + n as u64, 2));
    set.learn(newer.collect());
    assert_eq!(set.newest().count(), NAMES_MAX);
    set.learn(vec![old]);
    assert_eq!(set.newest().count(), NAMES_MAX);
    assert!(values(&set).is_empty());
    let more = apply(&mut set, vec![config("MORE", Some(""))]);
    assert_eq!(more, Err(SettingError::TooManyNames(NAMES_MAX + 1)));
}

/// A deploy key for a cluster, and what signs with it.
fn key(cluster: &str) -> (DeployKey, Ed25519KeyPair) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).expect("a key");
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    let cluster = cluster.parse().expect("a cluster");
    (DeployKey::new(cluster, public), pair)
}

fn signed(record: &Setting, pair: &Ed25519KeyPair) -> Arc<Setting> {
    let mut signature = [0; 64];
    signature.copy_from_slice(pair.sign(record.signed_bytes()).as_ref());
    record.with_signature(&signature).expect("signed")
}

#[test]
fn where_there_is_a_deploy_key_only_what_it_has_signed_is_taken() {
    let (deploy_key, pair) = key("berlin");
    let mut set = SettingSet::new(node(2), Some(deploy_key));
    let at = set.next_time(NOW_MS, None);
    let draft = set
        .draft(vec![config("A", Some("1"))], "somebody", (at, [7; 16]))
        .expect("a draft");
    let latest = Hlc::from_number(u64::MAX);
    assert_eq!(set.check(&draft, latest), Err(SettingError::Unsigned));
    assert_eq!(set.learn(draft.clone()).unsigned, 1);
    // Signed for another cluster, and by another key.
    let abroad = SettingSet::new(node(2), Some(key("paris").0));
    let abroad = abroad
        .draft(vec![config("A", Some("1"))], "somebody", (at, [7; 16]))
        .expect("a draft");
    let foreign = signed(&abroad[0], &pair);
    let other = Ed25519KeyPair::from_seed_unchecked(&[6; 32]).expect("a key");
    let forged = signed(&draft[0], &other);
    assert_eq!(set.learn(vec![foreign, forged]).forged, 2);
    assert!(known(&set).is_empty());
    let good = signed(&draft[0], &pair);
    assert_eq!(set.check(std::slice::from_ref(&good), latest), Ok(()));
    assert_eq!(set.learn(vec![good.clone()]).newest.len(), 1);
    // In the history, the signature still holds.
    assert_eq!(set.accept(&good.without_value()), Ok(()));
    let stored = set.store().expect("written");
    let (_, unsigned) = SettingSet::begin(&node(2), Some(key("paris").0), Some(&stored));
    assert_eq!(unsigned, 1);
}

#[test]
fn a_signature_of_a_release_signs_no_setting() {
    let (_, pair) = key("berlin");
    let draft = record("A", Some("1"), 5, 2);
    // What a release would have to begin with.
    assert_eq!(draft.signed_bytes().first(), Some(&0));
    let good = signed(&draft, &pair);
    assert_eq!(good.key(), "A");
}

#[test]
fn another_value_than_the_signed_one_makes_no_record() {
    let draft = record("A", Some("right"), 5, 2);
    let bytes = draft.bytes().to_vec();
    let at = bytes
        .windows(5)
        .position(|it| it == b"right")
        .expect("the value");
    let mut changed = bytes.clone();
    changed[at..at + 5].copy_from_slice(b"wrong");
    assert!(Setting::read(&bytes).is_ok());
    assert!(matches!(
        Setting::read(&changed),
        Err(SettingReadError::Contradiction(_))
    ));
}

#[test]
fn a_record_from_far_ahead_is_set_aside_until_its_time_comes() {
    let mut set = set_of(2);
    set.set_latest(Hlc::from_ms(NOW_MS));
    let far = record("A", Some("1"), Hlc::from_ms(NOW_MS + 1).number(), 3);
    assert_eq!(set.learn(vec![far.clone(), far.clone()]).aside.len(), 1);
    assert!(known(&set).is_empty() && set.has_aside());
    set.set_latest(Hlc::from_ms(NOW_MS + 1));
    let now = set.look_at_aside();
    set.learn(now);
    assert_eq!(known(&set), [far]);
}

#[test]
fn a_clock_that_is_ahead_of_the_members_stamps_with_theirs() {
    let set = set_of(2);
    assert_eq!(
        set.next_time(NOW_MS + 9000, Some(9000)),
        Hlc::from_ms(NOW_MS)
    );
    assert_eq!(set.next_time(NOW_MS, Some(-9000)), Hlc::from_ms(NOW_MS));
}

#[test]
fn config_of_the_node_counts_before_that_of_the_cluster() {
    let mut set = set_of(2);
    apply(
        &mut set,
        vec![config("A", Some("1")), config("B", Some("two\nlines"))],
    )
    .expect("set");
    let own = ConfigLines::read("# own\n\nA=own = \nC=\"\\\"quoted\\\"\"\n").expect("lines");
    let settings = Settings::of(&set, &own);
    assert_eq!(settings.get("A"), Some("own = "));
    assert_eq!(settings.get("C"), Some("\"quoted\""));
    assert_ne!(
        settings.version(),
        Settings::of(&set, &ConfigLines::default()).version()
    );
    let lines = std::str::from_utf8(settings.lines()).expect("text");
    assert_eq!(lines, "A=own = \nB=\"two\\nlines\"\nC=\"\\\"quoted\\\"\"\n");
    let again = ConfigLines::read(lines).expect("lines");
    assert!(again.iter().eq(settings.config()));
}

#[test]
fn a_line_that_is_no_config_is_named() {
    let wrong = |text: &str| ConfigLines::read(text).expect_err("wrong").to_string();
    assert!(wrong("A=1\nB").starts_with("line 2 is no KEY=VALUE"));
    assert!(wrong("A B=1").contains("a name that config cannot have"));
    assert!(wrong("A=\"x").contains("no JSON string"));
    assert!(wrong("A=1\nA=2").contains("an earlier line"));
}

#[test]
fn names_of_the_environment_are_told_from_others() {
    assert!(is_environment_name("DATABASE_URL") && is_environment_name("_x9"));
    assert!(
        !is_environment_name("a.b") && !is_environment_name("9A") && !is_environment_name("a-b")
    );
}

proptest! {
    #[test]
    fn whoever_knows_the_same_agrees_in_whatever_order_it_came(
        made in proptest::collection::vec((0..4u8, 0..40u64, 2..5u8, any::<bool>()), 0..90),
        seed: u64,
    ) {
        let made: Vec<Arc<Setting>> = made
            .into_iter()
            .map(|(key, at, by, removed)| {
                let value = format!("{at} {by}");
                record(&format!("K{key}"), (!removed).then_some(&*value), at, by)
            })
            .collect();
        let mut shuffled = made.clone();
        let mut state = seed;
        for number in (1..shuffled.len()).rev() {
            state = crate::hash::mix(state);
            shuffled.swap(number, usize::try_from(state % (number as u64 + 1)).unwrap_or(0));
        }
        let (mut one, mut other) = (set_of(2), set_of(3));
        one.learn(made.clone());
        for record in shuffled {
            other.learn(vec![record]);
        }
        prop_assert_eq!(known(&one), known(&other));
        prop_assert_eq!(one.hash(), other.hash());
        // Two halves that exchange what they hold end equal, too.
        let (mut left, mut right) = (set_of(4), set_of(5));
        left.learn(made[..made.len() / 2].to_vec());
        right.learn(made[made.len() / 2..].to_vec());
        let held = known(&left);
        left.learn(known(&right));
        right.learn(held);
        prop_assert_eq!(known(&left), known(&one));
        prop_assert_eq!(known(&right), known(&one));
    }

    #[test]
    fn garbage_is_no_record(garbage: Vec<u8>) {
        prop_assert!(Setting::read(&garbage).is_err());
    }
}
