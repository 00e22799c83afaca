//! One node, which gets from the test what another node with the right cookie would send.

mod down_decisions;
mod joining;
mod name_conflict;
mod records;
mod replicated;
mod versions;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::membership::{HEARSAY, TableSwim, Update, VIEWS_APART};
use crate::message::{Beacon, Cause, Content, Down, Hello, KnownRun};
use crate::replicate;
use crate::run::Advertised;
use crate::sync::State;
use crate::wire::{self, Head, Version};
use crate::{Cidr, ConfigLines, DownReason, HttpUrl, NodeName, Refusal, TakenEvidence};

/// A node, and what the test knows of it.
struct Bench {
    node: Node,
    now: Time,
}

/// Another node, played by the test.
struct Puppet {
    run: Run,
    sequence: u64,
}

const ME: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 2);

fn keys() -> Keys {
    Keys::from_master(&[7; 32])
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// A bench with another configuration.
    fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            name: NodeName::new("example", ME).expect("a name"),
            url: HttpUrl::plain((ME, 8080)),
            cluster_port: 8383,
            broadcast: Some(SocketAddrV4::new(Ipv4Addr::new(10, 10, 10, 255), 8383)),
            subnet: Cidr::new(ME, 24).expect("a range"),
            allow: Vec::new(),
            join: Vec::new(),
            boot_stored: None,
            releases_stored: None,
            settings_stored: None,
            app_config: ConfigLines::default(),
            data: crate::data::DataStore::default(),
            deploy_key: None,
            built_ms: 0,
            wall_ms: 1000,
        };
        adjust(&mut config);
        let now = Time::ZERO;
        let table = |_, _| -> Box<dyn Swim> { Box::<TableSwim>::default() };
        let node = Node::with_engine(config, &keys(), now, 1, table);
        Self { node, now }
    }

    /// Lets time pass, timers included.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.node.next_timer().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.node.handle(self.now, 0, Input::Timer);
        }
        self.now = end;
    }

    fn hear(&mut self, from: SocketAddrV4, bytes: &[u8]) {
        self.node
            .handle(self.now, 0, Input::Datagram { from, bytes });
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.node.poll_effect()).collect()
    }

    fn lists(&mut self, puppet: &Puppet) -> bool {
        self.pass(VIEWS_APART);
        self.node.view().member(&puppet.run.name).is_some()
    }

    /// The messages that were sent to this address, or broadcast.
    fn sent(&mut self, to: Ipv4Addr) -> Vec<String> {
        let all = self
            .effects()
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send { to, bytes } => Some((*to.ip(), bytes)),
                Effect::Broadcast { bytes } => Some((to, bytes)),
                _ => None,
            });
        all.filter(|(ip, _)| *ip == to)
            .map(|(_, bytes)| {
                let (_, payload) =
                    wire::open(&keys(), |_| true, NodeId::of(to), ME, &bytes).expect("ours");
                match Message::read(wire::Version::OURS, payload) {
                    Content::Message(message) => format!("{message:?}"),
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }
}

impl Puppet {
    fn new(last: u8, boot: u64) -> Self {
        let ip = Ipv4Addr::new(10, 10, 10, last);
        let run = Run {
            name: NodeName::new("puppet", ip).expect("a name"),
            port: 8383,
            url: HttpUrl::plain((ip, 8080)),
            boot: Boot::from_number(boot),
            process: boot,
        };
        Self { run, sequence: 0 }
    }

    fn about(&self) -> Beacon {
        Beacon {
            run: self.run.clone(),
            uptime_ms: 0,
            advertised: Advertised {
                revision: 0,
                serving: None,
                keys: keys().ids(),
            },
            nonce: 77,
            ahead_ms: 0,
            wall_ms: 0,
            summaries: replicate::of_nothing(0),
        }
    }

    fn say(&mut self, bench: &mut Bench, message: &Message<'_>) {
        self.sequence += 1;
        let head = Head {
            version: wire::Version::OURS,
            source: self.run.id(),
            receiver: Some(NodeId::of(ME)),
            boot: self.run.boot,
            sequence: self.sequence,
        };
        let bytes = wire::seal(&keys(), &head, message).expect("it fits");
        bench.hear(self.run.address(), &bytes);
    }

    /// Broadcasts a message.
    fn broadcast(&mut self, bench: &mut Bench, message: &Message<'_>) {
        self.sequence += 1;
        let head = Head {
            version: Version::OURS,
            source: self.run.id(),
            receiver: None,
            boot: self.run.boot,
            sequence: self.sequence,
        };
        let bytes = wire::seal(&keys(), &head, message).expect("it fits");
        bench.hear(self.run.address(), &bytes);
    }

    fn hello(&mut self, bench: &mut Bench, echo: u64, known: Option<KnownRun>) {
        let hello = Hello {
            about: self.about(),
            echo,
            want_echo: false,
            known,
        };
        self.say(bench, &Message::Hello(hello));
    }

    fn sealed_hello(&mut self, echo: u64) -> Bytes {
        self.sequence += 1;
        let head = Head {
            version: Version::OURS,
            source: self.run.id(),
            receiver: Some(NodeId::of(ME)),
            boot: self.run.boot,
            sequence: self.sequence,
        };
        let hello = Hello {
            about: self.about(),
            echo,
            want_echo: false,
            known: None,
        };
        wire::seal(&keys(), &head, &Message::Hello(hello)).expect("it fits")
    }

    /// Proves that it is live, and is admitted.
    fn join(&mut self, bench: &mut Bench) {
        let nonce = bench.node.admission.nonce();
        self.hello(bench, nonce, None);
        assert!(bench.lists(self));
        let beacon = Message::Beacon(self.about());
        self.broadcast(bench, &beacon);
        bench.effects();
    }

    fn id(&self) -> NodeId {
        self.run.id()
    }

    fn ip(&self) -> Ipv4Addr {
        self.run.ip()
    }
}

fn downs(effects: &[Effect]) -> Vec<DownReason> {
    let reason = |effect: &Effect| match effect {
        Effect::Down { reason, .. } => Some(*reason),
        _ => None,
    };
    effects.iter().filter_map(reason).collect()
}

#[test]
fn a_node_can_be_handed_to_a_thread() {
    fn check<T: Send>() {}
    check::<Node>();
}

#[test]
fn the_boot_number_is_stored_before_anything_is_sent_under_it() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    bench.pass(Duration::from_millis(10));
    puppet.join(&mut bench);
    let nonce = bench.node.admission.nonce();
    let known = KnownRun {
        boot: Boot::from_number(9_000),
        down: false,
    };
    puppet.hello(&mut bench, nonce, Some(known));
    assert_eq!(bench.node.boot(), Boot::from_number(9_001));
    let mut stored = Boot::from_number(1000);
    for effect in bench.effects() {
        match effect {
            Effect::StoreBoot(boot) => stored = boot,
            Effect::Send { bytes, .. } | Effect::Broadcast { bytes } => {
                let (head, _) =
                    wire::open(&keys(), |_| true, puppet.id(), ME, &bytes).expect("ours");
                assert_eq!(head.boot, stored);
            }
            _ => {}
        }
    }
    assert_eq!(stored, Boot::from_number(9_001));
}

