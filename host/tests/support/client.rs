//! Clients of both versions of HTTP that tell a clean end from a cut one.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::soon;

/// The version of HTTP that a test speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    H1,
    H2,
}

pub(crate) const BOTH: [Protocol; 2] = [Protocol::H1, Protocol::H2];

/// Why a request has no response, or a response no end.
pub(crate) type Broken = hyper::Error;

/// The body of a request.
pub(crate) type RequestBody = BoxBody<Bytes, Aborted>;

/// The test gives up in the middle of a body.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the test gave up")]
pub(crate) struct Aborted;

/// One connection.
pub(crate) enum Client {
    H1(http1::SendRequest<RequestBody>),
    H2(http2::SendRequest<RequestBody>),
}

/// A response, to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    /// The body; an error if it did not end as it should.
    pub(crate) body: Result<Bytes, Broken>,
}

impl Answer {
    /// The body as text, which ended as it should.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        let body = self.body.as_ref().expect("the body ended as it should");
        std::str::from_utf8(body).expect("the body is text")
    }

    /// The value of a field.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().expect("the field is text")
    }

    /// Asserts that the stream was cut: a connection closed before its time,
    /// or a stream that was reset.
    #[track_caller]
    pub(crate) fn was_cut(&self, protocol: Protocol) {
        let error = self.body.as_ref().expect_err("the stream was cut");
        is_cut(error, protocol);
    }
}

/// Asserts that this is how the client of a cut stream learns of it.
#[track_caller]
pub(crate) fn is_cut(error: &Broken, protocol: Protocol) {
    let text = format!("{error:?}");
    match protocol {
        // Depending on where in the chunked body the connection ends.
        Protocol::H1 => assert!(
            error.is_incomplete_message()
                || error.is_body_write_aborted()
                || text.contains("UnexpectedEof"),
            "{text}"
        ),
        Protocol::H2 => assert!(text.contains("Reset(StreamId"), "{text}"),
    }
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(protocol: Protocol, to: SocketAddr) -> Client {
        let stream = TcpStream::connect(to).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let io = TokioIo::new(stream);
        match protocol {
            Protocol::H1 => {
                let (sender, connection) = http1::handshake(io).await.expect("no bytes yet");
                tokio::spawn(connection);
                Client::H1(sender)
            }
            Protocol::H2 => {
                let executor = TokioExecutor::new();
                let (sender, connection) = http2::handshake(executor, io).await.expect("HTTP/2");
                tokio::spawn(connection);
                Client::H2(sender)
            }
        }
    }

    /// Sends a request, and waits for the head of its response.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Broken> {
        let what = format!("an answer to {} {}", request.method(), request.uri());
        match self {
            Client::H1(sender) => {
                // What stands in a request line is the path alone.
                let path = request.uri().path_and_query().cloned();
                *request.uri_mut() = path.expect("a target has a path").into();
                soon("the connection to be free", sender.ready()).await?;
                soon(&what, sender.send_request(request)).await
            }
            Client::H2(sender) => {
                request.headers_mut().remove("host");
                soon("the connection to be free", sender.ready()).await?;
                soon(&what, sender.send_request(request)).await
            }
        }
    }

    /// Sends a request, and waits for the end of its response.
    pub(crate) async fn ask(&mut self, request: Request<RequestBody>) -> Answer {
        whole(self.send(request).await.expect("a response")).await
    }

    /// Gets a path.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(get(path)).await
    }

    /// Gets a path whose response is read as it comes.
    pub(crate) async fn open(&mut self, path: &str) -> Reader {
        let response = self.send(get(path)).await.expect("a response");
        assert_eq!(response.status(), 200, "GET {path}");
        Reader::new(response)
    }
}

/// Gets a path over a connection of its own.
pub(crate) async fn fetch(protocol: Protocol, from: SocketAddr, path: &str) -> Answer {
    Client::connect(protocol, from).await.get(path).await
}

