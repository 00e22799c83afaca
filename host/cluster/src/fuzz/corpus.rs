//! The first inputs of the fuzzers: real messages, as nodes write them.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::subject::{Subject, WALL_MS, run};
use crate::data::{DataKey, DataStore, DataWrite};
use crate::membership::{FocaSwim, Swim, SwimEvent, Update};
use crate::message::{Cause, Down, Hello, KnownRun, Message};
use crate::release::{AppFile, Component, PathId, Release, ReleaseId, Verdict as Found, Vote};
use crate::replicate::{DataKind, KindPart, KindSummary};
use crate::sync::State;
use crate::{AppName, Boot, DownReason, Input, Serving, Time};

/// Texts that a person may type where a node reads one.
const TEXTS: [(&str, &str); 7] = [
    ("config", "# a comment\nA_NAME=a value\nB=\"two\\nlines\"\n"),
    ("name", "example@10.10.10.2"),
    ("url", "https://node-2.example:443"),
    ("url-ip", "http://[fd00::2]:8080"),
    ("range", "10.20.0.0/16"),
    ("key", "0011aaff"),
    ("cookie", "correct horse battery\n"),
];

/// All kinds of data.
const ALL_KINDS: [DataKind; 5] = [
    DataKind::MEMBERS,
    DataKind::RELEASES,
    DataKind::VOTES,
    DataKind::SETTINGS,
    DataKind::KEY_VALUE,
];

/// The inputs of each target: the target's name, the input's name, and the bytes. They are
/// always the same, so that a change of the format shows.
pub fn corpus() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut subject = Subject::new(None);
    subject.sent = Some(Vec::new());
    subject.pass(Duration::from_millis(2500));
    let release = subject.node.releases().next().cloned();
    let record = release.map(|it| it.bytes().clone()).unwrap_or_default();
    let id = subject.node.target().map(|target| target.id);
    let id = id.unwrap_or(ReleaseId::new(
        &AppName::the_only(),
        None,
        &Component::of(b"").digest,
    ));
    let sent = subject.sent.take().unwrap_or_default();

    let mut inputs = Vec::new();
    let mut add = |target, name: &str, bytes: &[u8]| {
        inputs.push((target, name.to_owned(), bytes.to_vec()));
    };
    add("datagram", "misdirected", sent.first().map_or(&[], |it| it));
    let messages = messages(&subject, id, &record);
    let mut all = Vec::new();
    for (name, message) in &messages {
        if let Some(datagram) = subject.seal(1, message).filter(|_| name.len() > 5) {
            add("datagram", name, &datagram);
        }
        let written = framed(1, message);
        add("payload", name, &written);
        if all.len() < 1000 {
            all.extend(written);
        }
    }
    add("payload", "several", &all);
    add("payload", "newer-version", &framed(1 | 4, &[11, 1, 2, 3]));
    let beacon = messages.iter().find(|(name, _)| name == "hello");
    let stranger = beacon.map_or(Vec::new(), |(_, message)| framed(3, message));
    add("payload", "not-who-it-says", &stranger);

    let all = ALL_KINDS;
    let unknown = [DataKind::unheard_of(200)];
    for (name, kinds) in [
        ("all", &all[..]),
        ("members", &all[..1]),
        ("unknown", &unknown),
    ] {
        let state = answer(&mut subject, kinds);
        for (how, kind) in [(0, "request"), (1, "reply")] {
            let mut input = vec![how];
            input.extend_from_slice(&state.write().unwrap_or_default());
            add("sync", &format!("{name}-{kind}"), &input);
        }
    }

    add("record", "unsigned", &record);
    if let Some(signed) = signed(&record) {
        add("record", "signed", &signed);
    }
    for (name, stored) in stored(&subject, id) {
        add("stored", name, &stored);
    }
    for (target, name, bytes) in shared(&subject) {
        add(target, name, &bytes);
    }
    for (name, text) in TEXTS {
        add("text", name, text.as_bytes());
    }
    let digest = Component::of(b"an app").digest.to_string();
    add("text", "digest", digest.as_bytes());
    inputs
}

/// Records of settings, what nodes keep of them between two runs, and key-value data.
fn shared(subject: &Subject) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut inputs = Vec::new();
    for setting in subject.node.settings().live() {
        inputs.push(("setting", "unsigned", setting.bytes().to_vec()));
        if let Ok(signed) = setting.with_signature(&[9; 64]) {
            inputs.push(("setting", "signed", signed.bytes().to_vec()));
        }
    }
    let stored = subject.stored_settings.clone().unwrap_or_default();
    inputs.push(("stored-settings", "one-setting", stored.to_vec()));
    inputs.extend(data().map(|(name, bytes)| ("data", name, bytes)));
    inputs
}

