//! A bare hyper server, to compare with. `bare [ADDR:PORT] [BYTES]`; runs until it is killed.
//!
//! | path | what it answers |
//! |---|---|
//! | `/updates` | a stream that stays open |
//! | `/hello`, `/64k`, `/up`, `/json`, `/events?MS` | what the apps `fixtures/bench-*` answer |
//! | all else | a page of the given size |

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::Sleep;

#[allow(unreachable_pub)]
#[path = "../../fixtures/bench-raxx/src/order.rs"]
mod order;

type Answer = http::Response<BoxBody<Bytes, Infallible>>;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:8998".to_owned());
    let size = arguments.next().map_or(Ok(6500), |size| size.parse())?;
    let page = Bytes::from(vec![b'x'; size]);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(&address, page))
}

async fn serve(address: &str, page: Bytes) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let page = page.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, page.clone()));
            // Errors here are the client's.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: http::Request<hyper::body::Incoming>,
    page: Bytes,
) -> Result<Answer, hyper::Error> {
    let query = request.uri().query().map(str::to_owned);
    let path = request.uri().path().to_owned();
    Ok(match path.as_str() {
        "/updates" => stream(": open\n\n", None),
        "/events" => {
            let delay = query.and_then(|query| query.parse().ok()).unwrap_or(1000);
            stream(": open\n\n", Some(Duration::from_millis(delay)))
        }
        "/hello" => whole("text/plain", Bytes::from_static(b"Hello, world!")),
        "/64k" => whole("text/plain", vec![b'x'; 64 * 1024].into()),
        "/up" => {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                length += frame?.data_ref().map_or(0, Bytes::len);
            }
            whole("text/plain", length.to_string().into())
        }
        "/json" => {
            let order = request.into_body().collect().await?.to_bytes();
            match order::bill(&order) {
                Some(bill) => whole("application/json", bill.into()),
                None => {
                    let mut refused = whole("text/plain", Bytes::new());
                    *refused.status_mut() = StatusCode::BAD_REQUEST;
                    refused
                }
            }
        }
        _ => http::Response::new(Full::new(page).boxed()),
    })
}

fn whole(kind: &'static str, bytes: Bytes) -> Answer {
    with_type(kind, Full::new(bytes).boxed())
}

/// A stream that begins so, tells one event after this time if there is one, and stays open.
fn stream(first: &'static str, event: Option<Duration>) -> Answer {
    let stream = Forever {
        first: Some(Bytes::from_static(first.as_bytes())),
        event: event.map(|delay| Box::pin(tokio::time::sleep(delay))),
    };
    with_type("text/event-stream", StreamBody::new(stream).boxed())
}

fn with_type(kind: &'static str, body: BoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = http::Response::new(body);
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A first frame, perhaps one more, then silence.
struct Forever {
    first: Option<Bytes>,
    event: Option<Pin<Box<Sleep>>>,
}

impl futures_core::Stream for Forever {
    type Item = Result<http_body::Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(first))));
        }
        if let Some(event) = &mut self.event
            && event.as_mut().poll(cx).is_ready()
        {
            self.event = None;
            let event = Bytes::from_static(b"data: now\n\n");
            return Poll::Ready(Some(Ok(http_body::Frame::data(event))));
        }
        Poll::Pending
    }
}
