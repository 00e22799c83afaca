//! How a node treats newer programs. In a newer minor version it reads what it knows. It
//! refuses another major version, with one report a minute.

use super::*;
use crate::AppName;
use crate::membership::KnownNode;
use crate::release::{Component, Hlc, Parts, Plan, Release, ReleaseKind};
use crate::replicate::{DataKind, KindPart};
use crate::wire::seal_bytes;
use crate::{Digest, Serving};

const NEWER: Version = Version::from_byte(Version::OURS.byte() + 1);
const MAJOR: Version = Version::from_byte(Version::OURS.byte() + 16);

impl Puppet {
    /// Sends a message like a program of this version, with additions after it.
    fn say_as(
        &mut self,
        bench: &mut Bench,
        version: Version,
        message: &Message<'_>,
        additions: &[u8],
    ) {
        let mut bytes = postcard::to_allocvec(message).expect("it can be written");
        bytes.extend_from_slice(additions);
        self.say_bytes(bench, version, &bytes);
    }

    fn say_bytes(&mut self, bench: &mut Bench, version: Version, message: &[u8]) {
        self.sequence += 1;
        let head = Head {
            version,
            source: self.run.id(),
            receiver: None,
            boot: self.run.boot,
            sequence: self.sequence,
        };
        let bytes = seal_bytes(&keys(), &head, message).expect("it fits");
        bench.hear(self.run.address(), &bytes);
    }

    fn proof(&self, bench: &Bench) -> Message<'static> {
        Message::Hello(Hello {
            about: self.about(),
            echo: bench.node.admission.nonce(),
            want_echo: false,
            known: None,
        })
    }

    /// The bytes of a state that names this node and another one.
    fn state(&self, other: &Puppet) -> Vec<u8> {
        let known = |run: &Run| KnownNode {
            update: Update::alive(run.clone()),
            advertised: None,
        };
        let nodes = [known(&self.run), known(&other.run)];
        let state = State {
            boot: self.run.boot,
            parts: vec![KindPart {
                kind: DataKind::MEMBERS,
                ask: Bytes::from_static(&[0; 8]),
                delta: replicate::write_all(nodes.iter(), replicate::DELTA_MAX).into(),
            }],
        };
        state.write().expect("it can be written").to_vec()
    }
}

/// The reports of refused datagrams.
fn reports(bench: &mut Bench) -> Vec<(Refusal, u64)> {
    let report = |effect: Effect| match effect {
        Effect::Refused { why, count, .. } => Some((why, count)),
        _ => None,
    };
    bench.effects().into_iter().filter_map(report).collect()
}

fn refused(bench: &Bench) -> u64 {
    bench.node.counters().refused.total()
}

#[test]
fn a_node_of_a_newer_minor_version_is_let_in_and_its_additions_are_left_out() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    let hello = puppet.proof(&bench);
    // In a version without additions, the same bytes are garbage.
    puppet.say_as(&mut bench, Version::OURS, &hello, &[1, 2, 3]);
    assert!(!bench.lists(&puppet));
    assert_eq!(reports(&mut bench), [(Refusal::Content, 1)]);
    puppet.say_as(&mut bench, NEWER, &hello, &[1, 2, 3]);
    assert!(bench.lists(&puppet));

    let serving = Some(Serving::bootstrap(Digest::of(b"an app")));
    let mut about = puppet.about();
    about.advertised.revision = 1;
    about.advertised.serving = serving.clone();
    puppet.say_as(&mut bench, NEWER, &Message::Beacon(about), &[0xff; 40]);
    assert!(bench.lists(&puppet));
    let view = bench.node.view();
    let member = view.member(&puppet.run.name).expect("it is listed");
    assert_eq!(member.serving, serving);
    assert_eq!(refused(&bench), 1);
}

#[test]
fn a_kind_of_message_that_a_newer_minor_version_adds_is_counted_and_ignored() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    puppet.join(&mut bench);
    let view = bench.node.view();
    let unknown = [100, 1, 2, 3];
    puppet.say_bytes(&mut bench, NEWER, &unknown);
    assert_eq!(bench.node.counters().unknown, 1);
    assert_eq!(refused(&bench), 0);
    assert!(bench.effects().is_empty());
    assert_eq!(bench.node.view(), view);
    // The sender need not be admitted for that, and it is not.
    let mut stranger = Puppet::new(4, 5);
    stranger.say_bytes(&mut bench, NEWER, &unknown);
    assert_eq!(bench.node.counters().unknown, 2);
    assert!(!bench.lists(&stranger));
    // In this program's version there is no such kind.
    puppet.say_bytes(&mut bench, Version::OURS, &unknown);
    assert_eq!(reports(&mut bench), [(Refusal::Content, 1)]);
}

