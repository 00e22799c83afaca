//! The control channel, tested by allowed callers and by callers that must be refused.

mod client;
mod roles;
mod rotation;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Keys, NodeName};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::protocol;
use super::routes::{HELLO, SYNC};
use super::server::ServerWaits;
use super::*;
use crate::net;

const SOON: Duration = Duration::from_secs(10);
const CALLED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CALLER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// An address that the called node counts as its own machine's.
const SAME_MACHINE: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

fn identity() -> Identity {
    Identity::new(&Keys::from_master(&[1; 32])).expect("an identity")
}

fn node(ip: Ipv4Addr) -> NodeName {
    NodeName::new("example", ip).expect("a name")
}

fn dialler(ip: Ipv4Addr) -> Dialler {
    Dialler {
        me: node(ip),
        identity: identity(),
    }
}

/// A node that can be called, on a port of its own.
struct Called {
    at: SocketAddrV4,
    counters: Arc<CallerCounts>,
    events: mpsc::Receiver<Event>,
}

impl Called {
    fn start() -> Self {
        Self::start_with(16)
    }

    /// Accepts callers whose first `prefix` bits are those of 127.0.0.2.
    fn start_with(prefix: u8) -> Self {
        Self::start_as(prefix, identity())
    }

    fn start_as(prefix: u8, identity: Identity) -> Self {
        Self::start_serving(prefix, identity, Arc::new(Refuse))
    }

    fn start_serving(prefix: u8, identity: Identity, service: Arc<dyn Service>) -> Self {
        Self::start_waiting(prefix, identity, service, WAITS)
    }

    fn start_waiting(
        prefix: u8,
        identity: Identity,
        service: Arc<dyn Service>,
        waits: ServerWaits,
    ) -> Self {
        let listener = net::tcp_listener(SocketAddrV4::new(CALLED, 0), 64, "--cluster-port");
        let listener = listener.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let (events_in, events) = mpsc::channel(16);
        let counters = Arc::new(CallerCounts::default());
        let server = ControlServer {
            me: node(CALLED),
            identity,
            reach: vec![cluster::Cidr::new(CALLER, prefix).expect("a range")],
            is_here: |ip| ip == SAME_MACHINE,
            service,
            runtime: None,
            waits,
            events: events_in,
            counters: counters.clone(),
        };
        tokio::spawn(server.run(listener));
        Self {
            at: SocketAddrV4::new(CALLED, port),
            counters,
            events,
        }
    }

    async fn event(&mut self) -> Event {
        let event = timeout(SOON, self.events.recv()).await;
        event.expect("an event in time").expect("the server runs")
    }

