//! What a store does with writes and reads on its own.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::NodeId;

const NOW: u64 = 1_700_000_000_000;

fn store() -> DataStore {
    let store = DataStore::default();
    store.begin(NodeId::from_bytes([1; 8]), 11, NOW);
    store
}

fn key(name: &str) -> DataKey {
    DataKey::new("default", name).expect("a key")
}

fn put(name: &str, value: impl Into<Bytes>) -> DataWrite {
    DataWrite::Put(key(name), value.into())
}

fn get(store: &DataStore, name: &str) -> Option<String> {
    let value = store.get(&key(name))?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

#[test]
fn a_batch_holds_whole_or_not_at_all() {
    let store = store();
    store
        .write(NOW, &[put("a", "1"), put("text", "none")])
        .expect("written");
    let refused = store.write(NOW, &[put("a", "2"), DataWrite::Increment(key("text"), 1)]);
    assert_eq!(refused.err(), Some(WriteError::NoNumber(key("text"))));
    assert_eq!(get(&store, "a").as_deref(), Some("1"));
}

#[test]
fn later_writes_of_a_batch_see_the_earlier_ones() {
    let store = store();
    let count = |amount| DataWrite::Increment(key("n"), amount);
    let batch = [put("n", "5"), count(2), count(-1)];
    assert_eq!(store.write(NOW, &batch).expect("written").numbers, [7, 6]);
    assert_eq!(get(&store, "n").as_deref(), Some("6"));
    let batch = [count(4), DataWrite::Delete(key("n")), count(1)];
    assert_eq!(store.write(NOW, &batch).expect("written").numbers, [10, 1]);
    assert_eq!(get(&store, "n").as_deref(), Some("1"));
}

#[test]
fn a_number_that_does_not_fit_is_refused() {
    let store = store();
    store
        .write(NOW, &[put("n", i64::MAX.to_string())])
        .expect("written");
    let refused = store.write(NOW, &[DataWrite::Increment(key("n"), 1)]);
    assert_eq!(refused.err(), Some(WriteError::Overflow(key("n"))));
    let down = DataWrite::Increment(key("n"), -1);
    assert_eq!(
        store.write(NOW, &[down]).expect("written").numbers,
        [i64::MAX - 1]
    );
}

#[test]
fn a_full_store_says_so_and_takes_deletions() {
    let store = store();
    let value = Bytes::from(vec![0; VALUE_MAX]);
    let mut written = 0;
    let full = loop {
        match store.write(NOW, &[put(&written.to_string(), value.clone())]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, WriteError::Full { .. }), "{full}");
    assert_eq!(written, 255);
    store
        .write(NOW, &[DataWrite::Delete(key("7"))])
        .expect("deleting works");
    store
        .write(NOW, &[put("256", value.clone())])
        .expect("there is room");
    let long = Bytes::from(vec![0; VALUE_MAX + 1]);
    let refused = store.write(NOW, &[put("1", long)]);
    assert!(matches!(refused, Err(WriteError::Value { .. })));
}

#[test]
fn pages_of_keys_follow_each_other() {
    let store = store();
    for name in ["a", "b1", "b2", "b3", "c"] {
        store.write(NOW, &[put(name, name)]).expect("written");
    }
    store
        .write(NOW, &[DataWrite::Delete(key("b2"))])
        .expect("written");
    let range = KeyRange::new("default", "b").expect("a range");
    let first = store.page(&range, None, 1);
    let names = |page: &Page| {
        page.entries
            .iter()
            .map(|(key, _)| key.name().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((names(&first), first.more), (vec!["b1".to_owned()], true));
    let next = store.page(&range, Some(&key("b1")), 10);
    assert_eq!((names(&next), next.more), (vec!["b3".to_owned()], false));
}

#[test]
fn a_watch_hears_once_of_a_key_that_changed_often() {
    let store = store();
    let watch = store.watch(&KeyRange::new("default", "a").expect("a range"));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(watch.poll_changed(&mut context), Poll::Pending);
    for value in ["1", "2", "3"] {
        store
            .write(NOW, &[put("a", value), put("b", value)])
            .expect("written");
    }
    assert_eq!(watch.poll_changed(&mut context), Poll::Ready(()));
    let changed: Vec<_> = watch.take().expect("all of them").into_iter().collect();
    assert_eq!(changed, [key("a")]);
    store.write(NOW, &[put("a", "3")]).expect("written");
    assert_eq!(
        watch.poll_changed(&mut context),
        Poll::Pending,
        "the value is the same"
    );
}

#[test]
fn what_was_stored_is_there_again() {
    let store = store();
    let batch = [
        put("a", "1"),
        DataWrite::Increment(key("n"), 3),
        put("b", "2"),
    ];
    store.write(NOW, &batch).expect("written");
    store
        .write(NOW, &[DataWrite::Delete(key("b"))])
        .expect("written");
    assert!(store.is_unsaved());
    let unsaved = store.take_unsaved(usize::MAX);
    assert!(!store.is_unsaved());
    let again = DataStore::default();
    for (_, bytes) in &unsaved.entries {
        let bytes = bytes.as_ref().expect("a deletion is stored too");
        again.restore(StoredEntry::read(bytes).expect("readable"));
    }
    let rest = unsaved.rest.expect("all is stored with it");
    assert!(again.restore_rest(&rest));
    assert!(!again.is_unsaved());
    assert_eq!(
        (get(&again, "a").as_deref(), get(&again, "b")),
        (Some("1"), None)
    );
    assert_eq!(again.summary(NOW + 60_000), store.summary(NOW + 60_000));
}

#[test]
fn of_two_writes_at_one_time_both_nodes_keep_the_same() {
    let stores = [1, 2].map(|number| {
        let store = DataStore::default();
        store.begin(NodeId::from_bytes([number; 8]), 5, NOW);
        store
    });
    let told = ["one", "two"].map(|value| {
        let at = usize::from(value == "two");
        stores[at]
            .write(NOW, &[put("a", value)])
            .expect("written")
            .told
    });
    stores[0].take_told(&told[1], NOW).expect("readable");
    stores[1].take_told(&told[0], NOW).expect("readable");
    assert_eq!(get(&stores[0], "a"), get(&stores[1], "a"));
    assert_eq!(stores[1].take_told(&told[0], NOW), Ok(None), "it is known");
}
