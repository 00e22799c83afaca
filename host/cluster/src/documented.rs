//! Checks the code against `docs/protocol.md`: the numbers of messages, the constants and the
//! bytes of the examples. After an intended change of the format, run it with
//! `PROTOCOL_WRITE=1`: it then writes the examples anew.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use argon2::{Algorithm, Argon2, Params};
use hkdf::Hkdf;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::Sha256;

use crate::membership::{FocaSwim, KnownNode, Swim, SwimEvent, Update};
use crate::message::{Beacon, Cause, Down, Hello, Message};
use crate::release::{Component, Hlc, Parts, Plan, Release, ReleaseId, ReleaseKind};
use crate::replicate::{self, DataKind, KindPart};
use crate::run::{Advertised, Run};
use crate::sync::State;
use crate::wire::{self, Head, Version};
use crate::{
    AppName, Boot, Cookie, HttpUrl, Keys, NodeName, Setting, SettingKind, SettingParts, Time,
};

const START_MS: u64 = 1_700_000_000_000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/protocol.md")).expect("docs/protocol.md")
}

/// The cells of each row of a table, for all tables.
fn rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| row.split('|').map(|cell| cell.trim()).collect())
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

fn run(last: u8) -> Run {
    let ip = Ipv4Addr::new(10, 10, 10, last);
    Run {
        name: NodeName::new("example", ip).expect("a name"),
        port: 8383,
        url: HttpUrl::plain((ip, 8080)),
        boot: Boot::from_number(START_MS + u64::from(last) - 2),
        process: u64::from(last) + 5,
    }
}

fn keys() -> Keys {
    let cookie = Cookie::parse(b"ace").expect("a cookie");
    Keys::derive(&cookie).expect("keys")
}

fn beacon() -> Beacon {
    Beacon {
        run: run(2),
        uptime_ms: 1000,
        advertised: Advertised {
            revision: 0,
            serving: None,
            keys: keys().ids(),
        },
        nonce: 2,
        wall_ms: START_MS + 1000,
        ahead_ms: 0,
        summaries: replicate::of_nothing(1),
    }
}

#[test]
fn the_document_numbers_the_messages_as_they_are_sent() {
    let (node, boot) = (run(2).id(), run(2).boot);
    let why = Cause::Left;
    let hello = Hello {
        echo: 0,
        want_echo: false,
        known: None,
        about: beacon(),
    };
    let id = ReleaseId::new(&AppName::the_only(), None, &Component::of(b"an app").digest);
    let messages = [
        Message::Beacon(beacon()),
        Message::Hello(hello),
        Message::Swim(b""),
        Message::Down(Down { node, boot, why }),
        Message::Leave,
        Message::Probe { boot },
        Message::Ack,
        Message::Taken {
            node,
            boot,
            echo: 0,
        },
        Message::Release(b""),
        Message::Want(id),
        Message::Votes(Vec::new()),
    ];
    assert_eq!(messages.len(), crate::message::KINDS as usize);
    let sent = messages.iter().map(|message| {
        let bytes = postcard::to_allocvec(message).expect("it can be written");
        let shown = format!("{message:?}");
        let name = shown.split(|c: char| !c.is_alphanumeric()).next();
        (bytes[0].to_string(), name.unwrap_or_default().to_owned())
    });
    let text = document();
    let (_, section) = text.split_once("\n## Messages\n").expect("its section");
    let (section, _) = section.split_once("\n## ").expect("another one");
    let numbered = rows(section).filter_map(|row| {
        let number = row[0].parse::<u8>().ok()?;
        Some((number.to_string(), code(row[1])?.to_owned()))
    });
    assert!(sent.eq(numbered));
}

#[test]
fn every_constant_of_the_document_is_as_in_the_code() {
    let text = document();
    let (_, section) = text.split_once("\n## Limits\n").expect("its section");
    let mut seen = 0;
    for row in rows(section) {
        let [name, file, value, ..] = row[..] else {
            continue;
        };
        let (Some(name), Some(file), Some(value)) = (code(name), code(file), code(value)) else {
            continue;
        };
        let path = match file.strip_prefix("host/") {
            Some(_) => root().join(file),
            None => root().join("host/cluster/src").join(file),
        };
        let source = std::fs::read_to_string(&path).expect(file);
        let start = format!("const {name}: ");
        let line = source.lines().find(|line| line.contains(&start));
        let line = line.unwrap_or_else(|| panic!("there is no {name} in {file}"));
        let in_code = line.split_once(" = ").map(|(_, value)| value);
        assert_eq!(
            in_code,
            Some(&*format!("{value};")),
            "{name} of {file}; change docs/protocol.md where it tells of it too"
        );
        seen += 1;
    }
    assert!(seen > 60, "{seen} constants");
    // Figures that the text gives outside of tables.
    for (file, line) in [
        (
            "keys.rs",
            "const SALT: &[u8] = b\"ace raxx cluster cookie v1\";",
        ),
        ("presence.rs", "Duration::from_millis(250),\n];"),
        (
            "agreement/rumours.rs",
            "const AGAIN: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(120)];",
        ),
    ] {
        let source = std::fs::read_to_string(root().join("host/cluster/src").join(file));
        assert!(source.expect(file).contains(line), "{file}: {line}");
    }
}

