//! The entry points of the fuzzers: one function for each decoder that gets bytes from outside.
//! Arbitrary bytes flow in; the only result is a panic if a rule is broken that must always
//! hold. `fuzz/` in the root of the repository runs them, and a test replays their corpus.

mod corpus;
mod subject;

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use self::subject::Subject;
use crate::release::{
    AppFile, Component, DeployKey, IdPrefix, PathId, Plan, Release, Request, RollbackTo, What,
    check_stored,
};
use crate::{
    AppName, Cidr, ConfigLines, Cookie, Digest, HttpUrl, Input, NodeId, NodeName, Setting,
    check_settings,
};

pub use self::corpus::corpus;

/// A decoder under test.
pub type FuzzTarget = fn(&[u8]);

/// All decoders, by the names of their fuzzers.
pub const TARGETS: [(&str, FuzzTarget); 9] = [
    ("datagram", datagram),
    ("payload", payload),
    ("sync", sync),
    ("record", record),
    ("stored", stored),
    ("setting", setting),
    ("stored-settings", stored_settings),
    ("data", data),
    ("text", text),
];

/// A datagram as it comes from the network. Hardly any input guesses a tag, so this tests what
/// comes before it; [`payload`] tests the rest.
pub fn datagram(bytes: &[u8]) {
    let mut subject = Subject::new(None);
    subject.datagram(bytes);
    subject.settle();
}

/// Messages with a right tag, from members and from a stranger. Each begins with a byte that
/// says who sends it, in which version and after how long. Then come two bytes with its length.
pub fn payload(bytes: &[u8]) {
    let mut subject = Subject::new(None);
    let mut rest = bytes;
    // Each message may make the subject send a few.
    for _ in 0..MESSAGES_MAX {
        let [how, high, low, after @ ..] = rest else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (message, next) = after.split_at(length);
        subject.sealed(*how, message);
        rest = next;
    }
    subject.settle();
}

/// The most messages of one input.
const MESSAGES_MAX: usize = 16;

/// The state of a member, as a request or as an answer; the first byte decides which.
pub fn sync(bytes: &[u8]) {
    let Some((&how, state)) = bytes.split_first() else {
        return;
    };
    let mut subject = Subject::new(None);
    subject.sync(how, state);
    subject.settle();
}

/// The record of a release. A record that can be read is passed on unchanged, and can be signed
/// unless that makes it too long.
pub fn record(bytes: &[u8]) {
    let Ok(release) = Release::read(bytes) else {
        return;
    };
    assert_eq!(release.bytes(), bytes, "a record is passed on as it came");
    let key = format!("berlin:{}", "01".repeat(32)).parse::<DeployKey>();
    assert!(key.is_ok_and(|key| key.check(&release).is_err()));
    if let Ok(signed) = release.with_signature(&[9; 64]) {
        assert_eq!(signed.signed_bytes(), release.signed_bytes());
        assert_eq!(
            (signed.id(), signed.stamp()),
            (release.id(), release.stamp())
        );
    }
    let _ = format!("{release:?} {}", release.id());
}

/// What a node has stored of releases. If it passes the check, a node can start with it,
/// release something after it, and store it again.
pub fn stored(bytes: &[u8]) {
    let usable = check_stored(bytes).is_ok();
    let mut subject = Subject::new(Some(Bytes::copy_from_slice(bytes)));
    if !usable {
        assert!(subject.node.releases().next().is_none());
        return;
    }
    let component = Component::of(b"another app");
    let file = AppFile {
        path: PathId::of(b"/srv/app.wasm"),
        component,
    };
    subject.input(Input::AppFile(file));
    let push = What::Push {
        component: Component::of(b"a third app"),
        plan: Plan::default(),
    };
    for what in [push, What::Rollback(RollbackTo::Previous)] {
        subject.release(Request {
            what,
            by: String::new(),
            note: String::new(),
            expect: None,
            again: false,
        });
    }
    subject.settle();
}

/// The record of a setting. A record that can be read is passed on unchanged, and can be signed.
pub fn setting(bytes: &[u8]) {
    let Ok(setting) = Setting::read(bytes) else {
        return;
    };
    assert_eq!(setting.bytes(), bytes, "a record is passed on as it came");
    let key = format!("berlin:{}", "01".repeat(32)).parse::<DeployKey>();
    assert!(key.is_ok_and(|key| key.check_setting(&setting).is_err()));
    let signed = setting.with_signature(&[9; 64]);
    assert!(signed.is_ok_and(|signed| signed.signed_bytes() == setting.signed_bytes()));
    let shown = format!("{setting:?} {}", setting.kind());
    let value = setting.value().filter(|value| value.len() > 64);
    assert!(
        value.is_none_or(|value| !shown.contains(value)),
        "values are not shown"
    );
}

/// What a node has stored of settings. If it passes the check, a node can start with it, and set
/// something after it.
pub fn stored_settings(bytes: &[u8]) {
    let usable = check_settings(bytes).is_ok();
    let mut subject = Subject::start(Some(Bytes::new()), Some(Bytes::copy_from_slice(bytes)));
    let live = subject.node.settings().live().len();
    assert!(usable || live == 0);
    subject.set("ANOTHER_NAME", "");
    subject.settle();
}

/// Bytes as key-value data: an entry of the disk, and batches that a member tells.
pub fn data(bytes: &[u8]) {
    crate::data::check_bytes(bytes);
}

/// Texts that people type: names, ids, URLs, ranges, digests, keys and cookies. If a text can
/// be read, it is shown in a form that reads as the same.
pub fn text(bytes: &[u8]) {
    if let Ok(cookie) = Cookie::parse(bytes) {
        assert!(cookie.strength_bits() > 0.0);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    shows_what_it_read::<NodeName>(text);
    shows_what_it_read::<NodeId>(text);
    shows_what_it_read::<AppName>(text);
    shows_what_it_read::<HttpUrl>(text);
    shows_what_it_read::<Cidr>(text);
    shows_what_it_read::<Digest>(text);
    shows_what_it_read::<DeployKey>(text);
    shows_what_it_read::<IdPrefix>(text);
    if let Ok(lines) = ConfigLines::read(text) {
        assert!(lines.iter().all(|(key, _)| !key.is_empty()));
    }
}

fn shows_what_it_read<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse().ok();
        assert_eq!(again.as_ref(), Some(&value), "from {text:?}");
    }
}

/// A record of a component, made by a node that knows nothing else.
fn first_release(subject: &mut Subject) -> Option<Arc<Release>> {
    subject.release(Request {
        what: What::Push {
            component: Component::of(b"an app"),
            plan: Plan::default(),
        },
        by: "somebody".to_owned(),
        note: "a note".to_owned(),
        expect: None,
        again: false,
    })
}
