//! One connection: which protocol its client speaks, the requests on it, and when it is closed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::listener::{HttpLimits, Server};
use super::open::{Activity, OpenBody};
use super::socket::watched;

/// How long a connection is silent before the system asks whether the peer is still there.
const SILENCE: Duration = Duration::from_secs(60);
/// How many bytes may wait in the system to be sent, so that it is soon seen whether the client
/// reads.
const UNSENT: u32 = 128 * 1024;

/// The two protocols, with their limits.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub(super) fn new(limits: &HttpLimits) -> Protocols {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            // A client may close its sending half and read on. `WatchedSocket` notices one that is gone.
            .half_close(true)
            .max_buf_size(limits.header_bytes.max(8192) as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            .keep_alive_interval(limits.idle / 3)
            .keep_alive_timeout(limits.stall);
        Protocols { http1, http2 }
    }
}

/// Serves a connection until it is closed.
pub(super) async fn serve(
    server: Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
) {
    let limits = &server.limits;
    tune(&stream, limits.stall);
    let is_own = stream.local_addr().is_ok_and(|own| own.ip() == peer.ip());
    let (mut socket, watched) = watched(stream);
    let activity = Arc::new(Activity::default());
    let mut gone = pin!(watched.gone(limits.half_closed));
    let mut stopping = server.stopping.clone();
    let mut over = pin!(async {
        tokio::select! {
            () = activity.idle(limits.idle, || watched.is_unread()) => limits.idle,
            // The node cuts what is left when its time to stop is over.
            _ = stopping.wait_for(|stopping| *stopping) => Duration::MAX,
        }
    });
    let is_http2 = tokio::select! {
        // Errors here are the client's: it broke off, or sent no HTTP.
        is_http2 = socket.begins_http2() => is_http2,
        () = &mut gone => return,
        _ = &mut over => return,
    };
    let Ok(is_http2) = is_http2 else { return };
    let service = service_fn(|request: http::Request<Incoming>| {
        let open = activity.open(!request.body().is_end_stream());
        let answer = server.dispatch(request, peer, is_own);
        async move {
            let response = match answer {
                Ok(answer) => answer.await,
                Err(refused) => *refused,
            };
            Ok::<_, Infallible>(response.map(|body| OpenBody::new(body, open)))
        }
    });
    let Protocols { http1, http2 } = &server.protocols;
    let socket = TokioIo::new(socket);
    let is_gone = match is_http2 {
        false => {
            let connection = pin!(http1.serve_connection(socket, service));
            drive(connection, |it| it.graceful_shutdown(), gone, over).await
        }
        // Boxed, so that the other connections do not hold the memory that this one needs.
        true => {
            let mut connection = Box::pin(http2.serve_connection(socket, service));
            let driven = drive(connection.as_mut(), |it| it.graceful_shutdown(), gone, over);
            Box::pin(driven).await
        }
    };
    if !is_gone && activity.may_be_unread() {
        let mut stopping = server.stopping.clone();
        tokio::select! {
            () = watched.linger() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
}

/// Lets a connection run to its end. When it is `over`, it is closed in order, for which it has the
/// time that `over` says. Returns whether the client has gone.
async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    close: impl FnOnce(Pin<&mut C>),
    mut gone: Pin<&mut impl Future<Output = ()>>,
    over: Pin<&mut impl Future<Output = Duration>>,
) -> bool {
    let grace = tokio::select! {
        _ = connection.as_mut() => return false,
        () = gone.as_mut() => return true,
        grace = over => grace,
    };
    close(connection.as_mut());
    tokio::select! {
        _ = tokio::time::timeout(grace, connection) => false,
        () = gone => true,
    }
}

fn tune(stream: &TcpStream, stall: Duration) {
    // None of these options is needed to serve. If one is refused, the
    // connection works without it.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    let _ = socket.set_tcp_user_timeout(Some(stall));
    let _ = socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(SILENCE)
            .with_interval(SILENCE / 4),
    );
}