/// What nodes store and tell of key-value data.
fn data() -> [(&'static str, Vec<u8>); 2] {
    let store = DataStore::default();
    store.begin(run(1).id(), 7, WALL_MS);
    let key = |name: &str| DataKey::new("default", name).expect("a key");
    let batch = [
        DataWrite::Put(key("a"), Bytes::from_static(b"a value")),
        DataWrite::PutWhileOpen(key("b"), Bytes::new(), 3),
        DataWrite::Increment(key("n"), -5),
    ];
    let written = store.write(WALL_MS, &batch).expect("room");
    let deleted = store.write(WALL_MS, &[DataWrite::Delete(key("a"))]);
    let told = [written.told, deleted.expect("room").told].concat();
    let entry = store.take_unsaved(1).entries.into_iter().next();
    let entry = entry.and_then(|(_, bytes)| bytes).unwrap_or_default();
    [("told", told), ("entry", entry)]
}

/// What nodes keep of releases between two runs.
fn stored(subject: &Subject, id: ReleaseId) -> [(&'static str, Vec<u8>); 3] {
    let one = subject.stored.clone().unwrap_or_default();
    let more = stored_with_mark_and_vote(one.clone(), id);
    // The last byte counts the uses of marks: here it has its highest value.
    let mut used_up = more.clone();
    used_up.pop();
    used_up.extend_from_slice(&[0xff; 9]);
    used_up.push(1);
    [
        ("one-release", one.to_vec()),
        ("mark-and-vote", more),
        ("marks-used-up", used_up),
    ]
}

/// The stored state of a node that has seen a file of its own, and voted.
fn stored_with_mark_and_vote(stored: Bytes, id: ReleaseId) -> Vec<u8> {
    let mut other = Subject::new(Some(stored));
    let file = AppFile {
        path: PathId::of(b"/srv/app.wasm"),
        component: Component::of(b"another app"),
    };
    other.input(Input::AppFile(file));
    // A node alone looks at its file after two seconds.
    other.pass(Duration::from_secs(3));
    other.input(Input::Vote(id, Found::Ok));
    other.settle();
    other.stored.unwrap_or_default().to_vec()
}

/// One message of each kind, and the datagrams of SWIM in three seconds.
fn messages(subject: &Subject, id: ReleaseId, record: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hello = subject.hello(1);
    let mut beacon = hello.about.clone();
    let mut of_releases = vec![1; 8];
    of_releases.extend_from_slice(id.as_bytes());
    for summary in &mut beacon.summaries {
        if summary.kind == DataKind::RELEASES {
            summary.bytes = of_releases.clone().into();
        }
    }
    beacon.summaries.push(KindSummary {
        kind: DataKind::unheard_of(200),
        bytes: Bytes::from_static(b"what it is"),
    });
    beacon.advertised.revision = 1;
    beacon.advertised.serving = Some(Serving::bootstrap(Component::of(b"an app").digest));
    let (other, boot) = (run(2), Boot::from_number(5));
    let echo = hello.echo;
    let known = Some(KnownRun {
        boot: Boot::from_number(9),
        down: true,
    });
    let vote = |verdict| Vote {
        release: id,
        node: other.name.id(),
        verdict,
    };
    let down = Down {
        node: other.id(),
        boot,
        why: Cause::Refused,
    };
    let named: [(&str, Message<'_>); 10] = [
        ("beacon", Message::Beacon(beacon)),
        ("hello", Message::Hello(Hello { known, ..hello })),
        ("down-decision", Message::Down(down)),
        ("leave", Message::Leave),
        ("probe", Message::Probe { boot }),
        ("ack", Message::Ack),
        (
            "taken",
            Message::Taken {
                node: other.id(),
                boot,
                echo,
            },
        ),
        ("release", Message::Release(record)),
        ("want", Message::Want(id)),
        (
            "votes",
            Message::Votes(vec![vote(Found::Ok), vote(Found::Failed)]),
        ),
    ];
    let mut written: Vec<(String, Vec<u8>)> = named
        .iter()
        .filter_map(|(name, message)| {
            let bytes = postcard::to_allocvec(message).ok()?;
            Some(((*name).to_owned(), bytes))
        })
        .collect();
    for (number, bytes) in swim(subject).iter().enumerate() {
        let message = postcard::to_allocvec(&Message::Swim(bytes));
        written.push((format!("swim-{number}"), message.unwrap_or_default()));
    }
    written
}

/// The first datagram of SWIM of each length that the first member sends to the subject. One of
/// them says that the other member is down.
fn swim(subject: &Subject) -> Vec<Vec<u8>> {
    let me = subject.run();
    let mut engine = FocaSwim::new(run(1), StdRng::seed_from_u64(1));
    let known = vec![Update::alive(me.clone()), Update::alive(run(2))];
    engine.learn(Time::ZERO, known);
    engine.announce(Time::ZERO, me.clone());
    let mut said: Vec<Vec<u8>> = Vec::new();
    let mut now = Time::ZERO;
    while now < Time::from_start(Duration::from_secs(3)) && said.len() < 8 {
        while let Some(event) = engine.poll() {
            if let SwimEvent::Send { to, bytes } = event
                && to == me
                && said.iter().all(|other| other.len() != bytes.len())
            {
                said.push(bytes);
            }
        }
        now = now + Duration::from_millis(50);
        engine.timer(now, &|_| false);
        if now == Time::from_start(Duration::from_secs(1)) {
            let gone = Update::down(run(2), DownReason::Refused);
            engine.learn(now, vec![gone]);
        }
    }
    said
}

fn framed(how: u8, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut framed = vec![how];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// The subject's answer to a member that lacks all of these kinds, changed to what that member
/// would send: with its boot number, and with the same asks.
fn answer(subject: &mut Subject, kinds: &[DataKind]) -> State {
    let boot = run(1).boot;
    let part = |kind: &DataKind| KindPart {
        kind: *kind,
        ask: Bytes::from_static(&[0]),
        delta: Bytes::new(),
    };
    let lacks = State {
        boot,
        parts: kinds.iter().map(part).collect(),
    };
    subject.sync(0, &lacks.write().unwrap_or_default());
    let answered = subject.answered.take().unwrap_or_default();
    let mut parts = lacks.parts;
    for had in State::read(&answered).map_or(Vec::new(), |state| state.parts) {
        let same = parts.iter_mut().find(|part| part.kind == had.kind);
        if let Some(part) = same {
            part.delta = had.delta;
        }
    }
    State { boot, parts }
}

fn signed(record: &[u8]) -> Option<Bytes> {
    let release = Release::read(record).ok()?;
    let signed = release.with_signature(&[9; 64]).ok()?;
    Some(signed.bytes().clone())
}
