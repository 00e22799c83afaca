//! Tests of [`super`].

use super::*;
use crate::contract::data::{Addition, Entry, Key, KeyRange};
use crate::contract::http::Method;
use crate::contract::mailbox::{MessageToTopic, TimerRequest};

fn topics(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|n| n.to_string().into()).collect()
}

fn holding(topics: &[Arc<str>], timers: usize, fetches: usize) -> CallEffects {
    let watches = &[];
    let held = Subscribed {
        topics,
        timers,
        fetches,
        watches,
    };
    CallEffects::of(held, DataStore::default())
}

/// What the log says of these effects, of an exchange that has nothing yet.
#[track_caller]
fn refused(effects: impl IntoIterator<Item = Effect>) -> String {
    let effects = effects.into_iter().collect();
    let refused = CallEffects::default().with(effects);
    refused.expect_err("they are illegal").to_string()
}

fn publish(topic: &str, bytes: usize) -> Effect {
    Effect::Publish(MessageToTopic {
        topic: topic.to_owned(),
        payload: vec![0; bytes],
    })
}

fn after(token: u64) -> Effect {
    Effect::SendAfter(TimerRequest {
        milliseconds: 1,
        token,
    })
}

fn fetch() -> FetchRequest {
    FetchRequest {
        token: 1,
        method: Method::Get,
        url: "https://example.com/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: None,
        max_body: None,
    }
}

#[test]
fn topics_are_a_set_that_is_never_larger_than_allowed() {
    let held = topics(MAX_PER_EXCHANGE);
    let mut effects = holding(&held, 0, 0);
    // A topic that the exchange has already changes nothing, and needs no room.
    assert_eq!(effects.subscribe("0".into()), Ok(()));
    // A topic that the exchange does not have gives no room back.
    effects.unsubscribe("unknown");
    assert!(effects.effects.is_empty());
    assert_eq!(effects.subscribe("new".into()), Err(IllegalEffect::Topics));
    effects.unsubscribe("0");
    assert_eq!(effects.subscribe("new".into()), Ok(()));
    let [CallEffect::Unsubscribe(old), CallEffect::Subscribe(new)] = &effects.effects[..] else {
        panic!("{:?}", effects.effects);
    };
    assert_eq!((&**old, &**new), ("0", "new"));
}

#[test]
fn a_guest_that_changes_its_mind_for_ever_asks_for_nothing() {
    let mut effects = CallEffects::default();
    for _ in 0..1000 {
        assert_eq!(effects.subscribe("t".into()), Ok(()));
        effects.unsubscribe("t");
    }
    assert!(effects.effects.is_empty());
}

#[test]
fn what_is_as_large_as_allowed_is_taken_in_its_order() {
    let long = "t".repeat(MAX_TOPIC);
    let largest = FetchRequest {
        url: "u".repeat(MAX_URL),
        body: vec![0; MAX_FETCH_BODY],
        headers: vec![("a".to_owned(), b"b".to_vec()); 512],
        timeout: Some(MAX_FETCH_TIME),
        max_body: Some(MAX_FETCHED_BODY),
        ..fetch()
    };
    let asked = vec![
        Effect::SubscribeNodes,
        Effect::SubscribeNodes,
        Effect::Subscribe(long.clone()),
        publish(&long, MAX_PAYLOAD),
        after(1),
        Effect::Fetch(largest),
    ];
    let effects = CallEffects::default().with(asked).expect("they are legal");
    assert!(matches!(
        effects[..],
        [
            CallEffect::SubscribeNodes,
            CallEffect::Subscribe(_),
            CallEffect::Publish { .. },
            CallEffect::SendAfter { .. },
            CallEffect::Fetch(_),
        ]
    ));
}

#[test]
fn what_is_larger_than_allowed_is_named_with_its_limit() {
    let long = "t".repeat(MAX_TOPIC + 1);
    for (effect, text) in [
        (
            Effect::Subscribe(String::new()),
            "subscribe with a topic of 0 bytes; 1 to 256",
        ),
        (
            Effect::Subscribe(long.clone()),
            "subscribe with a topic of 257 bytes",
        ),
        (publish(&long, 1), "publish with a topic of 257 bytes"),
        (
            publish("t", MAX_PAYLOAD + 1),
            "publish with 65537 bytes, more than 65536",
        ),
    ] {
        let refused = refused([effect]);
        assert!(refused.contains(text), "{refused}");
    }
}

