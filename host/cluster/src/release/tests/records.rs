//! The bytes of a record.

use proptest::prelude::*;

use super::*;
use crate::wire::Version;
use crate::{AppName, DATAGRAM_MAX};

fn full() -> Arc<Release> {
    let mut set = ReleaseSet::new(
        NodeName::new(&"n".repeat(crate::NAME_MAX), ip(2)).expect("a name"),
        None,
    );
    pushed(&mut set, "base", WALL);
    let failed = pushed(&mut set, "failed", WALL + 1);
    set.learn(vec![], vec![vote(&failed, 3, Verdict::Failed)]);
    let canaries: Vec<u8> = (2..2 + CANARIES_MAX as u8).collect();
    let mut wanted = push(component("new"), staged(&canaries));
    (wanted.by, wanted.note) = ("b".repeat(BY_MAX), "n".repeat(NOTE_MAX));
    let release = release(&mut set, wanted, WALL + 2);
    assert_ne!(release.base(), release.parent());
    release
        .with_signature(&[7; SIGNATURE_LEN])
        .expect("it fits")
}

#[test]
fn the_largest_record_fits_a_datagram() {
    let release = full();
    assert_eq!(Release::read(release.bytes()).as_ref(), Ok(&release));
    assert!(
        release.bytes().len() + 64 <= DATAGRAM_MAX,
        "{}",
        release.bytes().len()
    );
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let set = set(2);
    let refused = |change: fn(&mut Request)| {
        let mut wanted = push(component("new"), Plan::default());
        change(&mut wanted);
        let error = set.draft(wanted, WALL, None).expect_err("refused");
        error.to_string()
    };
    let note = refused(|it| it.note = "n".repeat(NOTE_MAX + 1));
    assert!(note.starts_with("the note has 201 bytes"), "{note}");
    let by = refused(|it| it.by = "b".repeat(BY_MAX + 1));
    assert!(by.contains("65 bytes"), "{by}");
    let control = refused(|it| it.note = "red: \u{1b}[31m".to_owned());
    assert!(control.contains("control characters"), "{control}");
    let plan = |plan| {
        move |it: &mut Request| {
            it.what = What::Push {
                component: component("new"),
                plan,
            }
        }
    };
    let first = set.draft(
        {
            let mut wanted = push(component("new"), Plan::default());
            plan(staged(&[3]))(&mut wanted);
            wanted
        },
        WALL,
        None,
    );
    let first = first.expect_err("refused").to_string();
    assert!(first.contains("the first release has nothing"), "{first}");
    let empty = refused(|it| {
        it.what = What::Push {
            component: Component::of(b""),
            plan: Plan::default(),
        };
    });
    assert!(empty.contains("0 bytes"), "{empty}");
}

#[test]
fn the_target_before_is_another_release_and_earlier() {
    let mut set = set(2);
    let first = pushed(&mut set, "first", WALL);
    let second = pushed(&mut set, "second", WALL + 1);
    let with = |parent: Option<&Arc<Release>>, base: &Arc<Release>, at: u64| {
        Release::new(&Parts {
            app: AppName::the_only(),
            cluster: None,
            kind: ReleaseKind::Push,
            at: Hlc::from_ms(at),
            node: node(2),
            parent: parent.map(|it| it.as_parent()),
            component: component("third"),
            by: String::new(),
            note: String::new(),
            plan: Plan::default(),
            base: Some(base.as_parent()),
        })
    };
    let third = with(Some(&second), &first, WALL + 2).expect("a release");
    for refused in [
        with(Some(&second), &third, WALL + 3),
        with(None, &first, WALL + 2),
        with(Some(&second), &second, WALL + 2),
        with(Some(&first), &second, WALL + 1),
    ] {
        let contradicts = matches!(refused, Err(ReleaseError::Contradiction(_)));
        assert!(contradicts, "{refused:?}");
    }
}

#[test]
fn canaries_are_in_order_bounded_and_there_once() {
    let mut set = set(2);
    pushed(&mut set, "base", WALL);
    let many: Vec<u8> = (2..3 + CANARIES_MAX as u8).collect();
    let mut unordered = staged(&[3, 4]);
    unordered.canaries.reverse();
    let mut twice = staged(&[3]);
    twice.canaries.push(node(3).id());
    for plan in [unordered, twice, staged(&many)] {
        let refused = set.draft(push(component("new"), plan), WALL, None);
        assert!(matches!(
            refused,
            Err(DraftError::Release(ReleaseError::Plan(_)))
        ));
    }
}

#[test]
fn what_a_newer_minor_version_adds_to_a_record_is_passed_on_and_a_newer_major_one_is_refused() {
    #[derive(serde::Serialize)]
    struct Sealed<'a> {
        body: &'a [u8],
        signature: Option<&'a [u8]>,
    }
    let release = full();
    let with = |version: u8, addition: &[u8]| {
        let mut body = release.signed_bytes().to_vec();
        body[0] = version;
        body.extend_from_slice(addition);
        let (body, signature) = (body.as_slice(), release.signature());
        postcard::to_allocvec(&Sealed { body, signature }).expect("it can be written")
    };
    let ours = Version::OURS.byte();
    let newer = with(ours + 1, b"more");
    let read = Release::read(&newer).expect("it is understood");
    assert_eq!((read.id(), read.note()), (release.id(), release.note()));
    assert_eq!(read.bytes(), &newer, "whole");
    assert_eq!(
        Release::read(&with(ours, b"more")),
        Err(ReleaseError::Unreadable)
    );
    for major in [1, 3] {
        assert_eq!(
            Release::read(&with(major << 4, b"")),
            Err(ReleaseError::Version(major, 2))
        );
    }
}

#[test]
fn a_manifest_has_the_digest_of_each_chunk() {
    let bytes = vec![7; CHUNK + 1];
    let manifest = Component::manifest(&bytes);
    assert_eq!(manifest.len(), 64);
    assert_eq!(
        manifest[..32],
        *crate::Digest::of(&bytes[..CHUNK]).as_bytes()
    );
    assert_eq!(Component::of(&bytes).manifest, crate::Digest::of(&manifest));
}

proptest! {
    #[test]
    fn garbage_and_changed_records_never_panic_and_read_as_what_they_are(
        garbage: Vec<u8>, at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        prop_assert!(Release::read(&garbage).is_err());
        let release = full();
        let mut changed = release.bytes().to_vec();
        let at = at.index(changed.len());
        changed[at] ^= 1 << bit;
        if let Ok(read) = Release::read(&changed) {
            prop_assert_eq!(read.bytes(), &changed);
        }
    }
}