#[test]
fn nothing_of_a_node_on_probation_reaches_membership() {
    let mut bench = Bench::new();
    let (mut known, mut stranger) = (Puppet::new(3, 5), Puppet::new(4, 5));
    known.join(&mut bench);
    let third = Puppet::new(9, 1);
    let gossip = vec![Update::alive(third.run.clone())];
    let gossip = postcard::to_allocvec(&gossip).expect("it can be written");
    let accused = Down {
        node: known.id(),
        boot: known.run.boot,
        why: Cause::Failed,
    };
    bench.pass(HEARSAY + Duration::from_millis(1));
    let before = bench.node.counters().probation;
    let about = stranger.about();
    stranger.say(&mut bench, &Message::Beacon(about));
    stranger.say(&mut bench, &Message::Swim(&gossip));
    stranger.say(&mut bench, &Message::Down(accused));
    let member = stranger.run.name.clone();
    let state = State {
        boot: stranger.run.boot,
        parts: Vec::new(),
    };
    let bytes = state.write().expect("it can be written");
    bench.node.handle(
        bench.now,
        0,
        Input::SyncRequest {
            member,
            bytes: &bytes,
        },
    );
    assert!(!bench.lists(&stranger) && !bench.lists(&third) && bench.lists(&known));
    assert!(
        !bench
            .effects()
            .iter()
            .any(|e| matches!(e, Effect::SyncReply { .. }))
    );
    assert_eq!(bench.node.counters().probation - before, 3);
    // Once admitted, it is believed.
    stranger.join(&mut bench);
    stranger.say(&mut bench, &Message::Swim(&gossip));
    stranger.say(&mut bench, &Message::Down(accused));
    assert!(bench.lists(&third) && !bench.lists(&known));
}

