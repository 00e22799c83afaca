//! HTTP requests and server-sent events. All of it happens in the network
//! namespace of the calling thread.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text; what is not UTF-8 in it is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET the URL over a connection of its own.
///
/// # Errors
///
/// If there is no whole answer within the bound.
pub fn get(url: &str, bound: Duration) -> Result<Answer> {
    runtime()?.block_on(async {
        timeout(bound, async {
            let uri: Uri = url.parse().context("not a URL")?;
            let mut sender = connect(&uri).await?;
            send(&mut sender, &uri).await
        })
        .await
        .unwrap_or_else(|_| bail!("not within {bound:?}"))
        .with_context(|| format!("GET {url}"))
    })
}

/// GET the path over the Unix socket of this name, which is the same from every
/// network namespace.
///
/// # Errors
///
/// If there is no whole answer within the bound.
pub fn get_over(socket: &Path, path: &str, bound: Duration) -> Result<Answer> {
    runtime()?.block_on(async {
        timeout(bound, async {
            let stream = UnixStream::connect(socket)
                .await
                .context("cannot connect")?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
            // It ends with the sender, and what goes wrong in it the sender reports.
            tokio::spawn(connection);
            let uri: Uri = format!("http://node{path}").parse().context("no path")?;
            send(&mut sender, &uri).await
        })
        .await
        .unwrap_or_else(|_| bail!("not within {bound:?}"))
        .with_context(|| format!("GET {path} over {}", socket.display()))
    })
}

/// GET the URL again and again over one connection until `stop` says so, and
/// return how long each answer took.
///
/// # Errors
///
/// If an answer does not come within the bound, or is not a success.
pub fn get_repeatedly(
    url: &str,
    bound: Duration,
    mut stop: impl FnMut() -> bool,
) -> Result<Vec<Duration>> {
    runtime()?.block_on(async {
        let uri: Uri = url.parse().context("not a URL")?;
        let mut sender = connect(&uri).await?;
        let mut took = Vec::new();
        while !stop() {
            let asked = Instant::now();
            let answer = timeout(bound, send(&mut sender, &uri)).await;
            let answer = answer.with_context(|| format!("GET {url}: not within {bound:?}"))??;
            if !answer.status.is_success() {
                bail!("GET {url}: {}", answer.status);
            }
            took.push(asked.elapsed());
        }
        Ok(took)
    })
}

/// A runtime on the calling thread, so that its sockets are made in the
/// thread's network namespace.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
}

/// Connect to the host and port of the URL.
pub(crate) async fn connect(uri: &Uri) -> Result<SendRequest<Full<Bytes>>> {
    let authority = uri.authority().context("a URL without a host")?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the sender, and what goes wrong in it the sender reports.
    tokio::spawn(connection);
    Ok(sender)
}

/// GET over this connection; the answer's body is still to come.
pub(crate) async fn begin(
    sender: &mut SendRequest<Full<Bytes>>,
    uri: &Uri,
) -> Result<http::Response<Incoming>> {
    let authority = uri.authority().context("a URL without a host")?.as_str();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header("host", authority)
        .body(Full::default())?;
    sender.ready().await?;
    Ok(sender.send_request(request).await?)
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, uri: &Uri) -> Result<Answer> {
    let (head, body) = begin(sender, uri).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When its last byte was read.
    pub at: Instant,
    /// Its type; empty if the server named none.
    pub event: String,
    /// Its data.
    pub data: String,
    /// Its id; empty if there is none.
    pub id: String,
}

/// A stream of server-sent events that is read as they come. Dropped, its
/// connection is closed.
#[derive(Debug)]
pub struct Sse {
    events: Receiver<Event>,
    close: Option<oneshot::Sender<()>>,
    reader: Option<JoinHandle<()>>,
}

impl Sse {
    /// Open the stream. The reader starts in the namespace of this thread.
    ///
    /// # Errors
    ///
    /// If the stream's head does not come within the bound, or is not that of
    /// an event stream.
    pub fn open(url: &str, bound: Duration) -> Result<Self> {
        let uri: Uri = url.parse().context("not a URL")?;
        let (opened, is_open) = channel();
        let (events_in, events) = channel();
        let (close, closed) = oneshot::channel();
        let reader = thread::spawn(move || match runtime() {
            Ok(runtime) => runtime.block_on(read_events(uri, bound, opened, events_in, closed)),
            Err(error) => drop(opened.send(Err(error))),
        });
        is_open
            .recv()
            .context("the reader has died")?
            .with_context(|| format!("GET {url}"))?;
        Ok(Self {
            events,
            close: Some(close),
            reader: Some(reader),
        })
    }

    /// The next event; none if the stream ended, or nothing came within the
    /// bound.
    pub fn next(&self, bound: Duration) -> Option<Event> {
        self.events.recv_timeout(bound).ok()
    }

    /// Whether it has not ended yet. What came so far is lost.
    pub fn is_open(&self) -> bool {
        while self.events.try_recv().is_ok() {}
        self.events.try_recv() == Err(TryRecvError::Empty)
    }
}

impl Drop for Sse {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

async fn read_events(
    uri: Uri,
    bound: Duration,
    opened: Sender<Result<()>>,
    events: Sender<Event>,
    closed: oneshot::Receiver<()>,
) {
    let opening = timeout(bound, async {
        let mut sender = connect(&uri).await?;
        let response = begin(&mut sender, &uri).await?;
        let kind = response
            .headers()
            .get("content-type")
            .map(|kind| kind.as_bytes().to_vec());
        if !response.status().is_success()
            || !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"))
        {
            bail!(
                "not an event stream: {} {:?}",
                response.status(),
                response.headers()
            );
        }
        Ok((sender, response.into_body()))
    });
    let (_sender, mut body) = match opening.await {
        Ok(Ok(open)) => {
            let _ = opened.send(Ok(()));
            open
        }
        Ok(Err(error)) => return drop(opened.send(Err(error))),
        Err(_) => return drop(opened.send(Err(anyhow::anyhow!("no head within {bound:?}")))),
    };
    let reading = async {
        let mut parser = Parser::default();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            for event in parser.feed(&data) {
                if events.send(event).is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = reading => {}
        _ = closed => {}
    }
}

/// Takes an event stream apart, as
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html> says;
/// lines end with `\n` or `\r\n`.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    rest: Vec<u8>,
    event: String,
    data: Vec<String>,
    id: String,
}

impl Parser {
    /// The events that these bytes complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches(['\r', '\n'])));
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| Event {
                at: Instant::now(),
                event,
                data: data.join("\n"),
                id: self.id.clone(),
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "event" => self.event = value,
            "data" => self.data.push(value),
            "id" => self.id = value,
            // A comment, `retry`, or what the specification ignores.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Parser;

    #[test]
    fn an_event_is_read_across_any_split_of_its_bytes() {
        let stream = b": hello\nretry: 1000\n\nid: 7\nevent: nodes\ndata: [\"a\"]\r\n\r\n";
        for split in 0..stream.len() {
            let mut parser = Parser::default();
            let mut events = parser.feed(&stream[..split]);
            events.extend(parser.feed(&stream[split..]));
            assert_eq!(events.len(), 1, "split at {split}");
            assert_eq!(events[0].event, "nodes");
            assert_eq!(events[0].data, "[\"a\"]");
            assert_eq!(events[0].id, "7");
        }
    }
}