#[test]
fn the_document_says_how_each_hint_is_followed() {
    let check = std::fs::read_to_string(root().join("host/cluster/src/membership/check.rs"));
    let check = check.expect("its source");
    let text = document();
    let (_, section) = text
        .split_once("\n## Down decisions\n")
        .expect("its section");
    let (section, _) = section.split_once("\n## ").expect("another one");
    let mut seen = 0;
    for row in rows(section) {
        let [hint, probes, apart, waits, ..] = row[..] else {
            continue;
        };
        if let Some(hint) = code(hint) {
            let plan = format!("Hint::{hint} => ({probes}, ms({apart}), ms({waits})),");
            assert!(check.contains(&plan), "check.rs does not say {plan}");
            seen += 1;
        }
    }
    assert_eq!(seen, check.matches("=> (").count());
}

#[test]
fn the_examples_of_the_document_are_what_the_code_writes() {
    let made = examples();
    let mut text = document();
    if std::env::var_os("PROTOCOL_WRITE").is_some() {
        for (name, bytes) in &made {
            let fence = format!("```hex {name}\n");
            let start = text.find(&fence).expect(name) + fence.len();
            let end = start + text[start..].find("```").expect("an end");
            text.replace_range(start..end, &hex(bytes));
        }
        std::fs::write(root().join("docs/protocol.md"), &text).expect("it can be written");
    }
    let mut documented = BTreeMap::new();
    for block in text.split("```hex ").skip(1) {
        let (name, rest) = block.split_once('\n').expect("a line");
        let (digits, _) = rest.split_once("```").expect("an end");
        documented.insert(name.to_owned(), digits.to_owned());
    }
    let made: BTreeMap<_, _> = made
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), hex(bytes)))
        .collect();
    assert_eq!(documented, made);
}

/// 32 bytes on each line.
fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    };
    bytes.chunks(32).map(line).collect()
}

fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let keys = keys();
    let me = run(2);
    let head = Head {
        version: Version::OURS,
        source: me.id(),
        receiver: None,
        boot: me.boot,
        sequence: 1,
    };
    let sealed = wire::seal(&keys, &head, &Message::Beacon(beacon())).expect("it fits");
    let node = KnownNode {
        update: Update::alive(me.clone()),
        advertised: None,
    };
    let delta = replicate::write_all([node].iter(), replicate::DELTA_MAX);
    let state = State {
        boot: me.boot,
        parts: vec![KindPart {
            kind: DataKind::MEMBERS,
            ask: 1u64.to_le_bytes().to_vec().into(),
            delta: delta.into(),
        }],
    };
    let release = Release::new(&Parts {
        app: AppName::the_only(),
        cluster: None,
        kind: ReleaseKind::Push,
        at: Hlc::from_ms(START_MS),
        node: me.name,
        parent: None,
        component: Component::of(b"an app"),
        by: "somebody".to_owned(),
        note: "a note".to_owned(),
        plan: Plan::default(),
        base: None,
    })
    .expect("a release");
    let setting = SettingParts {
        app: AppName::the_only(),
        cluster: None,
        kind: SettingKind::Config,
        key: "GREETING".to_owned(),
        salt: [7; 16],
        value: None,
        at: Hlc::from_ms(START_MS),
        node: run(2).name,
        by: "somebody".to_owned(),
    };
    let setting = Setting::new(setting, Some("hello")).expect("a setting");
    let (master, mac_key) = by_hand(b"ace");
    // The values derived by hand are those that the code uses.
    let again = Keys::from_master(&master);
    let again = wire::seal(&again, &head, &Message::Beacon(beacon()));
    assert_eq!(again.as_ref(), Some(&sealed));
    let (signed, tag) = sealed.split_at(sealed.len() - 16);
    assert_eq!(tag, &hmac(&mac_key, signed)[..16]);
    vec![
        ("master", master.to_vec()),
        ("mac-key", mac_key.to_vec()),
        ("key-id", keys.key_id().as_bytes().to_vec()),
        ("tls-seed", keys.tls_seed().to_vec()),
        ("node-id", head.source.as_bytes().to_vec()),
        ("beacon", sealed.to_vec()),
        ("swim-announce", announce()),
        ("state", state.write().expect("it can be written").to_vec()),
        ("record", release.bytes().to_vec()),
        ("setting", setting.bytes().to_vec()),
        ("record-id", release.id().as_bytes().to_vec()),
    ]
}

/// The master secret and the MAC key, derived as the document says.
fn by_hand(cookie: &[u8]) -> ([u8; 32], [u8; 32]) {
    let (mut master, mut mac_key) = ([0; 32], [0; 32]);
    let params = Params::new(65536, 3, 1, Some(32)).expect("parameters");
    Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(cookie, b"ace raxx cluster cookie v1", &mut master)
        .expect("memory");
    Hkdf::<Sha256>::new(None, &master)
        .expand(b"datagram mac v1", &mut mac_key)
        .expect("a length");
    (master, mac_key)
}

fn hmac(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.chain_update(bytes).finalize().into_bytes().to_vec()
}

fn announce() -> Vec<u8> {
    let mut engine = FocaSwim::new(run(2), StdRng::seed_from_u64(1));
    engine.announce(Time::ZERO, run(3));
    std::iter::from_fn(|| engine.poll())
        .find_map(|event| match event {
            SwimEvent::Send { bytes, .. } => Some(bytes),
            _ => None,
        })
        .expect("an announce")
}
