//! What is refused, at each limit.

use super::*;
use crate::fetch;

#[test]
fn topics_and_payloads_are_checked_at_their_limits() {
    let publish = |topic: usize, payload: usize| {
        let (topic, payload) = ("t".repeat(topic), vec![0; payload]);
        Effect::Publish { topic, payload }.check()
    };
    assert_eq!(publish(1, 0), Ok(()));
    assert_eq!(publish(256, 65536), Ok(()));
    assert_eq!(publish(0, 0), Err(EffectError::Topic(0)));
    assert_eq!(publish(257, 0), Err(EffectError::Topic(257)));
    assert_eq!(publish(1, 65537), Err(EffectError::Payload(65537)));
}

#[test]
fn keys_and_values_are_checked_at_their_limits() {
    let put = |bucket: usize, name: usize, value: usize| {
        let key = Key::from(("b".repeat(bucket), "k".repeat(name)));
        let value = vec![0; value];
        Effect::Put { key, value }.check()
    };
    assert_eq!(put(1, 1, 0), Ok(()));
    assert_eq!(put(64, 1024, 1 << 20), Ok(()));
    assert_eq!(put(0, 1, 0), Err(EffectError::Bucket(0)));
    assert_eq!(put(65, 1, 0), Err(EffectError::Bucket(65)));
    assert_eq!(put(1, 0, 0), Err(EffectError::Key(0)));
    assert_eq!(put(1, 1025, 0), Err(EffectError::Key(1025)));
    assert_eq!(
        put(1, 1, (1 << 20) + 1),
        Err(EffectError::Value((1 << 20) + 1))
    );
    assert_eq!(Effect::Watch("".into()).check(), Ok(()));
    let long = "k".repeat(1025);
    assert_eq!(
        Effect::Unwatch(long.into()).check(),
        Err(EffectError::Key(1025))
    );
}

#[test]
fn fetches_are_checked_at_their_limits() {
    let check = |request| Effect::Fetch(request).check();
    let url = |length: usize| format!("https://{}", "x".repeat(length - 8));
    let most = fetch::post(url(8192), vec![0; 1 << 20]);
    assert_eq!(check(most.timeout(300_000).max_body(8 << 20)), Ok(()));
    let mut many = fetch::get(url(20));
    for _ in 0..513 {
        many.headers.append("x-field", "1").unwrap();
    }
    assert_eq!(check(many), Err(EffectError::Fields(513)));
    assert_eq!(check(fetch::get(url(8193))), Err(EffectError::Url(8193)));
    let body = fetch::post(url(20), vec![0; (1 << 20) + 1]);
    assert_eq!(check(body), Err(EffectError::Body((1 << 20) + 1)));
    let slow = fetch::get(url(20)).timeout(300_001);
    assert_eq!(check(slow), Err(EffectError::Timeout(300_001)));
    let large = fetch::get(url(20)).max_body((8 << 20) + 1);
    assert_eq!(check(large), Err(EffectError::Answer((8 << 20) + 1)));
}