#[test]
fn a_fetch_that_is_larger_than_allowed_is_named_with_its_limit() {
    let large = [
        (
            FetchRequest {
                url: "u".repeat(MAX_URL + 1),
                ..fetch()
            },
            "a URL of 8193, more than 8192",
        ),
        (
            FetchRequest {
                body: vec![0; MAX_FETCH_BODY + 1],
                ..fetch()
            },
            "a body of 1048577, more than 1048576",
        ),
        (
            FetchRequest {
                timeout: Some(300_001),
                ..fetch()
            },
            "a timeout of 300001, more than 300000",
        ),
        (
            FetchRequest {
                max_body: Some(MAX_FETCHED_BODY + 1),
                ..fetch()
            },
            "a max-body of 8388609, more than 8388608",
        ),
        (
            FetchRequest {
                headers: vec![("A".to_owned(), Vec::new())],
                ..fetch()
            },
            "with the field \"A\"",
        ),
        (
            FetchRequest {
                headers: vec![("a".to_owned(), Vec::new()); 513],
                ..fetch()
            },
            "a number of fields of 513, more than 512",
        ),
    ];
    for (request, text) in large {
        let refused = refused([Effect::Fetch(request)]);
        assert!(
            refused.contains("the effect fetch") && refused.contains(text),
            "{refused}"
        );
    }
}

#[test]
fn one_too_many_is_named_also_counting_what_the_exchange_has_already() {
    let subscribed = (0..33).map(|n| Effect::Subscribe(n.to_string()));
    assert!(refused(subscribed).contains("subscribe with 32 topics"));
    let published = (0..33).map(|_| publish("t", 1));
    assert!(refused(published).contains("publish more than 32 times"));
    assert!(refused((0..33).map(after)).contains("send-after with 32 timers"));
    let fetched = (0..9).map(|_| Effect::Fetch(fetch()));
    assert!(refused(fetched).contains("fetch with 8 fetches"));

    // They would change nothing.
    let many = |count| (0..count).map(|_| Effect::SubscribeNodes);
    assert_eq!(
        refused(many(1025)),
        "asked for 1025 effects in one callback, more than 1024"
    );
    let taken = CallEffects::default().with(many(1024).collect());
    assert_eq!(taken.map(|all| all.len()), Ok(1));

    let held = topics(MAX_PER_EXCHANGE);
    let full = || holding(&held, MAX_PER_EXCHANGE, MAX_FETCHES);
    for one in [
        Effect::Subscribe("new".to_owned()),
        after(1),
        Effect::Fetch(fetch()),
    ] {
        assert!(full().with(vec![one]).is_err());
    }
    // One callback publishes as many as any other.
    let published = (0..32).map(|_| publish("t", 1)).collect();
    assert_eq!(full().with(published).map(|all| all.len()), Ok(32));
}

#[test]
fn a_key_or_a_range_that_there_is_not_is_refused_by_its_effect() {
    let key = |bucket: &str, name: &str| Key {
        bucket: bucket.to_owned(),
        name: name.to_owned(),
    };
    let entry = |key| Entry {
        key,
        value: Vec::new(),
    };
    let range = |bucket: &str| KeyRange {
        bucket: bucket.to_owned(),
        prefix: String::new(),
    };
    let no_bucket = "with a bucket with a name of 0 bytes; 1 to 64 are allowed";
    for (effect, cause) in [
        (Effect::Watch(range("")), format!("watch {no_bucket}")),
        (Effect::Unwatch(range("")), format!("unwatch {no_bucket}")),
        (Effect::Put(entry(key("", "k"))), format!("put {no_bucket}")),
        (
            Effect::PutWhileOpen(entry(key("default", ""))),
            "put-while-open with a key of 0 bytes; 1 to 1024 are allowed".to_owned(),
        ),
        (
            Effect::Increment(Addition {
                key: key("default", &"k".repeat(1025)),
                amount: 1,
            }),
            "increment with a key of 1025 bytes; 1 to 1024 are allowed".to_owned(),
        ),
        (Effect::Delete(key("", "k")), format!("delete {no_bucket}")),
    ] {
        assert_eq!(refused([effect]), format!("asked for the effect {cause}"));
    }
    let watches = (0..33).map(|n| Effect::Watch(range(&n.to_string())));
    let cause = "asked for the effect watch with 32 ranges of keys watched already";
    assert_eq!(refused(watches), cause);
    let twice = (0..33).map(|_| Effect::Watch(range("default")));
    let effects = CallEffects::default().with(twice.collect());
    assert_eq!(effects.expect("once").len(), 1);
}

#[test]
fn what_is_published_while_a_topic_is_subscribed_to_comes_although_it_is_left_afterwards() {
    let subscribe = || Effect::Subscribe("t".to_owned());
    let unsubscribe = || Effect::Unsubscribe("t".to_owned());
    let kinds = |effects| {
        let legal = CallEffects::default().with(effects).unwrap();
        let kind = |effect: &CallEffect| match effect {
            CallEffect::Subscribe(_) => "subscribe",
            CallEffect::Unsubscribe(_) => "unsubscribe",
            CallEffect::Publish { .. } => "publish",
            other => panic!("{other:?}"),
        };
        legal.iter().map(kind).collect::<Vec<_>>()
    };
    let order = kinds(vec![subscribe(), publish("t", 1), unsubscribe()]);
    assert_eq!(order, ["subscribe", "publish", "unsubscribe"]);
    let order = kinds(vec![publish("t", 1), subscribe(), unsubscribe()]);
    assert_eq!(order, ["publish"]);
}
