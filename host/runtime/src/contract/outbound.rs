//! Outgoing requests of a `wasi:http` component: all are refused. A node gives
//! its guests no network. `wasi:http/outgoing-handler` is linked all the same,
//! so that components that import it can run.

use std::future::Future;

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Refuses every outgoing request with `HTTP-request-denied`.
#[derive(Debug)]
pub(super) struct NoOutbound;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for NoOutbound {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmitted: Io,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        super::quota::BODY_CHUNK
    }
}