#[test]
fn the_state_of_a_newer_minor_version_is_understood() {
    let mut bench = Bench::new();
    let (mut puppet, third) = (Puppet::new(3, 5), Puppet::new(4, 5));
    puppet.join(&mut bench);
    let mut bytes = puppet.state(&third);
    bytes[0] = NEWER.byte();
    bytes.extend_from_slice(b"what is new");
    let member = puppet.run.name.clone();
    let input = Input::SyncRequest {
        member,
        bytes: &bytes,
    };
    bench.node.handle(bench.now, 0, input);
    let answered = |effect: &Effect| matches!(effect, Effect::SyncReply { .. });
    assert!(bench.effects().iter().any(answered));
    assert!(bench.lists(&third));
    assert_eq!(refused(&bench), 0);
}

#[test]
fn another_major_version_is_refused_with_one_report_a_minute() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    let hello = puppet.proof(&bench);
    for _ in 0..3 {
        puppet.say_as(&mut bench, MAJOR, &hello, &[]);
    }
    assert!(!bench.lists(&puppet));
    assert_eq!(reports(&mut bench), [(Refusal::Version, 1)]);
    bench.pass(Duration::from_secs(59));
    puppet.say_as(&mut bench, MAJOR, &hello, &[]);
    assert_eq!(reports(&mut bench), []);
    bench.pass(Duration::from_secs(1));
    puppet.say_as(&mut bench, MAJOR, &hello, &[]);
    // Those in between, and the last one, are in one report.
    assert_eq!(reports(&mut bench), [(Refusal::Version, 4)]);
    assert_eq!(bench.node.counters().refused.of(Refusal::Version), 5);
    assert_eq!(bench.node.counters().refused.total(), 5);
    assert_eq!(bench.node.counters().probation, 0);
}

#[test]
fn the_state_of_another_major_version_is_refused_with_a_report() {
    let mut bench = Bench::new();
    let (mut puppet, third) = (Puppet::new(3, 5), Puppet::new(4, 5));
    puppet.join(&mut bench);
    let good = puppet.state(&third);
    let mut other = good.clone();
    other[0] = MAJOR.byte();
    let damaged = &good[..good.len() - 1];
    let name = &puppet.run.name;
    for (bytes, expected) in [
        (&other[..], &[(Refusal::Version, 1)][..]),
        // One source is reported once a minute, whatever the reason.
        (damaged, &[]),
    ] {
        let member = name.clone();
        bench
            .node
            .handle(bench.now, 0, Input::SyncRequest { member, bytes });
        assert_eq!(reports(&mut bench), expected);
        let member = name.clone();
        bench
            .node
            .handle(bench.now, 0, Input::SyncReply { member, bytes });
        assert_eq!(reports(&mut bench), []);
    }
    assert_eq!(bench.node.counters().refused.of(Refusal::Version), 2);
    assert_eq!(bench.node.counters().refused.of(Refusal::Content), 2);
    assert!(!bench.lists(&third));
}

#[test]
fn the_record_of_another_major_version_is_refused_as_such() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    puppet.join(&mut bench);
    let release = Release::new(&Parts {
        app: AppName::the_only(),
        cluster: None,
        kind: ReleaseKind::Push,
        at: Hlc::from_ms(1),
        node: puppet.run.name.clone(),
        parent: None,
        component: Component::of(b"an app"),
        by: String::new(),
        note: String::new(),
        plan: Plan::default(),
        base: None,
    })
    .expect("a release");
    // First come two bytes with the length of the body, then its version.
    let mut record = release.bytes().to_vec();
    let at = record.len() - release.signed_bytes().len() - 1;
    assert_eq!(record[at], Version::OURS.byte());
    record[at] = MAJOR.byte();
    puppet.say(&mut bench, &Message::Release(&record));
    assert_eq!(reports(&mut bench), [(Refusal::Version, 1)]);
    assert_eq!(bench.node.releases().count(), 0);
    puppet.say(&mut bench, &Message::Release(release.bytes()));
    assert_eq!(bench.node.releases().count(), 1);
}
