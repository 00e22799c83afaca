//! A node that has two members, a release and a vote, so that every message means something to
//! it. It is equal for every input, so that findings can be repeated.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::message::{Beacon, Content, Hello, Message};
use crate::release::{Release, Request, check_stored};
use crate::replicate;
use crate::run::{Advertised, Run};
use crate::sync::State;
use crate::wire::{self, Head, Version};
use crate::{
    Boot, Cidr, Config, ConfigLines, DATAGRAM_MAX, Effect, HttpUrl, Input, Keys, Node, NodeId,
    NodeName, SETTINGS_STORED_MAX, SettingChange, SettingKind, Time, check_settings,
};

/// The IPs of the subject, of its two members, and of a node that was never admitted.
const IPS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 10, 10, 2),
    Ipv4Addr::new(10, 10, 10, 3),
    Ipv4Addr::new(10, 10, 10, 4),
    Ipv4Addr::new(10, 10, 10, 5),
];
pub(super) const WALL_MS: u64 = 1_700_000_000_000;
const BOOT: u64 = 5;

/// No input has this many effects.
const EFFECTS_MAX: usize = 4096;

/// The node, and those that talk to it.
pub(super) struct Subject {
    pub(super) node: Node,
    keys: Keys,
    now: Time,
    sequence: u64,
    /// How many inputs other than datagrams were not refused, and how many inputs were accepted
    /// when the subject was ready.
    inputs: u64,
    before: u64,
    /// What the subject says of itself.
    about: Option<Beacon>,
    /// The subject's last answer to a state.
    pub(super) answered: Option<Bytes>,
    /// What the subject sent, if that is kept.
    pub(super) sent: Option<Vec<Bytes>>,
    /// What the subject last stored of releases.
    pub(super) stored: Option<Bytes>,
    /// What it last stored of settings.
    pub(super) stored_settings: Option<Bytes>,
}

/// The run with this number, as it describes itself.
pub(super) fn run(number: usize) -> Run {
    let ip = IPS[number];
    Run {
        // An IP of ours makes a name.
        #[allow(clippy::unwrap_used, reason = "both are constants")]
        name: NodeName::new("example", ip).unwrap(),
        port: 8383,
        url: HttpUrl::plain((ip, 8080)),
        boot: Boot::from_number(BOOT),
        process: BOOT,
    }
}

impl Subject {
    pub(super) fn new(releases_stored: Option<Bytes>) -> Self {
        Self::start(releases_stored, None)
    }

    /// A node that starts with what it has stored of releases and settings.
    pub(super) fn start(releases_stored: Option<Bytes>, settings_stored: Option<Bytes>) -> Self {
        let with_release = releases_stored.is_none();
        let (me, keys) = (run(0), Keys::from_master(&[7; 32]));
        let config = Config {
            url: me.url,
            cluster_port: me.port,
            broadcast: Some(SocketAddrV4::new(Ipv4Addr::new(10, 10, 10, 255), 8383)),
            subnet: Cidr::single(IPS[0]),
            allow: IPS.map(Cidr::single).to_vec(),
            join: Vec::new(),
            boot_stored: None,
            releases_stored,
            settings_stored,
            app_config: ConfigLines::default(),
            data: crate::data::DataStore::default(),
            deploy_key: None,
            built_ms: 0,
            wall_ms: WALL_MS,
            name: me.name,
        };
        let mut subject = Self {
            node: Node::new(config, &keys, Time::ZERO, 1),
            keys,
            now: Time::ZERO,
            sequence: 0,
            inputs: 0,
            before: 0,
            about: None,
            answered: None,
            sent: None,
            stored: None,
            stored_settings: None,
        };
        subject.pass(Duration::ZERO);
        for number in [1, 2] {
            let hello = Message::Hello(subject.hello(number));
            let written = postcard::to_allocvec(&hello).unwrap_or_default();
            subject.sealed(number as u8, &written);
        }
        subject.pass(Duration::from_millis(10));
        assert_eq!(subject.node.view().members.len(), 3, "they were let in");
        if with_release {
            assert!(super::first_release(&mut subject).is_some());
            subject.set("A_NAME", "a value");
        }
        subject.before = subject.taken_in();
        subject
    }

    /// A hello of this node with a nonce of the subject.
    pub(super) fn hello(&self, number: usize) -> Hello {
        Hello {
            echo: self.about.as_ref().map_or(0, |about| about.nonce),
            want_echo: true,
            known: None,
            about: Beacon {
                run: run(number),
                uptime_ms: 1000,
                advertised: Advertised {
                    revision: 0,
                    serving: None,
                    keys: self.keys.ids(),
                },
                nonce: 77,
                wall_ms: WALL_MS,
                ahead_ms: 0,
                summaries: replicate::of_nothing(1),
            },
        }
    }

    /// The subject's run, as it describes itself.
    pub(super) fn run(&self) -> Run {
        let about = self.about.as_ref();
        about.map_or(run(0), |about| about.run.clone())
    }

    /// A datagram from the first member's address.
    pub(super) fn datagram(&mut self, bytes: &[u8]) {
        let from = run(1).address();
        self.input(Input::Datagram { from, bytes });
    }

