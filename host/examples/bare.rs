//! A bare hyper server, to compare with: answers every request with a page of
//! a given size, and `/updates` with a stream that stays open.
//!
//! `bare [ADDR:PORT] [BYTES]`; runs until it is killed.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

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
) -> Result<http::Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let body = match request.uri().path() {
        "/updates" => {
            let first = http_body::Frame::data(Bytes::from_static(b": open\n\n"));
            StreamBody::new(Forever(Some(first))).boxed()
        }
        _ => Full::new(page).boxed(),
    };
    Ok(http::Response::new(body))
}

/// One frame, then silence.
struct Forever(Option<http_body::Frame<Bytes>>);

impl futures_core::Stream for Forever {
    type Item = Result<http_body::Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        match self.0.take() {
            Some(frame) => std::task::Poll::Ready(Some(Ok(frame))),
            None => std::task::Poll::Pending,
        }
    }
}
