//! Members and tools: what each may reach, and how callers fare that are too many, too slow, or
//! ask for what is not theirs.

use http_body_util::BodyExt as _;

use super::*;
use crate::control::tool;
use crate::control::tool::{ToolClient, ToolError};

/// A service that answers who asked, and for what.
struct Echo;

impl Service for Echo {
    fn call(&self, from: Peer, request: Request<Incoming>) -> FutureAnswer {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let Ok(body) = read(request.into_body(), 1 << 20, EXCHANGE).await else {
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, "too long");
            };
            answer(format!("{from:?} {path} {}", body.len()))
        })
    }
}

/// A service that answers without end.
struct Flood;

impl Service for Flood {
    fn call(&self, _: Peer, _: Request<Incoming>) -> FutureAnswer {
        Box::pin(async {
            let (mut sender, body) = http_body_util::channel::Channel::<_, std::io::Error>::new(1);
            tokio::spawn(async move {
                while sender
                    .send_data(Bytes::from_static(&[0; 16 * 1024]))
                    .await
                    .is_ok()
                {}
            });
            Response::new(body.boxed())
        })
    }
}

/// A service that never answers.
struct Silence;

impl Service for Silence {
    fn call(&self, _: Peer, _: Request<Incoming>) -> FutureAnswer {
        Box::pin(std::future::pending())
    }
}

fn serving(service: impl Service + 'static) -> Called {
    Called::start_serving(16, identity(), Arc::new(service))
}

/// A called node with short time limits, so that a test is short.
fn impatient(service: impl Service + 'static) -> Called {
    let waits = ServerWaits {
        member: SHORT,
        stall: SHORT,
        ..WAITS
    };
    Called::start_waiting(16, identity(), Arc::new(service), waits)
}

const SHORT: Duration = Duration::from_millis(300);

async fn tool(called: &Called) -> Result<ToolClient, ToolError> {
    tool::connect(&Keys::from_master(&[1; 32]), called.at).await
}

/// A tool that calls from this IP.
async fn tool_from(called: &Called, ip: Ipv4Addr) -> (SendRequest<Body>, StatusCode) {
    let mut requests = called.stranger(ip).await;
    let hello = answer_to(&mut requests, HELLO.path, "tool").await;
    (requests, hello.0)
}

async fn answer_to(
    requests: &mut SendRequest<Body>,
    path: &str,
    message: impl Into<Bytes>,
) -> (StatusCode, String) {
    let response = ask(requests, post(path, message)).await;
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body");
    let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
    (status, text)
}

async fn member(called: &Called) -> SendRequest<Body> {
    let mut requests = called.stranger(CALLER).await;
    let hello = answer_to(&mut requests, HELLO.path, "example@127.0.0.2").await;
    assert_eq!(hello, (StatusCode::OK, "example@127.0.0.3".to_owned()));
    requests
}

#[tokio::test]
async fn a_tool_is_told_who_answers_and_has_its_requests_answered_both_ways_streaming() {
    let called = serving(Echo);
    let tool = tool(&called).await.expect("admitted");
    assert_eq!(*tool.node(), node(CALLED));
    let (mut sender, body) = http_body_util::channel::Channel::<_, std::io::Error>::new(1);
    let request = Request::post("/v1/upload")
        .body(body.boxed())
        .expect("a request");
    let sending = async {
        for _ in 0..10 {
            let piece = Bytes::from_static(&[7; 50_000]);
            sender.send_data(piece).await.expect("taken");
        }
        drop(sender);
    };
    let (response, ()) = tokio::join!(tool.request(request), sending);
    let body = response.expect("answered").into_body().collect().await;
    let said = body.expect("a body").to_bytes();
    assert_eq!(&said[..], b"Tool(127.0.0.1) /v1/upload 500000");
    tool.close().await;
}

#[tokio::test]
async fn a_tool_with_the_wrong_cookie_is_refused_and_counted() {
    let called = serving(Echo);
    let refused = tool::connect(&Keys::from_master(&[2; 32]), called.at).await;
    let error = refused.expect_err("refused").to_string();
    assert!(error.contains("cookie"), "{error}");
    called.counted(|c| c.refused_by.handshake == 1).await;
}