    /// A message with a right tag. The lowest two bits of `how` say who sends it (0: a second
    /// machine with the subject's own name). The next bit says whether in a newer minor
    /// version, and the next whether to all. The other bits say after how long.
    pub(super) fn sealed(&mut self, how: u8, message: &[u8]) {
        self.pass(Duration::from_millis(100) * u32::from(how >> 4));
        if let Some(bytes) = self.seal(how, message) {
            let from = run(usize::from(how & 3)).address();
            let bytes = &bytes;
            self.input(Input::Datagram { from, bytes });
        }
    }

    /// The datagram for that message.
    pub(super) fn seal(&mut self, how: u8, message: &[u8]) -> Option<Bytes> {
        let sender = run(usize::from(how & 3));
        self.sequence += 1;
        let head = Head {
            version: Version::from_byte(Version::OURS.byte() + (how >> 2 & 1)),
            source: sender.id(),
            receiver: (how & 8 == 0).then_some(NodeId::of(IPS[0])),
            boot: sender.boot,
            sequence: self.sequence,
        };
        wire::seal_bytes(&self.keys, &head, message)
    }

    /// A state of the first member; it is an answer if `how` is odd.
    pub(super) fn sync(&mut self, how: u8, bytes: &[u8]) {
        let member = run(1).name;
        self.input(if how & 1 == 0 {
            Input::SyncRequest { member, bytes }
        } else {
            Input::SyncReply { member, bytes }
        });
    }

    /// Makes a requested release, if that is possible.
    pub(super) fn release(&mut self, request: Request) -> Option<Arc<Release>> {
        let release = self.node.draft(self.now, self.wall_ms(), request).ok()?;
        self.input(Input::Publish(release.clone()));
        Some(release)
    }

    /// Sets a name, if that is possible.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let change = SettingChange {
            kind: SettingKind::Config,
            key: key.to_owned(),
            value: Some(value.to_owned()),
        };
        let (now, wall_ms) = (self.now, self.wall_ms());
        let draft = self
            .node
            .draft_settings(now, wall_ms, vec![change], "somebody", [7; 16]);
        if let Ok(records) = draft {
            self.input(Input::Settings(records));
        }
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        let datagram = matches!(input, Input::Datagram { .. });
        let refused = self.node.counters().refused.total();
        self.node.handle(self.now, self.wall_ms(), input);
        let taken = self.node.counters().refused.total() == refused;
        self.inputs += u64::from(taken && !datagram);
        self.carry_out();
    }

    /// If anything was accepted, runs for a while, so that it has its consequences.
    pub(super) fn settle(&mut self) {
        if self.taken_in() != self.before {
            self.pass(Duration::from_millis(2500));
        }
    }

    fn taken_in(&self) -> u64 {
        let counters = self.node.counters();
        counters.accepted + counters.probation + self.inputs
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.node.next_timer().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.node.handle(self.now, self.wall_ms(), Input::Timer);
            self.carry_out();
        }
        self.now = end;
    }

    fn wall_ms(&self) -> u64 {
        WALL_MS + self.now.as_ms()
    }

    /// Checks all effects of the subject.
    fn carry_out(&mut self) {
        for count in 0.. {
            assert!(count < EFFECTS_MAX, "there is no end of effects");
            let Some(effect) = self.node.poll_effect() else {
                break;
            };
            match effect {
                Effect::Send { to, bytes } => self.look_at(*to.ip(), bytes),
                Effect::Broadcast { bytes } => self.look_at(IPS[1], bytes),
                Effect::Sync { bytes, .. } => assert!(State::read(&bytes).is_ok()),
                Effect::SyncReply { bytes, .. } => {
                    assert!(State::read(&bytes).is_ok(), "a state that it writes reads");
                    self.answered = Some(bytes);
                }
                Effect::StoreReleases { bytes, .. } => {
                    assert_eq!(check_stored(&bytes), Ok(()), "what it stores can be used");
                    self.stored = Some(bytes);
                }
                Effect::StoreSettings { bytes, .. } => {
                    assert!(bytes.len() <= SETTINGS_STORED_MAX);
                    assert_eq!(check_settings(&bytes), Ok(()), "what it stores can be used");
                    self.stored_settings = Some(bytes);
                }
                Effect::View(view) => {
                    assert!(view.members.len() <= IPS.len(), "{view:?}");
                    assert!(view.members.is_sorted_by(|a, b| a.name < b.name));
                    assert!(view.members.iter().any(|it| it.name == run(0).name));
                }
                _ => {}
            }
        }
    }

    /// The receiver can read all that the subject sends.
    fn look_at(&mut self, to: Ipv4Addr, bytes: Bytes) {
        assert!(bytes.len() <= DATAGRAM_MAX);
        let opened = wire::open(&self.keys, |_| true, NodeId::of(to), IPS[0], &bytes);
        let Ok((head, payload)) = opened else {
            panic!("it sent what does not open: {:?}", opened.err());
        };
        let message = match Message::read(head.version, payload) {
            Content::Message(message) => message,
            other => panic!("it sent what does not read: {other:?}"),
        };
        if let Some(about) = message.about() {
            self.about = Some(about.clone());
        }
        if let Some(sent) = &mut self.sent {
            sent.push(bytes);
        }
    }
}