    async fn counted(&self, done: impl Fn(Callers) -> bool) {
        let counted = async {
            while !done(self.counters.now()) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = timeout(SOON, counted).await;
        assert!(in_time.is_ok(), "{:?}", self.counters.now());
    }

    /// A connection like a member's, but without its hello.
    async fn stranger(&self, from: Ipv4Addr) -> SendRequest<Body> {
        let tcp = net::connect_from(from, self.at).await.expect("connected");
        let tls = identity().connect(tcp, 0, SOON).await;
        let (tls, _) = tls.expect("TLS");
        let opened = handshake(TokioExecutor::new(), TokioIo::new(tls)).await;
        let (requests, connection) = opened.expect("HTTP/2");
        tokio::spawn(connection);
        requests
    }
}

fn post(path: &str, message: impl Into<Bytes>) -> Request<Body> {
    protocol::request("127.0.0.3:8383", path, message.into())
}

async fn ask(requests: &mut SendRequest<Body>, request: Request<Body>) -> Response<Incoming> {
    let response = timeout(SOON, requests.send_request(request)).await;
    response.expect("in time").expect("answered")
}

#[tokio::test]
async fn a_state_reaches_the_member_and_its_answer_comes_back() {
    let mut called = Called::start();
    let at = called.at;
    let answering = async {
        let Event::Request {
            peer,
            bytes,
            answer,
        } = called.event().await
        else {
            panic!("no request");
        };
        assert_eq!((peer, &bytes[..]), (node(CALLER), &b"ours"[..]));
        answer.send(Bytes::from_static(b"theirs")).expect("wanted");
    };
    let (events_in, mut events) = mpsc::channel(16);
    let mut links = Links::new(dialler(CALLER), at.port(), events_in);
    assert!(links.sync(at, node(CALLED), Bytes::from_static(b"ours")));
    let ((), reply) = tokio::join!(answering, timeout(SOON, events.recv()));
    let Ok(Some(Event::Reply { peer, bytes })) = reply else {
        panic!("no reply: {reply:?}");
    };
    assert_eq!((peer, &bytes[..]), (node(CALLED), &b"theirs"[..]));
}

#[tokio::test]
async fn a_caller_with_the_wrong_cookie_is_refused_and_counted() {
    let called = Called::start();
    let wrong = Dialler {
        me: node(CALLER),
        identity: Identity::new(&Keys::from_master(&[2; 32])).expect("an identity"),
    };
    let dialled = wrong.dial(&node(CALLED), called.at, WINDOW).await;
    assert!(matches!(dialled.err(), Some(DialError::Tls(_))));
    called.counted(|c| c.refused_by.handshake == 1).await;
}

#[tokio::test]
async fn whoever_is_not_who_was_dialled_is_closed() {
    let called = Called::start();
    let other = NodeName::new("other", CALLED).expect("a name");
    let dialled = dialler(CALLER).dial(&other, called.at, WINDOW).await;
    assert!(matches!(dialled.err(), Some(DialError::Impostor)));
}

#[tokio::test]
async fn a_caller_whose_ip_is_not_that_of_its_name_is_closed() {
    let called = Called::start();
    let mut requests = called.stranger(Ipv4Addr::new(127, 0, 0, 9)).await;
    let lie = post(HELLO.path, protocol::introduce(&node(CALLER)));
    let response = ask(&mut requests, lie).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    called.counted(|c| c.refused_by.hello == 1).await;
    let after = requests.send_request(post(SYNC.path, "state")).await;
    assert!(after.is_err(), "the connection is closed");
}

#[tokio::test]
async fn nothing_is_listened_to_before_the_hello() {
    let mut called = Called::start();
    let mut requests = called.stranger(CALLER).await;
    let response = ask(&mut requests, post(SYNC.path, "state")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(called.events.try_recv().is_err());
}

#[tokio::test]
async fn an_unknown_version_and_messages_over_the_limit_are_refused_by_status() {
    let called = Called::start();
    let mut requests = called.stranger(CALLER).await;
    let hello = protocol::introduce(&node(CALLER));
    let response = ask(&mut requests, post(HELLO.path, hello.clone())).await;
    assert_eq!(response.status(), StatusCode::OK);
    let too_long = vec![0; MESSAGE_MAX + 1];
    for (request, status) in [
        (post("/v2/hello", hello), StatusCode::NOT_FOUND),
        (
            post(HELLO.path, vec![b'a'; 100]),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (post(HELLO.path, "no name"), StatusCode::BAD_REQUEST),
        (post(HELLO.path, "other@127.0.0.2"), StatusCode::FORBIDDEN),
        (post(SYNC.path, too_long), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let path = request.uri().path().to_owned();
        let response = ask(&mut requests, request).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn callers_that_say_nothing_are_closed_in_time() {
    let called = Called::start();
    let mut no_tls = net::connect_from(CALLER, called.at).await.expect("open");
    let no_hello = called.stranger(CALLER);
    let closed = async {
        let mut rest = Vec::new();
        no_tls.read_to_end(&mut rest).await
    };
    let (closed, mut no_hello) = tokio::join!(timeout(SOON, closed), no_hello);
    closed.expect("closed in time").ok();
    called
        .counted(|c| c.refused_by.handshake == 1 && c.refused_by.hello == 1)
        .await;
    assert!(
        no_hello
            .send_request(post(SYNC.path, "state"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_caller_from_elsewhere_does_not_get_as_far_as_tls() {
    let called = Called::start_with(30);
    let mut far = net::connect_from(Ipv4Addr::new(127, 0, 0, 9), called.at)
        .await
        .expect("open");
    let mut rest = Vec::new();
    // A reset or an end: no bytes come.
    let _ = timeout(SOON, far.read_to_end(&mut rest))
        .await
        .expect("closed");
    assert!(rest.is_empty());
    called.counted(|c| c.refused_by.source == 1).await;
}

#[tokio::test]
async fn one_ip_gets_eight_connections_and_others_are_served_meanwhile() {
    let called = Called::start();
    let mut open = Vec::new();
    for _ in 0..8 {
        let dialled = dialler(CALLER).dial(&node(CALLED), called.at, WINDOW).await;
        open.push(dialled.expect("admitted"));
    }
    let ninth = dialler(CALLER).dial(&node(CALLED), called.at, WINDOW).await;
    assert!(ninth.is_err());
    called.counted(|c| c.refused_by.limit == 1).await;
    let other = Ipv4Addr::new(127, 0, 0, 4);
    let dialled = dialler(other).dial(&node(CALLED), called.at, WINDOW).await;
    dialled.expect("admitted");
    drop(open);
}

#[tokio::test]
async fn garbage_in_place_of_tls_is_refused_and_hurts_nobody() {
    let called = Called::start();
    for n in 0..50_u8 {
        let stream = net::connect_from(Ipv4Addr::new(127, 0, 1, n), called.at).await;
        let mut stream: TcpStream = stream.expect("open");
        // It may be closed during the write.
        let _ = stream.write_all(&[n; 4096]).await;
    }
    called
        .counted(|c| c.refused_by.handshake + c.refused_by.limit == 50)
        .await;
    let dialled = dialler(CALLER).dial(&node(CALLED), called.at, WINDOW).await;
    dialled.expect("admitted");
}

#[tokio::test]
async fn a_connection_that_is_cut_is_a_hint_and_one_that_is_closed_is_none() {
    let mut called = Called::start();
    let dialled = dialler(CALLER).dial(&node(CALLED), called.at, WINDOW).await;
    dialled.expect("admitted").close().await;

    let other = Ipv4Addr::new(127, 0, 0, 4);
    let at = called.at;
    // Like a killed process: the system closes its sockets.
    std::thread::spawn(move || {
        let process = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let dialler = dialler(other);
        let dialled = process.block_on(dialler.dial(&node(CALLED), at, WINDOW));
        let connection = dialled.expect("admitted");
        process.shutdown_background();
        drop(connection);
    });
    let Event::Lost { ip } = called.event().await else {
        panic!("not lost");
    };
    assert_eq!(ip, other, "only the one that was cut");
}

/// A called node like in a process of its own: when it is killed, the system closes its sockets
/// without a farewell.
struct Process {
    at: SocketAddrV4,
    kill: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Process {
    /// It can be killed after the first call.
    async fn start() -> Self {
        Self::start_with(Arc::new(Refuse)).await
    }

    async fn start_with(service: Arc<dyn Service>) -> Self {
        let (at_in, at) = tokio::sync::oneshot::channel();
        let (kill, killed) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let process = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            process.block_on(async {
                let called = Called::start_serving(16, identity(), service);
                at_in.send(called.at).expect("wanted");
                called.counted(|c| c.admitted == 1).await;
                killed.await.expect("killed");
            });
            process.shutdown_background();
        });
        Self {
            at: at.await.expect("started"),
            kill,
            thread,
        }
    }

    async fn kill(self) {
        self.kill.send(()).expect("runs");
        let ended = tokio::task::spawn_blocking(|| self.thread.join());
        ended.await.expect("joined").expect("ended");
    }
}

#[tokio::test]
async fn a_connection_that_has_ended_can_still_be_closed() {
    let process = Process::start().await;
    let dialled = dialler(CALLER)
        .dial(&node(CALLED), process.at, WINDOW)
        .await;
    let mut connection = dialled.expect("admitted");
    process.kill().await;
    timeout(SOON, connection.ended()).await.expect("in time");
    connection.ended().await;
    connection.close().await;
}

/// A member as in a view.
fn listed(ip: Ipv4Addr) -> cluster::Member {
    cluster::Member {
        name: node(ip),
        boot: cluster::Boot::from_number(1),
        url: cluster::HttpUrl::plain((ip, 8080)),
        since_ms: 0,
        serving: None,
        keys: None,
    }
}

#[tokio::test]
async fn a_kept_connection_tells_at_once_when_the_called_process_ends() {
    let process = Process::start().await;
    let (events_in, mut events) = mpsc::channel(16);
    let mut links = Links::new(dialler(CALLER), process.at.port(), events_in);
    links.keep(&cluster::View {
        version: 1,
        members: vec![listed(CALLER), listed(CALLED)],
    });
    process.kill().await;
    let lost = timeout(SOON, events.recv()).await.expect("in time");
    assert!(matches!(lost, Some(Event::Lost { ip }) if ip == CALLED));
}