#[tokio::test]
async fn what_is_for_members_is_not_for_tools_and_the_other_way_round() {
    let mut called = serving(Echo);
    let (mut tool, admitted) = tool_from(&called, CALLER).await;
    assert_eq!(admitted, StatusCode::OK);
    for path in [SYNC.path, "/component/x/chunk", "/publish"] {
        let (status, why) = answer_to(&mut tool, path, "state").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(why, "this is for members only");
    }
    assert!(called.events.try_recv().is_err(), "no state was taken in");
    called.counted(|c| c.refused_by.role == 3).await;

    let mut member = member(&called).await;
    let (status, why) = answer_to(&mut member, "/v1/status", "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(why, "this is for tools only");
    called.counted(|c| c.refused_by.role == 4).await;
    let (_, said) = answer_to(&mut member, "/component/x/chunk", "abc").await;
    assert!(said.starts_with("Member(") && said.ends_with("/component/x/chunk 3"));
    let (status, _) = answer_to(&mut member, "/elsewhere", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nothing_reaches_the_service_before_the_hello() {
    let called = serving(Echo);
    let mut stranger = called.stranger(CALLER).await;
    for path in ["/v1/status", "/component/x/chunk", "/publish"] {
        let (status, why) = answer_to(&mut stranger, path, "").await;
        assert_eq!(
            (status, &why[..]),
            (StatusCode::FORBIDDEN, "say hello first")
        );
    }
}

#[tokio::test]
async fn who_has_said_who_it_is_does_not_become_another() {
    let called = serving(Echo);
    let mut member = member(&called).await;
    let (status, _) = answer_to(&mut member, HELLO.path, "tool").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (mut tool, _) = tool_from(&called, CALLER).await;
    let (status, _) = answer_to(&mut tool, HELLO.path, "example@127.0.0.2").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = answer_to(&mut tool, SYNC.path, "state").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn from_this_machine_tools_may_call_although_members_may_not() {
    let called = Called::start_with(30);
    let (_requests, admitted) = tool_from(&called, SAME_MACHINE).await;
    assert_eq!(admitted, StatusCode::OK);
    let mut member = called.stranger(SAME_MACHINE).await;
    let name = node(SAME_MACHINE).to_string();
    let (status, _) = answer_to(&mut member, HELLO.path, name).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    called
        .counted(|c| c.refused_by.source == 1 && c.admitted == 1)
        .await;
}

#[tokio::test]
async fn one_ip_gets_four_tools_and_its_member_is_let_in_all_the_same() {
    let called = serving(Echo);
    let mut tools = Vec::new();
    for _ in 0..4 {
        let (requests, admitted) = tool_from(&called, CALLER).await;
        assert_eq!(admitted, StatusCode::OK);
        tools.push(requests);
    }
    let (_fifth, refused) = tool_from(&called, CALLER).await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    called.counted(|c| c.refused_by.limit == 1).await;
    let _member = member(&called).await;
    // When one ends, there is room for another.
    tools.pop();
    let again = async {
        while tool_from(&called, CALLER).await.1 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, again).await.expect("room again");
}

#[tokio::test]
async fn a_caller_that_does_not_take_its_answer_is_closed_and_counted() {
    let called = impatient(Flood);
    let (mut tool, _) = tool_from(&called, CALLER).await;
    let response = tool.send_request(post("/v1/logs", "")).await;
    let response = response.expect("answered");
    // The caller reads nothing of its body.
    called.counted(|c| c.refused_by.stalled == 1).await;
    assert!(response.into_body().collect().await.is_err(), "cut off");
}

#[tokio::test]
async fn a_caller_that_reads_is_answered_for_as_long_as_it_likes() {
    let called = impatient(Flood);
    let (mut tool, _) = tool_from(&called, CALLER).await;
    let response = tool.send_request(post("/v1/logs", "")).await;
    let mut body = response.expect("answered").into_body();
    let until = tokio::time::Instant::now() + 4 * SHORT;
    while tokio::time::Instant::now() < until {
        // The caller reads slowly, but it reads.
        body_taken(&mut body, 64 * 1024).await;
        tokio::time::sleep(SHORT / 20).await;
    }
    assert_eq!(called.counters.now().refused_by.stalled, 0);
}

/// Reads at least this much more.
async fn body_taken(body: &mut Incoming, least: usize) {
    let mut taken = 0;
    while taken < least {
        let piece = body.frame().await.expect("goes on").expect("not cut");
        taken += piece.into_data().map_or(0, |data| data.len());
    }
}

#[tokio::test]
async fn a_member_is_not_left_without_an_answer_for_ever() {
    let called = impatient(Silence);
    let mut member = member(&called).await;
    let response = member.send_request(post("/component/x/chunk", "")).await;
    let status = response.expect("answered").status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
