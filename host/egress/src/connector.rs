//! What the HTTP client calls for a new connection: the gate, and TLS on top.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cluster::{Destination, EgressProtocol};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tower_service::Service;

use crate::{EgressError, Gate};

/// Opens connections through the gate.
#[derive(Clone, Debug)]
pub(crate) struct Connector(pub(crate) Arc<Gate>);

/// A stream of bytes.
trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

/// A connection to another server.
pub(crate) struct ServerConnection {
    stream: TokioIo<Box<dyn Bytestream>>,
    is_h2: bool,
    _permit: OwnedSemaphorePermit,
}

impl Service<Uri> for Connector {
    type Response = ServerConnection;
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<ServerConnection, EgressError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let gate = self.0.clone();
        Box::pin(async move {
            let to = destination(&uri)?;
            match timeout(gate.connect_time, open(&gate, &to)).await {
                Ok(opened) => opened,
                Err(_) if gate.connections_left() == 0 => Err(EgressError::Busy("all connections")),
                Err(_) => Err(EgressError::ConnectTime(to)),
            }
        })
    }
}

async fn open(gate: &Gate, to: &Destination) -> Result<ServerConnection, EgressError> {
    let (stream, permit) = gate.connect(to).await?;
    let (stream, is_h2): (Box<dyn Bytestream>, bool) = match to.protocol() {
        EgressProtocol::Https => {
            let stream = gate.tls.begin(to, stream).await?;
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            (Box::new(stream), is_h2)
        }
        EgressProtocol::Http | EgressProtocol::Tcp => (Box::new(stream), false),
    };
    Ok(ServerConnection {
        stream: TokioIo::new(stream),
        is_h2,
        _permit: permit,
    })
}

/// The server that a URL names.
///
/// # Errors
/// [`EgressError::Url`].
pub(crate) fn destination(uri: &Uri) -> Result<Destination, EgressError> {
    let protocol = match uri.scheme_str().and_then(EgressProtocol::of_scheme) {
        Some(protocol @ (EgressProtocol::Https | EgressProtocol::Http)) => protocol,
        _ => {
            return Err(EgressError::Url(
                "it does not begin with https:// or http://".to_owned(),
            ));
        }
    };
    let Some(authority) = uri.authority() else {
        return Err(EgressError::Url("it has no host".to_owned()));
    };
    Destination::new(protocol, authority.as_str())
        .map_err(|error| EgressError::Url(error.to_string()))
}

impl Connection for ServerConnection {
    fn connected(&self) -> Connected {
        match self.is_h2 {
            true => Connected::new().negotiated_h2(),
            false => Connected::new(),
        }
    }
}

impl Read for ServerConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for ServerConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