#[test]
fn a_higher_boot_number_counts_only_under_a_nonce_of_ours() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    puppet.join(&mut bench);
    let mine = bench.node.boot();
    let known = KnownRun {
        boot: Boot::from_number(9_000),
        down: false,
    };
    let nonce = bench.node.admission.nonce();
    puppet.hello(&mut bench, nonce ^ 1, Some(known));
    assert_eq!(bench.node.boot(), mine);
    puppet.hello(
        &mut bench,
        nonce,
        Some(KnownRun {
            boot: mine,
            down: true,
        }),
    );
    assert_eq!(bench.node.boot(), mine.next(), "told that this run is down");
    puppet.hello(
        &mut bench,
        nonce,
        Some(KnownRun {
            boot: mine,
            down: true,
        }),
    );
    assert_eq!(bench.node.boot(), mine.next(), "told of the run before");
}

#[test]
fn a_node_that_is_overtaken_three_times_in_a_minute_ends() {
    for (apart, ends) in [(10, true), (40, false)] {
        let mut bench = Bench::new();
        let mut puppet = Puppet::new(3, 5);
        puppet.join(&mut bench);
        for _ in 0..3 {
            let nonce = bench.node.admission.nonce();
            let known = KnownRun {
                boot: bench.node.boot().next(),
                down: false,
            };
            puppet.hello(&mut bench, nonce, Some(known));
            bench.pass(Duration::from_secs(apart));
        }
        let taken = bench.effects().iter().any(|effect| {
            matches!(
                effect,
                Effect::NameTaken {
                    evidence: TakenEvidence::Overtaken
                }
            )
        });
        assert_eq!(taken, ends, "{apart} s apart");
        assert_eq!(bench.node.next_timer().is_none(), ends);
    }
}

#[test]
fn a_notice_that_the_name_is_taken_counts_only_for_this_run_and_under_a_nonce_of_ours() {
    let mut bench = Bench::new();
    let mut puppet = Puppet::new(3, 5);
    puppet.join(&mut bench);
    let (boot, echo) = (bench.node.boot(), bench.node.admission.nonce());
    puppet.say(
        &mut bench,
        &Message::Taken {
            node: NodeId::of(ME),
            boot: boot.next(),
            echo,
        },
    );
    puppet.say(
        &mut bench,
        &Message::Taken {
            node: NodeId::of(ME),
            boot,
            echo: echo ^ 1,
        },
    );
    puppet.say(
        &mut bench,
        &Message::Taken {
            node: NodeId::of(puppet_ip()),
            boot,
            echo,
        },
    );
    assert!(bench.node.next_timer().is_some());
    puppet.say(
        &mut bench,
        &Message::Taken {
            node: NodeId::of(ME),
            boot,
            echo,
        },
    );
    assert!(bench.effects().iter().any(|effect| {
        matches!(effect, Effect::NameTaken { evidence: TakenEvidence::Witness(ip) } if *ip == puppet_ip())
    }));
    assert!(bench.node.next_timer().is_none());
}

fn puppet_ip() -> Ipv4Addr {
    Ipv4Addr::new(10, 10, 10, 3)
}

#[test]
fn a_node_that_has_ended_still_says_that_it_departed() {
    let mut bench = Bench::new();
    bench.effects();
    bench.node.handle(bench.now, 0, Input::Leave);
    bench.pass(Duration::from_secs(1));
    let departed = |effects: Vec<Effect>| {
        effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Departed))
            .count()
    };
    assert_eq!(departed(bench.effects()), 1);
    bench.node.handle(bench.now, 0, Input::Leave);
    assert_eq!(departed(bench.effects()), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_a_member_sends_nothing_panics(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..30),
    ) {
        let mut bench = Bench::new();
        let swim = FocaSwim::new(bench.node.me.run.clone(), StdRng::seed_from_u64(1));
        bench.node.membership.set_engine(Box::new(swim));
        let mut puppet = Puppet::new(3, 5);
        puppet.join(&mut bench);
        for payload in payloads {
            puppet.say(&mut bench, &Message::Swim(&payload));
            let name = puppet.run.name.clone();
            bench.node.handle(bench.now, 0, Input::SyncRequest { member: name, bytes: &payload });
            // The same bytes in a new datagram.
            puppet.sequence += 1;
            let head = Head {
                version: wire::Version::OURS,
                source: puppet.id(),
                receiver: None,
                boot: puppet.run.boot,
                sequence: puppet.sequence,
            };
            let mut frame = wire::seal(&keys(), &head, &Message::Leave).expect("it fits").to_vec();
            frame.truncate(frame.len() - 17);
            frame.extend_from_slice(&payload);
            frame.extend_from_slice(&keys().tag(&frame));
            bench.hear(puppet.run.address(), &frame);
            bench.pass(Duration::from_millis(30));
            bench.effects();
        }
    }
}
