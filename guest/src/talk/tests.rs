//! What is said, and to whom; and that nothing said becomes markup.

use base64::Engine as _;
use raxx::mailbox::Effect;
use raxx::{Continue, DELETE, GET, POST, Part, Server as _, request, testing};
use sha2::Digest as _;

use super::*;
use crate::{App, not_allowed};

const ADA: &str = "/talk/lines?name=Ada+%C3%84&id=x-1%22";

fn ada() -> Person {
    Person {
        id: "x1".to_owned(),
        name: "Ada \u{c4}".to_owned(),
    }
}

fn go_on(step: Step<State>) -> Continue<State> {
    match step {
        Step::Continue(next) => next,
        step => panic!("it does not go on: {step:?}"),
    }
}

fn data(next: &Continue<State>) -> String {
    let parts = next.parts.iter().map(|part| match part {
        Part::Data(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Part::Tail(_) => "(tail)".to_owned(),
        other => panic!("{other:?}"),
    });
    parts.collect()
}

fn publish(topic: &str, payload: &str) -> Effect {
    Effect::Publish {
        topic: topic.to_owned(),
        payload: payload.into(),
    }
}

fn published(topic: &str, payload: &str) -> Message {
    Message::Published(Publication {
        topic: topic.to_owned(),
        payload: payload.into(),
        from: "example@10.10.10.3".to_owned(),
    })
}

#[test]
fn the_page_names_its_node_and_its_policy_fits_style_and_script() {
    let node = testing::node("<b>@10.10.10.2");
    let response = page(&node);
    let body = String::from_utf8(response.body_bytes().to_vec()).unwrap();
    assert!(body.contains(">node: &lt;b&gt;@10.10.10.2</h2>"), "{body}");
    assert!(!body.contains("{{"), "a place of the template is left open");
    let hash = |text: &str| {
        let hash = sha2::Sha256::digest(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(hash)
    };
    for text in [STYLE, TALK_STYLE, SCRIPT] {
        let hash = format!("'sha256-{}'", hash(text));
        assert!(POLICY.contains(&hash), "put into POLICY: {hash}");
    }
    for text in [" style=", " onclick=", "javascript:"] {
        assert!(!body.contains(text), "{text} would not pass the policy");
    }
}

#[test]
fn a_stream_asks_for_all_it_shows_and_says_that_somebody_has_come() {
    testing::set_cluster(1, &["example@10.10.10.2"]);
    let open = go_on(App.handle_head(request(GET, ADA), b""));
    assert_eq!(open.state, State::Talk(ada()));
    let hello = b"retry: 1000\nevent: self\ndata: example@10.10.10.2\n\n";
    assert_eq!(open.parts[1], Part::Data(hello.to_vec()));
    assert_eq!(
        open.effects,
        [
            Effect::SubscribeNodes,
            Effect::Subscribe(TALK.to_owned()),
            Effect::Subscribe(NEW.to_owned()),
            publish(NEW, ""),
            Effect::SendAfter {
                milliseconds: 15_000,
                token: HEARTBEAT
            }
        ]
    );
}

#[test]
fn a_stream_says_who_reads_it_when_somebody_comes_and_now_and_then_and_when_they_go() {
    let here = publish(TALK, "{\"here\":\"Ada \u{c4}\",\"id\":\"x1\"}");
    let next = go_on(tell(published(NEW, ""), ada()));
    assert_eq!(
        (data(&next).as_str(), &next.effects[..]),
        ("", &[here.clone()][..])
    );
    let next = go_on(tell(Message::Timer(HEARTBEAT), ada()));
    assert_eq!(data(&next), ": \n\n");
    assert_eq!(next.effects[0], here);
    let next = go_on(tell(Message::Closing(ClosingReason::ClientGone), ada()));
    let gone = publish(TALK, "{\"gone\":\"Ada \u{c4}\",\"id\":\"x1\"}");
    assert_eq!((data(&next).as_str(), &next.effects[..]), ("", &[gone][..]));
}

#[test]
fn what_is_published_is_told_with_the_node_it_comes_from() {
    let next = go_on(tell(published(TALK, "{\"line\":\"hi\"}"), ada()));
    let expected =
        "event: said\ndata: {\"from\":\"example@10.10.10.3\",\"what\":{\"line\":\"hi\"}}\n\n";
    assert_eq!(data(&next), expected);
    assert_eq!(next.state, State::Talk(ada()));
    let next = go_on(tell(
        Message::Nodes(testing::view(1, &["a@10.0.0.1"])),
        ada(),
    ));
    assert_eq!(data(&next), "event: nodes\ndata: [\"a@10.0.0.1\"]\n\n");
    let next = go_on(tell(Message::Lagged(3), ada()));
    assert_eq!(data(&next), "event: lagged\ndata: 3\n\n");
}

#[test]
fn a_stream_ends_cleanly_when_the_node_stops() {
    for reason in [ClosingReason::Shutdown, ClosingReason::CodeChange] {
        let next = go_on(tell(Message::Closing(reason), ada()));
        assert_eq!(
            data(&next),
            ": closing, connect again\nretry: 1000\n\n(tail)"
        );
    }
}

#[test]
fn a_line_is_said_and_leads_back_to_the_page() {
    let form = request(POST, "/talk").with_streamed_body();
    let begun = App.handle_head(form, b"");
    assert_eq!(begun, continue_with(State::Form).collect(8192));

    let form = b"name=Ada&line=a+%22b%22%0A".to_vec();
    let said = App.handle_body(form, raxx::Headers::new(), State::Form);
    let back = response(303).header("location", "/talk");
    let what = "{\"name\":\"Ada\",\"line\":\"a \\\"b\\\"\"}";
    assert_eq!(said, complete(back).publish(TALK, what).into());
}

#[test]
fn a_form_without_a_line_is_refused_and_says_nothing() {
    let refused = |step| match step {
        Step::Done(done) if done.effects.is_empty() => done.response.status(),
        step => panic!("{step:?}"),
    };
    assert_eq!(refused(say(b"name=Ada&line=%20")), 400);
    assert_eq!(refused(say(b"")), 400);
    assert_eq!(refused(begin(&request(POST, "/talk"))), 400);
    let answer = App.handle_head(request(DELETE, "/talk"), b"");
    assert_eq!(answer, not_allowed("GET, HEAD, POST").into());
}

#[test]
fn names_and_lines_are_cut_to_size_and_nobody_is_somebody() {
    assert_eq!(named(b"name="), "somebody");
    assert_eq!(named(b""), "somebody");
    let long = format!("name={}", "\u{e4}".repeat(NAME_MAX + 1));
    assert_eq!(named(long.as_bytes()).chars().count(), NAME_MAX);
    assert_eq!(field(b"a=1&b=2", "b").as_deref(), Some("2"));
    assert_eq!(field(b"ab=1", "a"), None);
    assert_eq!(decoded(b"%e4%zz%+1%2"), b"\xe4%zz% 1%2");
}