/// Posts to a path over a connection of its own.
pub(crate) async fn post(
    protocol: Protocol,
    to: SocketAddr,
    path: &str,
    body: &'static str,
) -> Answer {
    Client::connect(protocol, to)
        .await
        .ask(request("POST", path, full(body)))
        .await
}

/// Reads a response to its end.
pub(crate) async fn whole(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let collected = soon("the end of a response", body.collect()).await;
    let trailers = collected
        .as_ref()
        .ok()
        .and_then(|collected| collected.trailers().cloned());
    Answer {
        status: head.status,
        headers: head.headers,
        trailers,
        body: collected.map(|collected| collected.to_bytes()),
    }
}

/// A request for a path.
pub(crate) fn request(method: &str, path: &str, body: RequestBody) -> Request<RequestBody> {
    Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1{path}"))
        .header("host", "127.0.0.1")
        .body(body)
        .expect("a request")
}

pub(crate) fn get(path: &str) -> Request<RequestBody> {
    request("GET", path, empty())
}

pub(crate) fn empty() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body whose length is known.
pub(crate) fn full(text: impl Into<Bytes>) -> RequestBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body that a test sends piece by piece. It ends when the sender is dropped.
pub(crate) struct Upload(mpsc::Sender<Result<Frame<Bytes>, Aborted>>);

/// A body, and what sends it. At most one piece waits.
pub(crate) fn upload() -> (Upload, RequestBody) {
    let (sender, receiver) = mpsc::channel(1);
    (Upload(sender), Pieces(receiver).boxed())
}

impl Upload {
    /// Sends a piece. Returns whether it is still wanted.
    pub(crate) async fn data(&self, bytes: impl Into<Bytes>) -> bool {
        let piece = self.0.send(Ok(Frame::data(bytes.into())));
        soon("a piece of an upload to be taken", piece)
            .await
            .is_ok()
    }

    /// Sends trailers, and ends.
    pub(crate) async fn trailers(self, trailers: HeaderMap) {
        let _ = self.0.send(Ok(Frame::trailers(trailers))).await;
    }

    /// Breaks off.
    pub(crate) async fn abort(self) {
        let _ = self.0.send(Err(Aborted)).await;
    }
}

struct Pieces(mpsc::Receiver<Result<Frame<Bytes>, Aborted>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        self.0.poll_recv(context)
    }
}

/// Reads a response piece by piece.
pub(crate) struct Reader {
    body: Incoming,
    unread: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(response: Response<Incoming>) -> Reader {
        Reader {
            body: response.into_body(),
            unread: Vec::new(),
        }
    }

    /// Reads to this text, and returns all up to its end.
    pub(crate) async fn to(&mut self, text: &str) -> String {
        let what = format!("{text:?}");
        soon(&what, async {
            loop {
                let at = self
                    .unread
                    .windows(text.len())
                    .position(|window| window == text.as_bytes());
                if let Some(at) = at {
                    let rest = self.unread.split_off(at + text.len());
                    let read = std::mem::replace(&mut self.unread, rest);
                    return String::from_utf8(read).expect("the body is text");
                }
                let more = self.piece().await.expect("the stream goes on");
                self.unread
                    .extend_from_slice(&more.expect("the stream is whole"));
            }
        })
        .await
    }

    /// The next piece; none at the end.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            match soon("more of a stream", self.body.frame()).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads to this text, and leaves out this byte. For streams of many bytes.
    pub(crate) async fn skip_to(&mut self, flood: u8, text: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(text.as_bytes()) {
            let more = self.piece().await.expect("the stream goes on");
            let more = more.expect("the stream is whole");
            read.extend(more.iter().filter(|byte| **byte != flood));
        }
        String::from_utf8(read).expect("the body is text")
    }

    /// Reads the rest: what came, and how it ended.
    pub(crate) async fn rest(mut self) -> (String, Result<(), Broken>) {
        let mut read = std::mem::take(&mut self.unread);
        let ended = loop {
            match self.piece().await {
                Some(Ok(piece)) => read.extend_from_slice(&piece),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        (String::from_utf8(read).expect("the body is text"), ended)
    }
}
