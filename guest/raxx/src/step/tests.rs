//! Steps as values, and as what goes to the host.

use super::*;
use crate::{fetch, response};

#[test]
fn a_step_is_a_value_that_tests_can_compare() {
    let step: Step<u64> = continue_with(7).data("a").send_after(10, 1).tail().into();
    let expected = Continue {
        parts: vec![Part::Data(b"a".to_vec()), Part::Tail(Headers::new())],
        effects: vec![Effect::SendAfter {
            milliseconds: 10,
            token: 1,
        }],
        state: 7,
    };
    assert_eq!(step, Step::Continue(expected));
}

#[test]
fn what_goes_to_the_host_has_the_parts_in_order_and_the_state_as_bytes() {
    let step: Step<u64> = continue_with(1)
        .head(response(200).streamed())
        .data("x")
        .into();
    let exports::Step::Continue(next) = step.into_wire() else {
        panic!("it goes on");
    };
    assert!(matches!(next.parts[0], wire::Part::Head(_)));
    assert_eq!(next.parts[1], wire::Part::Data(b"x".to_vec()));
    assert_eq!(next.state, 1u64.to_le_bytes());
}

#[test]
fn a_response_takes_its_effects_with_it_in_their_order() {
    let step: Step<()> = complete(response(303).header("location", "/"))
        .publish("news", "x")
        .put("k", "v")
        .increment(("b", "n"), -1)
        .delete("old")
        .into();
    let exports::Step::Done(done) = step.into_wire() else {
        panic!("it is done");
    };
    assert_eq!(done.response.status, 303);
    let [
        exports::Effect::Publish(published),
        exports::Effect::Put(entry),
        exports::Effect::Increment(addition),
        exports::Effect::Delete(deleted),
    ] = done.effects.as_slice()
    else {
        panic!("{:?}", done.effects);
    };
    assert_eq!(
        (published.topic.as_str(), published.payload.as_slice()),
        ("news", &b"x"[..])
    );
    assert_eq!(
        (entry.key.bucket.as_str(), entry.value.as_slice()),
        ("default", &b"v"[..])
    );
    assert_eq!((addition.key.bucket.as_str(), addition.amount), ("b", -1));
    assert_eq!(deleted.name, "old");
}

#[test]
fn a_stream_asks_for_answers_and_changes_with_its_step() {
    let step: Step<u64> = continue_with(1)
        .fetch(fetch::get("https://example.com/").token(9))
        .watch(("room", "tea/"))
        .unwatch("old/")
        .put_while_open(("here", "ada"), "1")
        .collect(1000);
    let exports::Step::Collect((next, 1000)) = step.into_wire() else {
        panic!("it collects the body");
    };
    let [
        exports::Effect::Fetch(fetch),
        exports::Effect::Watch(watched),
        exports::Effect::Unwatch(unwatched),
        exports::Effect::PutWhileOpen(entry),
    ] = next.effects.as_slice()
    else {
        panic!("{:?}", next.effects);
    };
    assert_eq!(
        (fetch.token, fetch.url.as_str()),
        (9, "https://example.com/")
    );
    assert_eq!(
        (watched.bucket.as_str(), watched.prefix.as_str()),
        ("room", "tea/")
    );
    assert_eq!(
        (unwatched.bucket.as_str(), unwatched.prefix.as_str()),
        ("default", "old/")
    );
    assert_eq!(
        (entry.key.name.as_str(), entry.value.as_slice()),
        ("ada", &b"1"[..])
    );
    assert_eq!(next.state, 1u64.to_le_bytes());
}

#[test]
fn the_answer_to_head_keeps_a_whole_body_and_begins_no_stream() {
    let whole: Step<()> = continue_with(()).head(response(200).body("abc")).into();
    assert_eq!(whole.head_only(), response(200).body("abc").into());
    let stream: Step<()> = continue_with(())
        .head(response(200).streamed())
        .data("x")
        .subscribe_nodes()
        .into();
    assert_eq!(stream.head_only(), response(200).into());
    let later: Step<()> = continue_with(()).into();
    assert_eq!(later.clone().head_only(), later);
}
