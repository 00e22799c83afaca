//! Components that were uploaded and not released yet.

use std::time::Duration;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn uploaded(store: &Store, bytes: &Bytes) -> Digest {
    let component = ComponentBytes::of(bytes.clone());
    store.store_upload(&component).expect("room");
    component.digest()
}

#[test]
fn uploads_push_no_kept_component_out_and_go_when_they_come_to_nothing() {
    let mut place = Place::new();
    place.limits.components = 2;
    let store = place.open();
    let kept = [1, 2].map(|seed| stored(&store, &app(seed, 10)).expect("room"));
    store.collect(&kept[..1]).expect("in order");
    let uploads: Vec<Digest> = (10..20)
        .map(|seed| uploaded(&store, &app(seed, 10)))
        .collect();
    assert!(kept.iter().all(|digest| store.has(digest)));
    let left = uploads.iter().filter(|digest| store.has(digest)).count();
    assert_eq!(left, 4, "they are bounded, too");
    // One is refused, another one is released, and the others are never heard of again.
    let [.., refused, released] = &uploads[..] else {
        panic!("there are ten");
    };
    store.forget_upload(refused).expect("removed");
    assert!(!store.has(refused));
    assert_eq!(store.settle_uploads(&[*released], LONG).expect("done"), 0);
    assert_eq!(store.settle_uploads(&[], Duration::ZERO).expect("done"), 2);
    assert!(store.has(released));
    store.forget_upload(released).expect("nothing to do");
    assert!(store.has(released), "it is no mere upload any more");
    // It counts like any other from now on.
    assert_eq!(store.collect(&kept[..1]).expect("done"), 1);
    assert!(store.has(&kept[0]) && store.has(released));
    assert_eq!(place.files().len(), 2);
}

#[test]
fn an_upload_of_what_is_there_already_is_none() {
    let place = Place::new();
    let store = place.open();
    let bytes = app(1, 10);
    let kept = stored(&store, &bytes).expect("room");
    assert_eq!(uploaded(&store, &bytes), kept);
    store.forget_upload(&kept).expect("nothing to do");
    assert!(store.has(&kept));
    // And the other way around: an app file with the same content keeps it.
    let other = app(2, 10);
    let upload = uploaded(&store, &other);
    stored(&store, &other).expect("room");
    store.forget_upload(&upload).expect("nothing to do");
    assert!(store.has(&upload));
}

#[test]
fn what_an_earlier_process_has_left_goes_unless_it_is_named() {
    let place = Place::new();
    let (released, left) = {
        let store = place.open();
        let released = stored(&store, &app(1, 10)).expect("room");
        (released, uploaded(&store, &app(2, 10)))
    };
    let store = place.open();
    let new = stored(&store, &app(3, 10)).expect("room");
    assert_eq!(store.forget_earlier(&[released]).expect("done"), 1);
    assert!(!store.has(&left));
    assert!(store.has(&released) && store.has(&new));
}
